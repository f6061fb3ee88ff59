//! Networks that remember: what is exported is what is trained, frame by frame, and what moves is forecast.

use augur_core::network::build::ModelBuilder;
use augur_core::network::{Element, Model, Session};
use augur_torch::graph::WIDE;
use augur_torch::integers::{to_wide, Integers};
use augur_torch::net::Net;
use augur_torch::recurrent::{Kind, Plan, GRAPH};
use std::sync::Mutex;
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
    let _alone = ALONE.lock().unwrap_or_else(|e| e.into_inner());
    tch::manual_seed(seed);
    let net = Net::new(plan.graph(), Device::Cpu);
    let values: Vec<Tensor> =
        net.variables().iter().map(|v| v + v.randn_like() * if v.dim() == 1 { 0.1 } else { 0.05 }).collect();
    net.restore(&values);
    net
}

/// libtorch has one generator of random numbers.
static ALONE: Mutex<()> = Mutex::new(());

fn frames(plan: &Plan, h: i64, w: i64, spread: f64) -> Vec<Tensor> {
    let _alone = ALONE.lock().unwrap_or_else(|e| e.into_inner());
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
fn training_sees_what_the_integers_will_remember() {
    for (i, plan) in plans().iter().enumerate() {
        let net = random(plan, 20 + i as i64);
        let integers = Integers::of(&net);
        let frames = frames(plan, 8 * plan.multiple(), 8 * plan.multiple(), 1.0);
        let values = augur_torch::graph::values(&net.graph.nodes);
        let units: Vec<f64> = net.graph.outputs.iter().map(|k| values[*k].unit).collect();
        let float = |x: &Tensor, k: usize| x.to_kind(Type::Float) / if k == 0 { WIDE } else { units[k] };
        let mean = |x: Tensor| x.abs().mean(Type::Double).double_value(&[]);
        let prepared = no_grad(|| net.prepared());
        let (mut exact, mut own) = (prepared.zeros(&frames[0]), prepared.zeros(&frames[0]));
        for frame in &frames {
            let inputs = [&[frame.shallow_clone()], &exact[..]].concat_tensors();
            let outputs = integers.run(&inputs);
            // From the same state, and from what rounding in floating point made of the states before.
            let same: Vec<Tensor> = inputs.iter().enumerate().map(|(k, x)| float(x, k)).collect();
            let same = no_grad(|| prepared.run(&same));
            let from_own = [&[float(frame, 0)], &own[..]].concat_tensors();
            let from_own = no_grad(|| prepared.run(&from_own));
            for (k, a) in outputs.iter().enumerate() {
                let off = |b: &Tensor| (a - b * units[k]).abs();
                // Where a sum lies on the edge between two integers it may fall to either side, and moves what follows.
                let typical = mean(a.shallow_clone());
                let (once, far) = (mean(off(&same[k])), mean(off(&from_own[k])));
                assert!(once < 0.02 * typical + 0.05, "{plan:?}, output {k}: {once} of {typical}");
                assert!(far < 0.3 * typical + 0.1, "{plan:?}, output {k} by and by: {far} of {typical}");
            }
            exact = outputs.into_iter().skip(1).collect();
            own = from_own.into_iter().skip(1).collect();
        }
    }
}

/// One list of all.
trait Together {
    fn concat_tensors(&self) -> Vec<Tensor>;
}

impl Together for [&[Tensor]; 2] {
    fn concat_tensors(&self) -> Vec<Tensor> {
        self.iter().flat_map(|t| t.iter().map(Tensor::shallow_clone)).collect()
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
