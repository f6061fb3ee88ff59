//! Autoencoders: the integers that training exports are what the codec computes, and what training sees.

mod common;

use augur_core::network::build::ModelBuilder;
use augur_core::network::{Model, Session};
use augur_torch::autoencoder::{Autoencoder, Kind, Plan, Third, GRAPHS};
use augur_torch::block::integers::Integers;
use augur_torch::block::net::Net;
use common::alone;
use tch::{no_grad, Device, Kind as Type, Tensor};

fn swae(block: [i64; 3], channels: &[i64], latent: i64) -> Plan {
    Plan { kind: Kind::Swae, block, third: Third::Level, channels: channels.to_vec(), latent }
}

fn plans() -> Vec<Plan> {
    vec![
        swae([8, 8, 8], &[4, 6, 10], 5),
        swae([8, 8, 8], &[6, 10], 16),
        swae([1, 32, 32], &[3, 8, 8, 9], 7),
        swae([1, 16, 8], &[5], 3),
        swae([2, 4, 6], &[3], 2),
        Plan { kind: Kind::Cae, ..swae([1, 1, 512], &[64, 8, 1], 1) },
        Plan { kind: Kind::Cae, ..swae([1, 1, 4096], &[64, 16], 16) },
    ]
}

/// An autoencoder whose every layer does something.
fn random(plan: &Plan, seed: i64) -> Autoencoder {
    tch::manual_seed(seed);
    let nets = Autoencoder::new(plan, Device::Cpu);
    no_grad(|| {
        for v in nets.encoder.all().chain(nets.decoder.all()) {
            let spread = if v.dim() == 1 { 0.2 } else { 0.02 };
            let new = v + v.randn_like() * spread;
            v.shallow_clone().copy_(&new);
        }
    });
    nets
}

fn model(nets: &Autoencoder) -> Model {
    let mut builder = ModelBuilder::new();
    for (name, graph) in nets.describe() {
        builder.graph(name, graph);
    }
    Model::from_bytes(&builder.to_bytes().expect("a file")).expect("a model")
}

/// What a graph gives of blocks [lanes, channels, points...].
fn codec(model: &Model, name: &str, input: &Tensor) -> Vec<i64> {
    let lanes = input.size()[0];
    let graph = model.graph(name).expect("a graph");
    let mut session = Session::of_blocks(graph, lanes as usize).expect("a session");
    let values: Vec<i64> = list(&input.reshape([lanes, -1]).transpose(0, 1));
    for (to, from) in session.input_mut(0).iter_mut().zip(values) {
        *to = i16::try_from(from).expect("16 bits");
    }
    session.run(1);
    let output: Vec<i64> = session.output(0).iter().map(|&v| i64::from(v)).collect();
    list(&Tensor::from_slice(&output).view([-1, lanes]).transpose(0, 1))
}

fn list(x: &Tensor) -> Vec<i64> {
    Vec::try_from(x.contiguous().view([-1])).expect("integers")
}

/// Blocks as a network reads them, in units.
fn blocks(net: &Net, lanes: i64, spread: f64) -> Tensor {
    let [d, h, w] = net.chain.size;
    let shape = match (d * h * w, d) {
        (1, _) => vec![lanes, net.chain.channels],
        (_, 1) => vec![lanes, net.chain.channels, h, w],
        _ => vec![lanes, net.chain.channels, d, h, w],
    };
    let x = Tensor::randn(shape.as_slice(), (Type::Float, Device::Cpu)) * spread;
    (x * net.chain.values.unit).round().clamp(-32768.0, 32767.0).to_kind(Type::Int64)
}

#[test]
fn the_codec_computes_the_same_integers() {
    let _alone = alone();
    for (i, plan) in plans().iter().enumerate() {
        let nets = random(plan, i as i64);
        let model = model(&nets);
        for (net, name) in [&nets.encoder, &nets.decoder].into_iter().zip(GRAPHS) {
            let integers = Integers::of(net);
            // Small values, and such that saturate everywhere.
            for (spread, lanes) in [(0.3, 5), (1.0, 3), (30.0, 17)] {
                let x = blocks(net, lanes, spread);
                let ours = list(&integers.evaluate(&x));
                assert!(ours.iter().any(|&v| v != ours[0]), "the output is not constant");
                assert_eq!(ours, codec(&model, name, &x), "{plan:?}, {name}, spread {spread}");
            }
        }
    }
}

