//! Known answers: a graph with every layer, whose values a backend must give before it is used.
//!
//! Among them are sums of 8-bit products that end just below 2^24, where float32 ceases to be exact, and beyond it, and
//! sums of 16-bit products near 2^30.

use augur_core::network::backend::{proven, Backend};
use augur_core::network::build::{GraphBuilder, ModelBuilder, Weights};
use augur_core::network::Element;
use augur_core::{Error, Model, Result};
use serde_json::json;

/// Checks a backend.
///
/// # Errors
/// What it says, or that its values are wrong.
pub fn passed(backend: &dyn Backend) -> Result<()> {
    let file = file()?;
    let model = Model::from_bytes(&file)?;
    let graph = model.graph(NAME).ok_or_else(|| Error::corruption("the proof has no graph"))?;
    proven(backend.load(&file, NAME)?.as_ref(), graph)
}

const NAME: &str = "proof";
const RELU: (i32, i32) = (0, 127);
const I8: (i32, i32) = (-128, 127);
const I16: (i32, i32) = (-32768, 32767);

/// The model file.
fn file() -> Result<Vec<u8>> {
    let mut builder = ModelBuilder::new();
    builder.metadata("name", "proof").graph(NAME, graph());
    builder.to_bytes()
}

/// Weights of all sizes.
fn weights(shape: &[usize], shift: u8) -> Weights {
    let n: usize = shape.iter().product();
    let outputs = shape[0];
    let mixed = |i: usize| (i as u32 + n as u32).wrapping_mul(2654435761) >> 16;
    Weights {
        shape: shape.to_vec(),
        weight: (0..n).map(|i| mixed(i) as i8).collect(),
        bias: (0..outputs).map(|o| mixed(o) as i32 % 8192 - 4096).collect(),
        multiplier: (0..outputs).map(|o| 16384 + mixed(o) as i32 % 16384).collect(),
        shift: vec![shift; outputs],
    }
}

/// Sums of inputs times 127, less the largest that there can be where `peak` is the largest input: the last bits of large
/// sums are seen.
fn largest(inputs: usize, peak: i32) -> Weights {
    Weights {
        shape: vec![1, inputs, 3, 3],
        weight: vec![127; inputs * 9],
        bias: vec![-127 * peak * 9 * inputs as i32],
        multiplier: vec![1],
        shift: vec![1],
    }
}

fn graph() -> GraphBuilder {
    let mut g = GraphBuilder::new(NAME);
    let x = g.node(json!({"op": "input", "channels": 3, "type": "i16", "rank": 3}));
    let state = g.node(json!({"op": "input", "channels": 3, "type": "i16", "rank": 3}));
    // An error unit.
    let relu = json!({"shift": 5, "type": "i8", "clamp": [0, 127]});
    let above = g.with("subtract", &[x, state], relu.clone());
    let below = g.with("subtract", &[state, x], relu);
    let e = g.layer("concat", &[above, below]);
    // Convolutions over levels and planes, in steps of one and two, there and back.
    let a = g.conv("conv3d", e, &weights(&[8, 6, 3, 3, 3], 22), I8, Element::I8, json!({}));
    let b = g.conv("conv3d", a, &weights(&[6, 8, 1, 3, 3], 22), RELU, Element::I8, json!({"stride": 2}));
    let c = g.conv("conv2d", b, &weights(&[8, 6, 5, 3], 22), I8, Element::I8, json!({}));
    let d = g.conv("conv2d", c, &weights(&[4, 8, 3, 3], 21), I8, Element::I8, json!({"stride": 2}));
    let t = g.conv("conv2d_transposed", d, &weights(&[6, 4, 5, 3], 21), I8, Element::I8, json!({}));
    let dense = g.conv("dense", t, &weights(&[6, 6], 20), I8, Element::I8, json!({}));
    // Gates and normalisation.
    let table: Vec<i8> = (0..256).map(|i| ((i - 128) * (300 - i) / 200).clamp(-128, 127) as i8).collect();
    let table = g.tensor("table", &[256], &table);
    let gate = g.with("table", &[dense], json!({ "table": table }));
    let hard = g.with("rescale", &[b], json!({"multiplier": 24577, "shift": 14, "clamp": [-100, 127]}));
    let product = g.with("multiply", &[gate, hard], json!({"shift": 3, "type": "i16"}));
    let gamma: Vec<i8> = (0..36).map(|i| (i * 7 % 128) as i8).collect();
    let gamma = g.tensor("gamma", &[6, 6], &gamma);
    let beta = g.tensor("beta", &[6], &[1i32, 2, 30, 400, 5000, 60000]);
    let m = g.tensor("gdn.multiplier", &[6], &[1 << 20, 1 << 24, 123_456, 7_654_321, 1 << 30, i32::MAX]);
    let n = g.with("gdn", &[gate], json!({"type": "i16", "gamma": gamma, "beta": beta, "multiplier": m}));
    let m = g.tensor("igdn.multiplier", &[6], &[20000i32, 300, 20, 1, 7, 32767]);
    let s = g.tensor("igdn.shift", &[6], &[24u8, 20, 18, 16, 14, 30]);
    let i = g.with(
        "igdn",
        &[hard],
        json!({"type": "i16", "gamma": gamma, "beta": beta, "multiplier": m, "shift": s}),
    );
    let sum = g.with("add", &[n, i], json!({"clamp": [-30000, 30000]}));
    let sum = g.with("add", &[sum, product], json!({}));
    let steps = g.with("quantise", &[sum], json!({"step": 7}));
    // Points that move.
    let part = g.slice(x, 1, 2);
    let apart = g.layer("space_to_depth", &[part]);
    let mixed = g.conv("conv2d", apart, &weights(&[8, 8, 3, 3], 29), I16, Element::I16, json!({}));
    let together = g.layer("depth_to_space", &[mixed]);
    // Mostly the largest value, in many channels: sums of 16.7 and 18.6 million in 8 bits, of a thousand million in 16.
    let pool = g.layer("maxpool", &[x]);
    let wide = g.with("rescale", &[pool], json!({"multiplier": 32767, "shift": 14}));
    let wide = g.layer("upsample", &[wide]);
    let one = g.slice(wide, 0, 1);
    let narrow = g.with("rescale", &[one], json!({"multiplier": 1, "shift": 8, "type": "i8"}));
    let many = |g: &mut GraphBuilder, from: usize, count: usize| g.layer("concat", &vec![from; count]);
    let (below, beyond) = (many(&mut g, narrow, 115), many(&mut g, narrow, 128));
    let widest = many(&mut g, one, 28);
    let low = g.conv("conv2d", below, &largest(115, 127), I16, Element::I16, json!({}));
    let high = g.conv("conv2d", beyond, &largest(128, 127), I16, Element::I16, json!({}));
    let top = g.conv("conv2d", widest, &largest(28, 32767), I16, Element::I16, json!({}));
    g.key("outputs", json!([a, c, t, n, i, sum, steps, together, wide, low, high, top]));
    g
}

