//! The integers that training exports are what the codec computes.

mod common;

use augur_core::network::build::ModelBuilder;
use augur_core::network::{Model, Session};
use augur_torch::forecaster::{Plan, MULTIPLE, SIZES};
use augur_torch::graph::WIDE;
use augur_torch::integers::{to_wide, Integers};
use augur_torch::net::Net;
use common::alone;
use tch::{no_grad, Device, Kind, Tensor};

/// A network whose every layer does something: random weights, also in the outputs.
fn random(plan: &Plan, seed: i64, device: Device) -> Net {
    tch::manual_seed(seed);
    let net = plan.net(device);
    let values: Vec<Tensor> =
        net.variables().iter().map(|v| v + (v.randn_like() * if v.dim() == 1 { 0.3 } else { 0.1 })).collect();
    net.restore(&values);
    net
}

fn planes(plan: &Plan, h: i64, w: i64, spread: f64) -> Tensor {
    let x = Tensor::randn([1, plan.channels(), h, w], (Kind::Float, Device::Cpu)) * spread;
    to_wide(&x).clamp(-32767, 32767)
}

fn model(integers: &Integers) -> Model {
    let mut builder = ModelBuilder::new();
    builder.graph("forecaster", integers.graph("forecaster"));
    Model::from_bytes(&builder.to_bytes().expect("a file")).expect("a model")
}

fn codec(model: &Model, planes: &Tensor) -> Vec<i64> {
    let graph = model.graph("forecaster").expect("a forecaster");
    let size = planes.size();
    let mut session = Session::new(graph, size[2] as usize, size[3] as usize).expect("a session");
    let values: Vec<i64> = Vec::try_from(planes.reshape([-1])).expect("integers");
    for (to, from) in session.input_mut(0).iter_mut().zip(values) {
        *to = i16::try_from(from).expect("16 bits");
    }
    session.run(1);
    session.output(0).iter().map(|&v| i64::from(v)).collect()
}

#[test]
fn the_codec_computes_the_same_integers() {
    let _alone = alone();
    for (i, (_, plan)) in SIZES.iter().enumerate() {
        for (frames, levels) in [(2, 0), (3, 1)] {
            let plan = Plan { frames, levels, ..*plan };
            let integers = Integers::of(&random(&plan, i as i64, Device::Cpu));
            let model = model(&integers);
            // Small values, and such that saturate everywhere.
            for spread in [0.5, 3.0, 100.0] {
                let x = planes(&plan, 5 * MULTIPLE, 7 * MULTIPLE, spread);
                let ours: Vec<i64> = Vec::try_from(integers.evaluate(&x).reshape([-1])).expect("integers");
                assert!(ours.iter().any(|&v| v != ours[0]), "the output is not constant");
                assert_eq!(ours, codec(&model, &x), "plan {plan:?}, spread {spread}");
            }
        }
    }
}

#[test]
fn training_sees_what_the_integers_will_do() {
    let _alone = alone();
    let plan = SIZES[1].1;
    let mean = |t: &Tensor| t.abs().mean(Kind::Double).double_value(&[]);
    let (mut rounded, mut unrounded, mut typical) = (0.0, 0.0, 0.0);
    // Random numbers differ from machine to machine, and so do these networks: only several say something.
    for seed in 0..8 {
        let mut net = random(&plan, seed, Device::Cpu);
        let integers = Integers::of(&net);
        let x = planes(&plan, 64, 64, 1.0);
        let exact = integers.evaluate(&x).to_kind(Kind::Float);
        let off =
            |net: &Net| mean(&(no_grad(|| net.forward(&(x.to_kind(Kind::Float) / WIDE))) * WIDE - &exact));
        rounded += off(&net);
        net.rounded = false;
        unrounded += off(&net);
        typical += mean(&exact);
    }
    // A sum that lies on the edge between two integers may fall to either side, and moves what follows a little: about 1 %
    // of the outputs, a third of what training without rounding would be off by.
    assert!(rounded < 0.02 * typical, "mean difference {rounded} of {typical}");
    assert!(rounded < 0.6 * unrounded, "rounded {rounded}, not rounded {unrounded}");
}

#[test]
fn a_model_can_be_trained_further() {
    let _alone = alone();
    let plan = SIZES[0].1;
    let net = random(&plan, 3, Device::Cpu);
    let integers = Integers::of(&net);
    let file = model(&integers).bytes().to_vec();
    assert_eq!(Integers::read(&net.graph, "forecaster", &file), Ok(integers.clone()));
    let again = plan.net(Device::Cpu);
    integers.restore(&again);
    let x = planes(&plan, 64, 64, 1.0).to_kind(Kind::Float) / WIDE;
    let off = no_grad(|| net.forward(&x) - again.forward(&x)).abs().mean(Kind::Double).double_value(&[]);
    assert!(off < 0.01, "mean difference {off}");
    let other = SIZES[1].1.graph();
    assert!(Integers::read(&other, "forecaster", &file).is_err());
}
