//! A backend of the process: used while it gives the defined values, given up with one warning when it fails.
//!
//! One test, as a process has one backend.

use augur_core::network::backend::{self, Backend, Evaluation, Network};
use augur_core::network::build::{GraphBuilder, ModelBuilder, Weights};
use augur_core::network::{Element, Graph, Session};
use augur_core::{Error, Model, Result};
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Every layer's definition, and what was asked of it.
struct Defined;

struct Loaded(Arc<Graph>);

struct Opened {
    session: Session,
    outputs: Vec<Vec<i16>>,
}

static LOADS: AtomicUsize = AtomicUsize::new(0);
static RUNS: AtomicUsize = AtomicUsize::new(0);
static FED: AtomicUsize = AtomicUsize::new(0);
static FAILS: AtomicBool = AtomicBool::new(false);
static WARNINGS: Mutex<Vec<String>> = Mutex::new(vec![]);

impl Backend for Defined {
    fn load(&self, model: &[u8], graph: &str) -> Result<Box<dyn Network>> {
        LOADS.fetch_add(1, Ordering::Relaxed);
        let model = Model::from_bytes(model)?;
        Ok(Box::new(Loaded(Arc::clone(model.graph(graph).expect("the graph")))))
    }
}

impl Network for Loaded {
    fn open(&self, size: [usize; 3]) -> Result<Box<dyn Evaluation>> {
        Ok(Box::new(Opened { session: Session::plain(&self.0, size)?, outputs: vec![] }))
    }
}

impl Evaluation for Opened {
    fn run(
        &mut self,
        inputs: &[Vec<i16>],
        fed: &[bool],
        outputs: &mut [Vec<i16>],
        threads: usize,
    ) -> Result<()> {
        RUNS.fetch_add(1, Ordering::Relaxed);
        if FAILS.load(Ordering::Relaxed) {
            outputs[0].fill(-1);
            return Err(Error::insufficient("no memory is left on the device"));
        }
        for (k, values) in inputs.iter().enumerate() {
            // Its own, where it may be.
            let values = if fed[k] && !self.outputs.is_empty() { &self.outputs[k] } else { values };
            FED.fetch_add(usize::from(fed[k]), Ordering::Relaxed);
            self.session.input_mut(k).copy_from_slice(values);
        }
        self.session.run(threads);
        for (k, values) in outputs.iter_mut().enumerate() {
            values.copy_from_slice(self.session.output(k));
        }
        self.outputs = outputs.to_vec();
        Ok(())
    }
}

struct Log;

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }

    fn log(&self, record: &log::Record) {
        WARNINGS.lock().expect("no panic").push(record.args().to_string());
    }

    fn flush(&self) {}
}

/// A graph that remembers: input 1 becomes output 1.
fn model() -> Model {
    let mut g = GraphBuilder::new("g");
    let (x, state) = (g.input(2, Element::I16), g.input(3, Element::I16));
    let both = g.layer("concat", &[x, state]);
    let conv = |outputs: usize| Weights {
        shape: vec![outputs, 5, 3, 3],
        weight: (0..outputs * 45).map(|i| (i * 37 % 256) as u8 as i8).collect(),
        bias: vec![77; outputs],
        multiplier: vec![20000; outputs],
        shift: vec![24; outputs],
    };
    let range = (-32768, 32767);
    let a = g.conv("conv2d", both, &conv(2), range, Element::I16, json!({}));
    let b = g.conv("conv2d", both, &conv(3), range, Element::I16, json!({}));
    g.key("outputs", json!([a, b]));
    Model::from_bytes(&ModelBuilder::new().graph("g", g).to_bytes().expect("a file")).expect("a model")
}

/// What some runs give that remember; `work` is done before each.
fn runs(model: &Model, mut work: impl FnMut(i16)) -> Vec<i16> {
    let mut session = Session::new(model.graph("g").expect("a graph"), 12, 20).expect("a session");
    let mut all = vec![];
    for t in 0..6i16 {
        work(t);
        session
            .input_mut(0)
            .iter_mut()
            .enumerate()
            .for_each(|(i, v)| *v = (i as i16).wrapping_mul(991) ^ (t * 77));
        if t == 3 {
            session.input_mut(1).fill(5);
        }
        session.run(2);
        session.feed_back(1);
        all.extend([session.output(0), session.output(1)].concat());
    }
    all
}

#[test]
fn a_backend_is_used_until_it_fails() {
    log::set_logger(&Log).expect("the only logger");
    log::set_max_level(log::LevelFilter::Warn);
    let native = runs(&model(), |_| {});
    assert!(!backend::in_use() && LOADS.load(Ordering::Relaxed) == 0);
    backend::provide(|| Some(Box::new(Defined)));

    let one = model();
    for turn in 1..3 {
        assert!(runs(&one, |_| {}) == native);
        // Of each run but the first, and the one whose state was set.
        assert_eq!(FED.load(Ordering::Relaxed), turn * 4);
    }
    // A graph is loaded and proven once.
    assert_eq!(LOADS.load(Ordering::Relaxed), 1);
    assert_eq!(RUNS.load(Ordering::Relaxed), 3 + 2 * 6);
    assert!(backend::in_use() && WARNINGS.lock().expect("no panic").is_empty());

    // In the middle of a session, and then another in it.
    let mut beside = Session::new(one.graph("g").expect("a graph"), 4, 4).expect("a session");
    assert!(runs(&one, |t| FAILS.store(t >= 2, Ordering::Relaxed)) == native);
    let count = RUNS.load(Ordering::Relaxed);
    assert_eq!(count, 3 + 2 * 6 + 3);
    beside.run(1);
    assert!(runs(&model(), |_| {}) == native);
    assert_eq!((RUNS.load(Ordering::Relaxed), LOADS.load(Ordering::Relaxed)), (count, 1));
    let warnings = WARNINGS.lock().expect("no panic");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("no memory is left on the device"), "{warnings:?}");
    assert!(!backend::in_use());
}