#[cfg(test)]
mod tests {
    use super::*;
    use augur_core::network::backend::{Evaluation, Network};
    use augur_core::network::{Graph, Session};
    use std::sync::Arc;

    /// The definition itself, but for what `wrong` does to its outputs.
    struct Defined {
        wrong: fn(&mut [Vec<i16>]) -> Result<()>,
    }

    struct Loaded(Arc<Graph>, fn(&mut [Vec<i16>]) -> Result<()>);

    struct Opened(Session, fn(&mut [Vec<i16>]) -> Result<()>);

    impl Backend for Defined {
        fn load(&self, model: &[u8], graph: &str) -> Result<Box<dyn Network>> {
            let model = Model::from_bytes(model)?;
            Ok(Box::new(Loaded(Arc::clone(model.graph(graph).unwrap()), self.wrong)))
        }
    }

    impl Network for Loaded {
        fn open(&self, size: [usize; 3]) -> Result<Box<dyn Evaluation>> {
            Ok(Box::new(Opened(Session::plain(&self.0, size)?, self.1)))
        }
    }

    impl Evaluation for Opened {
        fn run(&mut self, inputs: &[Vec<i16>], _: &[bool], outputs: &mut [Vec<i16>], _: usize) -> Result<()> {
            inputs.iter().enumerate().for_each(|(k, v)| self.0.input_mut(k).copy_from_slice(v));
            self.0.run(1);
            outputs.iter_mut().enumerate().for_each(|(k, v)| v.copy_from_slice(self.0.output(k)));
            (self.1)(outputs)
        }
    }

    #[test]
    fn the_definition_passes_and_one_wrong_bit_does_not() {
        passed(&Defined { wrong: |_| Ok(()) }).unwrap();
        for output in 0..12 {
            // Nothing is constant: what a backend computes is seen.
            let file = file().unwrap();
            let model = Model::from_bytes(&file).unwrap();
            let mut session = Session::plain(model.graph(NAME).unwrap(), [4, 16, 16]).unwrap();
            let seen = |i: usize| (i as u32).wrapping_mul(2654435761) as i32 >> 16;
            for k in 0..2 {
                session.input_mut(k).iter_mut().enumerate().for_each(|(i, v)| *v = seen(i + k) as i16);
            }
            session.run(1);
            assert!(session.output(output).iter().any(|v| *v != session.output(output)[0]), "{output}");
        }
        let error = passed(&Defined {
            wrong: |outputs| {
                outputs[3][100] ^= 1;
                Ok(())
            },
        });
        assert!(error.unwrap_err().message().contains("value 100 of output 3"));
        assert!(passed(&Defined { wrong: |_| Err(Error::invalid("no")) }).is_err());
    }
}
