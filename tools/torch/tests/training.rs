//! Training finds what can be forecast, says where nothing can, and repeats itself.

mod common;

use augur_core::network::Model;
use augur_torch::decoded::Role;
use augur_torch::job::{train, Frames};
use augur_torch::request::Request;
use common::{alone, scratch, train_on, Ran};

const SIZE: [i64; 4] = [40, 1, 48, 56];

/// A smooth pattern that travels by a point and a half a step; every fifth point of a corner is missing.
fn travelling() -> Vec<f32> {
    let mut values = vec![];
    for t in 0..SIZE[0] {
        for y in 0..SIZE[2] {
            for x in 0..SIZE[3] {
                let (u, v) = (x as f64 - 1.5 * t as f64, y as f64 + 0.7 * t as f64);
                let value = (u * 0.35).sin() * (v * 0.29).cos() + 0.5 * (u * 0.6 + v * 0.41).sin();
                let missing = y < 8 && x < 8 && (x + y) % 5 == 0;
                values.push(if missing { f32::NAN } else { value as f32 });
            }
        }
    }
    values
}

/// Numbers without any pattern.
fn noise() -> Vec<f32> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    (0..SIZE.iter().product()).map(|_| next() + next() + next() - 1.5).collect()
}

fn request(steps: u64) -> Request {
    let text = serde_json::json!({
        "size": "small", "bounds": [1e-3, 1e-2], "steps": steps, "seed": 5, "device": "cpu", "threads": 1,
        "metadata": { "name": "test", "date": "2000-01-01" },
    });
    serde_json::from_value(text).expect("a request")
}

fn run(request: &Request, values: &[f32]) -> Ran {
    train_on(request, values, SIZE, 32)
}

#[test]
fn what_travels_is_forecast() {
    let _alone = alone();
    let (report, model, messages) = run(&request(250), &travelling()).expect("a model");
    assert_eq!((report.end, report.steps, messages.len()), ("done", 250, 250));
    for score in &report.scores {
        assert!(score.forecast < 0.5 * score.persistence.min(1.2 * score.extrapolation), "{score:?}");
        // Waves that travel steadily are no trouble for linear prediction either.
        assert!(score.bits_without > 0.0 && score.bits_with < 1.01 * score.bits_without, "{score:?}");
    }
    let model = Model::from_bytes(&model.expect("a model")).expect("a valid model");
    assert_eq!(model.metadata()["name"], "test");
    assert_eq!(model.graph("forecaster").and_then(|g| g.integer("frames")), Some(2));
}

#[test]
fn noise_is_given_up_on() {
    let _alone = alone();
    let (report, model, _) = run(&request(2000), &noise()).expect("a report");
    assert_eq!(report.end, "hopeless");
    assert!(report.steps < 2000 && model.is_none());
}

#[test]
fn a_seed_names_a_model_and_an_interrupted_run_ends_the_same() {
    let _alone = alone();
    let values = travelling();
    let whole = run(&request(40), &values).expect("a model").1;
    assert!(whole == run(&request(40), &values).expect("a model").1, "the same again");
    let other = Request { seed: 6, ..request(40) };
    assert!(whole != run(&other, &values).expect("a model").1);

    let checkpoint = scratch("checkpoint");
    let interrupted = |steps: u64, at: u64| {
        let mut first = request(steps);
        first.checkpoint = Some(checkpoint.clone());
        let fields = [Frames { values: &values, size: SIZE, train: 32 }];
        let (report, _) = train(&first, &fields, |m| m.step < at).expect("a report");
        assert_eq!((report.end, report.steps), ("stopped", at));
        let second = Request { resume: Some(checkpoint.clone()), ..request(steps) };
        let (report, resumed, messages) = run(&second, &values).expect("a model");
        assert_eq!((report.steps, messages.len() as u64), (steps, steps - at));
        resumed
    };
    assert!(whole == interrupted(40, 15), "the same after an interruption");
    // From 400 steps on the network decodes what it is trained on; pieces from before are still in use then.
    let longer = Request { insist: true, ..request(430) };
    assert!(
        run(&longer, &values).expect("a model").1 == interrupted(430, 415),
        "the same, decoded with the network"
    );

    let second = Request { resume: Some(checkpoint.clone()), ..request(40) };
    let large = Request { size: "medium".into(), ..second };
    let wrong = run(&large, &values).expect_err("a checkpoint of another size");
    assert!(wrong.contains("another architecture or size"), "{wrong}");
    std::fs::remove_file(checkpoint).expect("a file");
}

#[test]
fn training_goes_on_from_a_model() {
    let _alone = alone();
    let values = travelling();
    let path = scratch("model");
    let (first, model, _) = run(&request(150), &values).expect("a model");
    std::fs::write(&path, model.expect("a model")).expect("a file");
    let again = Request { init: Some(path.clone()), ..request(1) };
    let (second, _, _) = run(&again, &values).expect("a model");
    let (before, after) = (first.scores[0].forecast, second.scores[0].forecast);
    assert!((after / before - 1.0).abs() < 0.3, "{before} then {after}");
    std::fs::write(&path, b"nonsense").expect("a file");
    assert!(run(&again, &values).is_err());
    std::fs::remove_file(path).expect("a file");
}

#[test]
fn wrong_requests_are_refused_with_the_reason() {
    let _alone = alone();
    let values = travelling();
    for (change, part) in [
        (Request { size: "huge".into(), ..request(1) }, "size \"huge\""),
        (Request { device: "tpu".into(), ..request(1) }, "device \"tpu\""),
        (Request { bounds: (0.0, 1e-2), ..request(1) }, "bounds"),
        (Request { init: Some("/no/such/file".into()), ..request(1) }, "/no/such/file"),
    ] {
        let wrong = run(&change, &values).expect_err("an error");
        assert!(wrong.contains(part), "{wrong}");
    }
    let constant = vec![1.0f32; values.len()];
    assert!(run(&request(1), &constant).is_err());
}

#[test]
fn an_interpolator_learns_what_lies_between() {
    let _alone = alone();
    let values = travelling();
    let wanted = Request { role: Role::Interpolator, insist: true, ..request(120) };
    let (report, model, messages) = run(&wanted, &values).expect("a report");
    let model = Model::from_bytes(&model.expect("a model")).expect("a model file");
    assert!(model.graph("forecaster").is_none() && model.graph("interpolator").is_some());
    assert_eq!(report.scores.len(), 3);
    let (first, last) = (messages[2].loss, messages[119].loss);
    assert!(last < 0.8 * first, "{first} to {last} bits");
}
