//! Correctors: what is exported is what is trained, and what no linear filter predicts is learnt.

mod common;

use augur_core::lessons::{CHANNELS, GRAPH};
use augur_core::network::build::ModelBuilder;
use augur_core::network::{Model, Session};
use augur_core::{encode, Bound, Dtype, Params, Preset};
use augur_torch::corrector::{graph, SIZES};
use augur_torch::integers::Integers;
use augur_torch::job::{train, Frames};
use augur_torch::net::Net;
use augur_torch::request::{Part, Request};
use common::{alone, scratch, train_on};
use std::sync::Arc;
use tch::{no_grad, Device, Kind, Tensor};

const SIZE: [i64; 4] = [30, 1, 40, 48];
const BOUND: f64 = 0.03;

/// Numbers from -1 to 1 without any pattern.
fn noise() -> impl FnMut() -> f32 {
    let mut state = 1u64;
    move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

/// A field of noise: what is left of a value after a step, and how far its neighbours in a row lie apart less that of its
/// neighbours in a column, and something new.
fn bent() -> Vec<f32> {
    let (height, width) = (SIZE[2] as usize, SIZE[3] as usize);
    let mut next = noise();
    let mut frame: Vec<f32> = (0..height * width).map(|_| next()).collect();
    let mut values = vec![];
    for _ in 0..SIZE[0] {
        values.extend_from_slice(&frame);
        let at = |y: usize, x: usize| frame[y % height * width + x % width];
        let after = (0..height * width).map(|i| {
            let (y, x) = (i / width + height, i % width + width);
            let row = (at(y, x - 1) - at(y, x + 1)).abs();
            let new = 0.55 * at(y, x) + 0.68 * (row - (at(y - 1, x) - at(y + 1, x)).abs()) + 0.05 * next();
            // So that it neither grows nor fades.
            new / (1.0 + 0.2 * new.abs())
        });
        frame = after.collect();
    }
    values
}

fn request(steps: u64, parts: &[Part]) -> Request {
    let text = serde_json::json!({
        "size": "small", "bounds": [5e-3, 2e-2], "steps": steps, "seed": 5, "device": "cpu", "threads": 1, "parts": parts,
        "metadata": { "name": "test" },
    });
    serde_json::from_value(text).expect("a request")
}

/// Bytes of the last steps, without and with the model.
fn stored(values: &[f32], file: &[u8]) -> [usize; 2] {
    let first = values.len() / SIZE[0] as usize * 24;
    let raw: Vec<u8> = values[first..].iter().flat_map(|v| v.to_le_bytes()).collect();
    let mut params =
        Params::new(Dtype::F32, &[6, SIZE[2] as usize, SIZE[3] as usize], Bound::Absolute(BOUND));
    let plain = encode(&params, &raw).expect("a stream").len();
    params.preset = Preset::Learned;
    params.model = Some(Arc::new(Model::from_bytes(file).expect("a model")));
    [plain, encode(&params, &raw).expect("a stream").len()]
}

#[test]
fn the_codec_computes_the_same_integers() {
    let _alone = alone();
    for (_, width) in SIZES {
        tch::manual_seed(width);
        let net = Net::new(graph(width), Device::Cpu);
        let values: Vec<Tensor> = net.variables().iter().map(|v| v + v.randn_like() * 0.2).collect();
        net.restore(&values);
        let integers = Integers::of(&net);
        let file = ModelBuilder::new().graph(GRAPH, integers.graph(GRAPH)).to_bytes().expect("a file");
        let model = Model::from_bytes(&file).expect("a model");
        let points = 1000;
        let x = Tensor::randint_low(-9000, 9000, [1, CHANNELS as i64, 1, points], (Kind::Int64, Device::Cpu));
        let ours: Vec<i64> = Vec::try_from(integers.evaluate(&x).reshape([-1])).expect("integers");
        let graph = model.graph(GRAPH).expect("a corrector");
        let mut session = Session::new(graph, 1, points as usize).expect("a session");
        let x: Vec<i64> = Vec::try_from(x.reshape([-1])).expect("integers");
        session.input_mut(0).iter_mut().zip(x).for_each(|(to, v)| *to = v as i16);
        session.run(1);
        let codec: Vec<i64> = session.output(0).iter().map(|v| i64::from(*v)).collect();
        assert!(ours.iter().any(|v| *v != ours[0]));
        assert_eq!(ours, codec, "{width} channels");
    }
}

#[test]
fn what_no_linear_filter_predicts_is_learnt() {
    let _alone = alone();
    let values = bent();
    let asked = request(150, &[Part::Corrector]);
    let (report, model, messages) = train_on(&asked, &values, SIZE, 24).expect("a model");
    assert!(messages.iter().all(|m| m.part == Some(Part::Corrector)));
    let found = report.corrector.expect("a corrector");
    assert!(found.kept && found.bits_with < 0.96 * found.bits_without, "{found:?}");
    let model = model.expect("a model");
    let [plain, corrected] = stored(&values, &model);
    assert!((corrected as f64) < 0.96 * plain as f64, "{corrected} and {plain} bytes");

    // The same again, also after an interruption.
    let checkpoint = scratch("corrector");
    let first = Request { checkpoint: Some(checkpoint.clone()), ..asked.clone() };
    let fields = [Frames { values: &values, size: SIZE, train: 24 }];
    let (report, _) = train(&first, &fields, |m| m.step < 100).expect("a report");
    assert_eq!(report.corrector.map(|c| (c.end, c.steps)), Some(("stopped", 100)));
    let second = Request { resume: Some(checkpoint.clone()), ..asked.clone() };
    let (_, resumed, _) = train_on(&second, &values, SIZE, 24).expect("a model");
    assert!(resumed.is_some_and(|resumed| resumed == model), "the same after an interruption");
    std::fs::remove_file(checkpoint).expect("a file");
}

#[test]
fn a_corrector_comes_behind_a_forecaster() {
    let _alone = alone();
    let values = bent();
    let both = Request { insist: true, ..request(20, &[Part::Forecaster, Part::Corrector]) };
    let (report, model, messages) = train_on(&both, &values, SIZE, 24).expect("a model");
    let count = |part| messages.iter().filter(|m| m.part == Some(part)).count();
    assert_eq!((count(Part::Forecaster), count(Part::Corrector)), (20, 160));
    assert!(report.corrector.is_some_and(|c| c.kept && c.steps == 160));
    let file = model.expect("a model");
    let model = Model::from_bytes(&file).expect("a model");
    assert!(model.graph("forecaster").is_some() && model.graph(GRAPH).is_some());
    let words = &model.metadata()["architecture"];
    assert!(words.contains("U-Net") && words.contains("corrector"), "{words}");

    // Trained alone behind what a model has, which stays as it is.
    let path = scratch("given");
    std::fs::write(&path, &file).expect("a file");
    let alone = Request { init: Some(path.clone()), ..request(5, &[Part::Corrector]) };
    let (_, again, _) = train_on(&alone, &values, SIZE, 24).expect("a model");
    let again = Model::from_bytes(&again.expect("a model")).expect("a model");
    assert!(again.graph("forecaster").is_some() && again.digest() != model.digest());
    let output = |model: &Model| {
        let graph = model.graph("forecaster").expect("a forecaster");
        let mut session = Session::new(graph, 16, 16).expect("a session");
        session.input_mut(0).iter_mut().enumerate().for_each(|(i, v)| *v = (i * 37 % 2001) as i16 - 1000);
        session.run(1);
        session.output(0).to_vec()
    };
    assert_eq!(output(&model), output(&again));
    let other = Request { size: "medium".into(), ..alone };
    let wrong = train_on(&other, &values, SIZE, 24).expect_err("a forecaster of another size");
    assert!(wrong.contains("another architecture or size"), "{wrong}");
    std::fs::remove_file(path).expect("a file");
}

#[test]
fn what_cannot_be_corrected_is_given_up_on() {
    let _alone = alone();
    let mut next = noise();
    let noise: Vec<f32> = (0..SIZE.iter().product()).map(|_| next() + next() + next()).collect();
    let (report, model, _) =
        train_on(&request(1000, &[Part::Corrector]), &noise, SIZE, 24).expect("a report");
    assert_eq!((report.end, model), ("hopeless", None));
    let found = report.corrector.expect("a corrector");
    assert!(!found.kept && found.steps == 4000, "{found:?}");
}

#[test]
fn training_and_integers_agree() {
    let _alone = alone();
    tch::manual_seed(3);
    let net = Net::new(graph(16), Device::Cpu);
    let values: Vec<Tensor> = net.variables().iter().map(|v| v + v.randn_like() * 0.1).collect();
    net.restore(&values);
    let x = Tensor::randint_low(-4000, 4000, [1, CHANNELS as i64, 1, 4000], (Kind::Int64, Device::Cpu));
    let float = no_grad(|| net.forward(&(x.to_kind(Kind::Float) / 1024.0))) * 1024.0;
    let exact = Integers::of(&net).evaluate(&x).to_kind(Kind::Float);
    let mean = |t: Tensor| t.abs().mean(Kind::Double).double_value(&[]);
    let (off, typical) = (mean(&float - &exact), mean(exact));
    assert!(off < 0.02 * typical, "mean difference {off} of {typical}");
}
