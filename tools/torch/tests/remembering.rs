//! Training of PredNet and ConvLSTM: what moves is forecast, several levels at once, and a run can be interrupted.

mod common;

use augur_core::network::Model;
use augur_torch::job::{train, Frames};
use augur_torch::request::{Report, Request};
use common::alone;
use serde_json::{json, Value};
use std::path::Path;

/// Steps, colours, rows, columns.
const SIZE: [i64; 4] = [32, 3, 36, 44];

/// A smooth pattern that travels, in three colours of other amplitudes; a corner is missing.
fn travelling() -> Vec<f32> {
    let mut values = vec![];
    for t in 0..SIZE[0] {
        for c in 0..SIZE[1] {
            for y in 0..SIZE[2] {
                for x in 0..SIZE[3] {
                    let (u, v) = (x as f64 - 1.1 * t as f64, y as f64 + 0.6 * t as f64 + c as f64);
                    let value = (u * 0.35).sin() * (v * 0.29).cos() + 0.5 * (u * 0.5 + v * 0.41).sin();
                    let missing = y < 4 && x < 4;
                    values.push(if missing { f32::NAN } else { (value * (c + 1) as f64) as f32 });
                }
            }
        }
    }
    values
}

/// A request with `more` in it.
fn request(steps: u64, more: Value) -> Request {
    let mut text = json!({
        "architecture": "prednet", "size": "small", "bounds": [1e-3, 1e-2], "steps": steps, "seed": 5, "device": "cpu",
        "threads": 1, "insist": true,
    });
    if let (Some(text), Value::Object(more)) = (text.as_object_mut(), more) {
        text.extend(more);
    }
    serde_json::from_value(text).expect("a request")
}

fn run(request: &Request, size: [i64; 4]) -> Result<(Report, Model), String> {
    let values = travelling();
    let (report, model) = train(request, &[Frames { values: &values, size, train: 24 }], |_| true)?;
    let model = Model::from_bytes(&model.ok_or("no model")?).map_err(|e| e.to_string())?;
    Ok((report, model))
}

#[test]
fn what_travels_is_forecast_in_all_colours() {
    let _alone = alone();
    for (more, channels) in [
        (json!({}), 3),
        (json!({ "architecture": "convlstm" }), 3),
        (json!({ "planes": 1, "channels": 1, "loss": "l0" }), 1),
    ] {
        let (report, model) = run(&request(60, more.clone()), SIZE).expect("a model");
        assert_eq!(report.steps, 60);
        for score in &report.scores {
            // TEZip's small learning rate has not come far in so few steps.
            let share = if channels == 1 { 1.0 } else { 0.9 };
            assert!(score.forecast < share * score.persistence, "{more}: {score:?}");
            assert!(score.estimate < score.persistence_estimate, "{more}: {score:?}");
            assert!(
                score.bits_without > 0.0 && score.bits_with < 1.01 * score.bits_without,
                "{more}: {score:?}"
            );
        }
        assert_eq!(model.graph("recurrent").and_then(|g| g.integer("channels")), Some(channels));
    }
}

#[test]
fn an_interrupted_run_ends_the_same() {
    let _alone = alone();
    let checkpoint = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-state", std::process::id()));
    let whole = run(&request(12, json!({})), SIZE).expect("a model").1;
    let first = request(12, json!({ "checkpoint": checkpoint }));
    let values = travelling();
    let fields = [Frames { values: &values, size: SIZE, train: 24 }];
    let (report, _) = train(&first, &fields, |m| m.step < 7).expect("a report");
    assert_eq!((report.end, report.steps), ("stopped", 7));
    let second = run(&request(12, json!({ "resume": checkpoint })), SIZE).expect("a model").1;
    assert!(whole.digest() == second.digest(), "the same after an interruption");
    let other = run(&request(12, json!({ "resume": checkpoint, "architecture": "convlstm" })), SIZE);
    assert!(other.expect_err("another network").contains("another architecture or size"));
    std::fs::remove_file(checkpoint).expect("a file");
}

#[test]
fn training_goes_on_from_a_model_of_the_same_kind() {
    let _alone = alone();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-model", std::process::id()));
    let (first, model) = run(&request(30, json!({})), SIZE).expect("a model");
    std::fs::write(&path, model.bytes()).expect("a file");
    let (second, _) = run(&request(1, json!({ "init": path })), SIZE).expect("a model");
    let (before, after) = (first.scores[0].forecast, second.scores[0].forecast);
    assert!((after / before - 1.0).abs() < 0.3, "{before} then {after}");
    let other = run(&request(1, json!({ "init": path, "channels": 1 })), SIZE);
    assert!(other.expect_err("another network").contains("another architecture or size"));
    std::fs::remove_file(path).expect("a file");
}

#[test]
fn wrong_requests_are_refused_with_the_reason() {
    let _alone = alone();
    for (more, size, part) in [
        (json!({ "size": "large" }), SIZE, "size \"large\""),
        (json!({ "channels": 2 }), SIZE, "3 levels cannot be forecast 2 at a time"),
        (json!({ "channels": 17 }), SIZE, "1 to 16"),
        (json!({ "planes": 3 }), SIZE, "3 planes"),
        (json!({ "size": "tezip" }), [SIZE[0], 1, 7, 600], "7 x 600"),
    ] {
        let wrong = run(&request(1, more), size).expect_err("an error");
        assert!(wrong.contains(part), "{wrong}");
    }
}