#[test]
fn training_sees_what_the_integers_will_do() {
    let _alone = alone();
    for (i, plan) in plans().iter().enumerate() {
        let nets = random(plan, i as i64);
        for net in [&nets.encoder, &nets.decoder] {
            let x = blocks(net, 20, if net.chain.channels == plan.latent { 1.0 } else { 0.3 });
            let float = no_grad(|| net.forward(&(x.to_kind(Type::Float) / net.chain.values.unit)));
            let exact = Integers::of(net).evaluate(&x).to_kind(Type::Float) / net.chain.end().2.unit;
            let mean = |x: Tensor| x.abs().mean(Type::Double).double_value(&[]);
            // A sum that lies on the edge between two integers may fall to either side, and moves what follows a little.
            let (off, typical) = (mean(&float - &exact), mean(exact));
            assert!(off < 0.04 * typical, "{plan:?}: mean difference {off} of {typical}");
        }
    }
}

#[test]
fn a_model_can_be_trained_further() {
    let _alone = alone();
    for (i, plan) in plans().iter().enumerate() {
        let nets = random(plan, i as i64);
        let file = model(&nets).bytes().to_vec();
        let again = Autoencoder::new(plan, Device::Cpu);
        again.start_from(&file).expect("the same architecture");
        for (a, b) in [(&nets.encoder, &again.encoder), (&nets.decoder, &again.decoder)] {
            for (a, b) in a.all().zip(b.all()) {
                let greatest = |x: Tensor| x.abs().max().double_value(&[]);
                let (off, most) = (greatest(a.abs() - b.abs()), greatest(a.detach()));
                assert!(off < 0.09 * most, "{plan:?}: {off} of {most}");
            }
        }
        let other = Plan { latent: plan.latent + 1, ..plan.clone() };
        assert!(Autoencoder::new(&other, Device::Cpu).start_from(&file).is_err());
    }
}

#[test]
fn a_model_states_what_the_codec_asks_for() {
    let _alone = alone();
    for plan in plans() {
        let model = model(&random(&plan, 1));
        let graphs = GRAPHS.map(|name| model.graph(name).expect("a graph"));
        let points = plan.points();
        for graph in graphs {
            assert_eq!(graph.block(), Some(plan.block.map(|n| n as usize)));
            assert_eq!((graph.inputs(), graph.outputs()), (1, 1));
        }
        let macs: f64 = graphs.iter().map(|g| g.macs_per_point()).sum();
        assert!((macs - plan.operations()).abs() < 1e-9 * macs, "{plan:?}: {macs} or {}", plan.operations());
        let channels = |port: Option<augur_core::network::Port>| port.map(|p| p.channels as i64);
        assert_eq!(channels(graphs[0].output(0)), Some(plan.latent));
        assert_eq!(channels(graphs[1].input(0)), Some(plan.latent));
        let values = if plan.kind == Kind::Cae { points } else { 1 };
        assert_eq!(channels(graphs[0].input(0)), Some(values));
        assert_eq!(channels(graphs[1].output(0)), Some(values));
    }
}

#[test]
fn what_cannot_be_computed_is_refused() {
    for (plan, part) in [
        (swae([8, 8, 8], &[4; 4], 8), "cannot be halved 4 times"),
        (swae([1, 1, 8], &[4], 2), "cannot be halved"),
        (swae([8, 8, 8], &[], 8), "channels"),
        (swae([8, 8, 8], &[4], 600), "latents"),
        (swae([1, 512, 512], &[4], 8), "possible"),
        (swae([1, 256, 256], &[64], 8), "more levels"),
        (swae([8, 8, 8], &[1024], 8), "512 channels"),
        (Plan { kind: Kind::Cae, ..swae([1, 8, 8], &[4], 4) }, "runs"),
    ] {
        let wrong = plan.check().expect_err("an error");
        assert!(wrong.contains(part), "{plan:?}: {wrong}");
    }
    plans().iter().for_each(|plan| assert_eq!(plan.check(), Ok(())));
}
