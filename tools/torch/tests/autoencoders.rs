//! Training of autoencoders: blocks that resemble each other are learnt, and a run repeats itself.

mod common;

use augur_core::network::Model;
use augur_torch::job::{train, Frames};
use augur_torch::request::{Report, Request};
use common::{alone, scratch, train_on, Ran};
use serde_json::{json, Value};

const SIZE: [i64; 4] = [32, 1, 40, 44];

/// Waves that travel; some points are missing.
fn waves() -> Vec<f32> {
    let mut values = vec![];
    for t in 0..SIZE[0] {
        for y in 0..SIZE[2] {
            for x in 0..SIZE[3] {
                let (u, v) = (x as f64 - 0.6 * t as f64, y as f64 + 0.3 * t as f64);
                let value = (u * 0.35).sin() * (v * 0.29).cos() + 0.5 * (u * 0.2 + v * 0.31).sin();
                values.push(if y < 8 && (x + y) % 5 == 0 { f32::NAN } else { value as f32 });
            }
        }
    }
    values
}

fn request(steps: u64, plan: Value, sides: Value, share: f64) -> Request {
    let text = json!({
        "bounds": [1e-3, 1e-2], "steps": steps, "seed": 5, "device": "cpu", "threads": 1,
        "metadata": { "name": "test", "date": "2000-01-01" },
        "autoencoder": {
            "plan": plan, "sides": sides, "pieces": [{ "chunk": [16, 1, 40, 44], "share": share }],
            "sampling": "strided",
        },
    });
    serde_json::from_value(text).expect("a request")
}

fn swae(steps: u64, share: f64) -> Request {
    let plan = json!({ "kind": "swae", "block": [4, 8, 8], "channels": [6, 12], "latent": 12 });
    request(steps, plan, json!([4, 1, 8, 8]), share)
}

fn run(request: &Request, values: &[f32]) -> Ran {
    train_on(request, values, SIZE, 24)
}

#[test]
fn blocks_and_runs_are_learnt() {
    let _alone = alone();
    let cae = json!({ "kind": "cae", "block": [1, 1, 64], "channels": [32, 16], "latent": 16 });
    let plane = json!({ "kind": "swae", "block": [1, 8, 8], "channels": [8, 16], "latent": 12 });
    for request in [
        swae(200, 1.0),
        swae(200, 0.5),
        request(200, plane, json!([1, 1, 8, 8]), 1.0),
        request(200, cae, Value::Null, 1.0),
    ] {
        let (report, model, messages) = run(&request, &waves()).expect("a model");
        assert_eq!((report.end, report.steps, messages.len()), ("done", 200, 200));
        let found = report.reconstruction.expect("held-out blocks");
        assert!(found.error < 0.6 * found.mean_error, "{found:?}");
        assert!(found.psnr > 18.0 && found.scores.len() == 3, "{found:?}");
        let model = Model::from_bytes(&model.expect("a model")).expect("a valid model");
        assert_eq!(model.metadata()["name"], "test");
        assert!(model.graph("encoder").is_some() && model.graph("decoder").is_some());
    }
}

#[test]
fn a_seed_names_a_model_and_an_interrupted_run_ends_the_same() {
    let _alone = alone();
    let values = waves();
    let whole = run(&swae(30, 1.0), &values).expect("a model").1;
    assert!(whole == run(&swae(30, 1.0), &values).expect("a model").1, "the same again");
    let other = Request { seed: 6, ..swae(30, 1.0) };
    assert!(whole != run(&other, &values).expect("a model").1);

    let checkpoint = scratch("blocks");
    let first = Request { checkpoint: Some(checkpoint.clone()), ..swae(30, 1.0) };
    let fields = [Frames { values: &values, size: SIZE, train: 24 }];
    let (report, _) = train(&first, &fields, |m| m.step < 11).expect("a report");
    assert_eq!((report.end, report.steps), ("stopped", 11));
    let second = Request { resume: Some(checkpoint.clone()), ..swae(30, 1.0) };
    let (_, resumed, messages) = run(&second, &values).expect("a model");
    assert!(whole == resumed && messages.len() == 19, "the same after an interruption");
    std::fs::remove_file(checkpoint).expect("a file");
}

#[test]
fn training_goes_on_from_a_model() {
    let _alone = alone();
    let values = waves();
    let path = scratch("first-model");
    let (first, model, _) = run(&swae(100, 1.0), &values).expect("a model");
    std::fs::write(&path, model.expect("a model")).expect("a file");
    let again = Request { init: Some(path.clone()), ..swae(1, 1.0) };
    let (second, _, _) = run(&again, &values).expect("a model");
    let error = |r: Report| r.reconstruction.expect("held-out blocks").error;
    let (before, after) = (error(first), error(second));
    assert!((after / before - 1.0).abs() < 0.1, "{before} then {after}");
    std::fs::write(&path, b"nonsense").expect("a file");
    assert!(run(&again, &values).is_err());
    std::fs::remove_file(path).expect("a file");
}

#[test]
fn wrong_requests_are_refused_with_the_reason() {
    let _alone = alone();
    let values = waves();
    let plan = |block: [i64; 3]| json!({ "kind": "swae", "block": block, "channels": [4], "latent": 3 });
    for (request, part) in [
        (request(1, plan([4, 8, 9]), json!([4, 1, 8, 9]), 1.0), "cannot be halved"),
        (request(1, plan([4, 8, 8]), json!([4, 1, 8, 4]), 1.0), "sides"),
        (request(1, plan([4, 8, 8]), Value::Null, 1.0), "sides"),
        (Request { bounds: (0.0, 1.0), ..swae(1, 1.0) }, "bounds"),
        (Request { init: Some("/no/such/file".into()), ..swae(1, 1.0) }, "/no/such/file"),
    ] {
        let wrong = run(&request, &values).expect_err("an error");
        assert!(wrong.contains(part), "{wrong}");
    }
    for flat in [1.0f32, f32::NAN] {
        let wrong = run(&swae(1, 1.0), &vec![flat; values.len()]).expect_err("nothing to learn");
        assert!(wrong.contains("nothing to learn"), "{wrong}");
    }
}
