//! Networks that remember: what is exported is what is trained, frame by frame, and what moves is forecast.

mod common;

use augur_core::network::build::ModelBuilder;
use augur_core::network::{Element, Model, Session};
use augur_torch::graph::{values, Node};
use augur_torch::integers::{to_wide, Integers};
use augur_torch::net::Net;
use augur_torch::recurrent::{Kind, Plan, GRAPH};
use common::alone;
use tch::{no_grad, Device, Kind as Type, Tensor};

/// Frames that a network is run over.
const RUNS: usize = 5;

fn plans() -> Vec<Plan> {
    let of = |kind, size, channels, planes| Plan::new(kind, size, channels, planes).expect("a size");
    vec![
        of(Kind::PredNet, "small", 1, 2),
        of(Kind::PredNet, "small", 3, 1),
        of(Kind::PredNet, "medium", 2, 2),
        Plan { widths: vec![3, 6, 12, 20], ..of(Kind::PredNet, "tezip", 3, 1) },
        Plan { widths: vec![5], ..of(Kind::PredNet, "small", 1, 2) },
        of(Kind::ConvLstm, "small", 1, 2),
        of(Kind::ConvLstm, "medium", 3, 1),
        Plan { widths: vec![6], ..of(Kind::ConvLstm, "small", 1, 1) },
    ]
}

/// A network whose every layer does something.
fn random(plan: &Plan, seed: i64) -> Net {
    let _alone = alone();
    tch::manual_seed(seed);
    let net = Net::new(plan.graph(), Device::Cpu);
    let values: Vec<Tensor> =
        net.variables().iter().map(|v| v + v.randn_like() * if v.dim() == 1 { 0.1 } else { 0.05 }).collect();
    net.restore(&values);
    net
}

fn frames(plan: &Plan, h: i64, w: i64, spread: f64) -> Vec<Tensor> {
    let _alone = alone();
    tch::manual_seed(h + w);
    let frame = |_| {
        let x = Tensor::randn([1, plan.channels * plan.planes, h, w], (Type::Float, Device::Cpu)) * spread;
        to_wide(&x).clamp(-32767, 32767)
    };
    (0..RUNS).map(frame).collect()
}

fn list(x: &Tensor) -> Vec<i64> {
    Vec::try_from(x.reshape([-1])).expect("integers")
}

fn model(plan: &Plan, net: &Net) -> Model {
    let mut builder = ModelBuilder::new();
    builder.graph(GRAPH, plan.describe(net));
    Model::from_bytes(&builder.to_bytes().expect("a file")).expect("a model")
}

/// All outputs of all runs in the codec.
fn codec(model: &Model, frames: &[Tensor]) -> Vec<Vec<i64>> {
    let graph = model.graph(GRAPH).expect("a graph");
    let size = frames[0].size();
    let mut session = Session::new(graph, size[2] as usize, size[3] as usize).expect("a session");
    let mut all = vec![];
    for frame in frames {
        for (to, from) in session.input_mut(0).iter_mut().zip(list(frame)) {
            *to = i16::try_from(from).expect("16 bits");
        }
        session.run(1);
        for k in 0..graph.outputs() {
            all.push(session.output(k).iter().map(|&v| i64::from(v)).collect());
            if k > 0 {
                session.feed_back(k);
            }
        }
    }
    all
}

/// All outputs of all runs of a network in training or of integers, in the order of the codec's.
fn runs(frames: &[Tensor], states: Vec<Tensor>, run: impl Fn(&[Tensor]) -> Vec<Tensor>) -> Vec<Tensor> {
    let (mut states, mut all) = (states, vec![]);
    for frame in frames {
        let mut inputs = vec![frame.shallow_clone()];
        inputs.append(&mut states);
        let outputs = run(&inputs);
        states = outputs[1..].iter().map(Tensor::shallow_clone).collect();
        all.extend(outputs);
    }
    all
}

#[test]
fn the_codec_remembers_the_same_integers() {
    for (i, plan) in plans().iter().enumerate() {
        let net = random(plan, i as i64);
        let model = model(plan, &net);
        let integers = Integers::of(&net);
        let (h, w) = (3 * plan.multiple(), 5 * plan.multiple());
        for spread in [0.5, 3.0, 100.0] {
            let frames = frames(plan, h, w, spread);
            let zeros = net.prepared().zeros(&frames[0]);
            let zeros = zeros.iter().map(|z| z.to_kind(Type::Int64)).collect();
            let ours = runs(&frames, zeros, |inputs| integers.run(inputs));
            let theirs = codec(&model, &frames);
            assert_eq!(ours.len(), theirs.len());
            for (k, (a, b)) in ours.iter().zip(&theirs).enumerate() {
                assert!(list(a) == *b, "plan {plan:?}, spread {spread}, output {k}");
                // Nothing that is remembered stays what it was.
                let last = k >= ours.len() - ours.len() / RUNS;
                assert!(!last || b.iter().any(|v| *v != b[0]), "plan {plan:?}, output {k} is constant");
            }
        }
    }
}

#[test]
fn training_sees_in_each_layer_what_the_integers_give() {
    for (i, plan) in plans().iter().enumerate() {
        let net = random(plan, 20 + i as i64);
        let integers = Integers::of(&net);
        let frames = frames(plan, 8 * plan.multiple(), 8 * plan.multiple(), 1.0);
        let values = values(&net.graph.nodes);
        let prepared = no_grad(|| net.prepared());
        let mut inputs = prepared.zeros(&frames[0]);
        for frame in &frames {
            inputs.insert(0, frame.shallow_clone());
            let exact = integers.nodes(&inputs);
            let float = |k: usize| exact[k].to_kind(Type::Float) / values[k].unit;
            let all: Vec<Tensor> = (0..exact.len()).map(float).collect();
            for (k, node) in net.graph.nodes.iter().enumerate() {
                if matches!(node, Node::Input { .. }) {
                    continue;
                }
                let off = no_grad(|| prepared.node(k, &all[..k]) * values[k].unit - &exact[k]).abs();
                let most = off.max().double_value(&[]);
                // A sum that lies on the edge between two integers may fall to either side; nothing else may differ.
                let edge = if matches!(node, Node::Conv { .. }) { 1.0 } else { 0.0 };
                assert!(most <= edge, "{plan:?}, node {k}, {node:?}: {most}");
                let share = off.gt(0.5).to_kind(Type::Double).mean(Type::Double).double_value(&[]);
                assert!(share < 0.05, "{plan:?}, node {k}, {node:?}: {share} of the points");
            }
            inputs = net.graph.outputs[1..].iter().map(|k| exact[*k].shallow_clone()).collect();
        }
    }
}

#[test]
fn a_model_states_what_the_codec_asks_for() {
    for plan in plans() {
        let model = model(&plan, &random(&plan, 1));
        let graph = model.graph(GRAPH).expect("a graph");
        assert_eq!(graph.integer("channels"), Some(plan.channels));
        assert_eq!(graph.integer("planes"), Some(plan.planes));
        assert_eq!(graph.inputs(), graph.outputs());
        assert_eq!(graph.multiple() as i64, plan.multiple());
        let frame = graph.input(0).expect("an input");
        assert_eq!((frame.element, frame.channels as i64), (Element::I16, plan.channels * plan.planes));
        let forecast = graph.output(0).expect("an output");
        assert_eq!((forecast.element, forecast.channels as i64), (Element::I16, plan.channels));
        for k in 1..graph.inputs() {
            assert_eq!(graph.input(k), graph.output(k), "state {k}");
        }
        assert_eq!(graph.macs_per_point(), plan.graph().operations());
    }
    for (kind, size, most) in
        [(Kind::PredNet, "small", 5e3), (Kind::ConvLstm, "small", 5e3), (Kind::PredNet, "medium", 2e4)]
    {
        let operations = Plan::new(kind, size, 1, 2).expect("a size").graph().operations();
        assert!(operations < most, "{kind:?} {size}: {operations}");
    }
    let tezip = Plan::new(Kind::PredNet, "tezip", 3, 1).expect("a size").graph();
    assert!((tezip.operations() / 335e3 - 1.0).abs() < 0.05, "{}", tezip.operations());
    assert!((tezip.parameters() as f64 / 6.9e6 - 1.0).abs() < 0.05, "{}", tezip.parameters());
}
