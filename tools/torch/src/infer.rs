//! Evaluation of a model file's graph: the codec's integers, computed by libtorch on a CPU or a GPU.
//!
//! Sums are products of matrices in a range in which floating-point numbers are exact ([`matrix`]), everything else is
//! integer arithmetic on tensors. Values lie as \[level\]\[channel\]\[row\]\[column\], so that two-dimensional layers see
//! levels as a batch, in 16 bits.

pub mod matrix;

use augur_core::network::layers::{Gdn, Node, Op};
use augur_core::network::{Graph, Model};
use matrix::{column, Sums};
use std::sync::Arc;
use tch::{no_grad, Device, Kind, Tensor};

/// A graph whose weights are on a device.
#[derive(Debug)]
pub struct Network {
    graph: Arc<Graph>,
    layers: Vec<Layer>,
    /// The node that reads each node last.
    last: Vec<usize>,
    device: Device,
}

// SAFETY: its tensors are made in `new` and only read from then on, which libtorch allows from several threads.
unsafe impl Sync for Network {}

/// What a node computes with.
#[derive(Debug)]
enum Layer {
    Plain,
    Sums(Sums),
    Table(Tensor),
    Gdn { gamma: Tensor, beta: Tensor, multiplier: Tensor, shift: Option<Tensor> },
}

/// A network at one size, with what it gave last.
#[derive(Debug)]
pub struct Evaluation {
    network: Arc<Network>,
    size: [usize; 3],
    outputs: Vec<Tensor>,
}

/// The device that a name asks for: `cpu`, `cuda`, or `auto` for CUDA where it is there.
///
/// # Errors
/// That there is none, or no such name.
pub fn device(name: &str) -> Result<Device, String> {
    match name {
        "cpu" => Ok(Device::Cpu),
        "auto" => Ok(Device::cuda_if_available()),
        "cuda" if tch::Cuda::is_available() => Ok(Device::Cuda(0)),
        "cuda" => Err("this libtorch finds no CUDA device".into()),
        _ => Err(format!("there is no device \"{name}\"")),
    }
}

impl Network {
    /// Reads the graph `name` of a model file.
    ///
    /// # Errors
    /// What is wrong with the file, or that it has no such graph.
    pub fn new(model: &[u8], name: &str, device: Device) -> Result<Self, String> {
        let model = Model::from_bytes(model).map_err(|e| e.to_string())?;
        let graph = Arc::clone(model.graph(name).ok_or_else(|| format!("it has no graph \"{name}\""))?);
        if graph.block().is_some() {
            return Err(format!("the graph \"{name}\" is computed for blocks, which is not done here"));
        }
        let nodes = graph.nodes();
        let layer = |node: &Node| match &node.op {
            Op::Conv(conv) => Layer::Sums(Sums::new(conv, nodes[node.inputs[0]].range, device)),
            Op::Table(table) => {
                Layer::Table(Tensor::from_slice(table).to_kind(Kind::Int16).to_device(device))
            }
            Op::Gdn(gdn) => normalising(gdn, device),
            _ => Layer::Plain,
        };
        let layers = no_grad(|| nodes.iter().map(layer).collect());
        let mut last: Vec<usize> = (0..nodes.len()).collect();
        for (k, node) in nodes.iter().enumerate() {
            node.inputs.iter().for_each(|&i| last[i] = k);
        }
        graph.ends().1.iter().for_each(|&k| last[k] = usize::MAX);
        Ok(Self { graph, layers, last, device })
    }

    /// The graph.
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// Number of matrices in float32 and in float64.
    pub fn matrices(&self) -> [usize; 2] {
        let of = |layer: &Layer| if let Layer::Sums(s) = layer { s.matrices() } else { [0; 2] };
        self.layers.iter().map(of).fold([0; 2], |a, b| [a[0] + b[0], a[1] + b[1]])
    }

    /// The values of a node whose inputs are there.
    fn node(&self, k: usize, values: &[Option<Tensor>]) -> Tensor {
        let node = &self.graph.nodes()[k];
        let read = |i: usize| values[node.inputs[i]].as_ref().expect("nodes come after what they read");
        let x = read(0);
        let (low, high) = (i64::from(node.range.0), i64::from(node.range.1));
        let limited = |t: Tensor| t.clamp(low, high).to_kind(Kind::Int16);
        let wide = |i: usize| read(i).to_kind(Kind::Int);
        match (&node.op, &self.layers[k]) {
            (_, Layer::Sums(sums)) => sums.of(x, node.range),
            (_, Layer::Table(table)) => table.take(&(x.to_kind(Kind::Int64) + 128)),
            (_, Layer::Gdn { gamma, beta, multiplier, shift }) => {
                limited(normalised(x, gamma, beta, multiplier, shift.as_ref()))
            }
            (Op::Upsample, _) => {
                let twice = |t: &Tensor, dim: i64| t.repeat_interleave_self_int(2, dim, None);
                let planes = twice(&twice(x, 2), 3);
                if node.levels {
                    twice(&planes, 0)
                } else {
                    planes
                }
            }
            (Op::SpaceToDepth, _) => x.pixel_unshuffle(2),
            (Op::DepthToSpace, _) => x.pixel_shuffle(2),
            (Op::Concat, _) => Tensor::cat(&(0..node.inputs.len()).map(read).collect::<Vec<_>>(), 1),
            (Op::Slice(from), _) => x.narrow(1, *from as i64, node.channels as i64),
            (Op::Add, _) => limited(wide(0) + wide(1)),
            (Op::Subtract { shift }, _) => {
                let shift = i64::from(*shift);
                limited((wide(0) - wide(1) + ((1 << shift) >> 1)).bitwise_right_shift_tensor_scalar(shift))
            }
            (Op::Multiply { shift }, _) => {
                let shift = i64::from(*shift);
                limited((wide(0) * wide(1) + (1 << (shift - 1))).bitwise_right_shift_tensor_scalar(shift))
            }
            (Op::Rescale { multiplier, shift }, _) => {
                let (multiplier, shift) = (i64::from(*multiplier), i64::from(*shift));
                let product = x.to_kind(Kind::Int64) * multiplier + (1 << (shift - 1));
                limited(product.bitwise_right_shift_tensor_scalar(shift))
            }
            (Op::MaxPool, _) => {
                let [l, c, h, w] = sizes(x);
                let levels = if node.levels { 2 } else { 1 };
                x.reshape([l / levels, levels, c, h / 2, 2, w / 2, 2]).amax([1i64, 4, 6].as_slice(), false)
            }
            (Op::Quantise { step }, _) => {
                let step = i64::from(*step);
                limited((wide(0) + step / 2).divide_scalar_mode(step, "floor") * step)
            }
            (
                Op::Input(_) | Op::Conv(_) | Op::Table(_) | Op::Gdn(_) | Op::Flatten | Op::Unflatten,
                Layer::Plain,
            ) => {
                unreachable!("inputs are given, graphs of blocks refused, the others have weights")
            }
        }
    }
}

impl Evaluation {
    /// An evaluation of a network for `size` levels, rows and columns.
    ///
    /// # Errors
    /// That the graph cannot have this size.
    pub fn new(network: &Arc<Network>, size: [usize; 3]) -> Result<Self, String> {
        let graph = &network.graph;
        let (levels, plane) = (graph.multiple_of_levels(), graph.multiple());
        let fits = size[0].is_multiple_of(levels) && size[1..].iter().all(|n| n.is_multiple_of(plane));
        if size.contains(&0) || !fits {
            return Err(format!("the graph reads multiples of {levels} x {plane} x {plane}, not {size:?}"));
        }
        Ok(Self { network: Arc::clone(network), size, outputs: vec![] })
    }

    /// Computes the outputs, \[channel\]\[level\]\[row\]\[column\] as the inputs are. Where `fed` says so, an input is the
    /// output of the same number that the last run gave.
    ///
    /// # Errors
    /// That there are other numbers of inputs, outputs or values.
    pub fn run(
        &mut self,
        inputs: &[&[i16]],
        fed: &[bool],
        outputs: &mut [&mut [i16]],
        threads: usize,
    ) -> Result<(), String> {
        let before = tch::get_num_threads();
        let wanted = i32::try_from(threads.max(1)).unwrap_or(i32::MAX);
        // A program that has libtorch for itself may have an idea of its own.
        let set = |n: i32, now: i32| {
            if n != now {
                tch::set_num_threads(n);
            }
        };
        set(wanted, before);
        let done = no_grad(|| self.run_here(inputs, fed, outputs));
        set(before, wanted);
        done
    }

    fn run_here(
        &mut self,
        inputs: &[&[i16]],
        fed: &[bool],
        outputs: &mut [&mut [i16]],
    ) -> Result<(), String> {
        let network = Arc::clone(&self.network);
        let (nodes, (ins, outs)) = (network.graph.nodes(), network.graph.ends());
        if (inputs.len(), fed.len(), outputs.len()) != (ins.len(), ins.len(), outs.len()) {
            return Err(format!("the graph has {} inputs and {} outputs", ins.len(), outs.len()));
        }
        let values = |k: usize| nodes[k].channels * nodes[k].size(self.size).iter().product::<usize>();
        let all = inputs.iter().map(|v| v.len()).zip(ins.iter().copied());
        for (found, k) in all.chain(outputs.iter().map(|v| v.len()).zip(outs.iter().copied())) {
            if found != values(k) {
                return Err(format!("node {k} has {} values, {found} were given", values(k)));
            }
        }
        let before = std::mem::take(&mut self.outputs);
        let mut found: Vec<Option<Tensor>> = nodes.iter().map(|_| None).collect();
        for (k, node) in nodes.iter().enumerate() {
            let value = match node.op {
                Op::Input(index) => {
                    let size = node.size(self.size).map(|n| n as i64);
                    let shape = [node.channels as i64, size[0], size[1], size[2]];
                    let x = match before.get(index).filter(|_| fed[index]) {
                        Some(kept) => kept.reshape(shape),
                        None => Tensor::from_slice(inputs[index]).to_device(network.device).view(shape),
                    };
                    // What is proven of the sums holds for these only.
                    let (low, high) = (i64::from(node.range.0), i64::from(node.range.1));
                    x.clamp(low, high).permute([1, 0, 2, 3])
                }
                _ => network.node(k, &found),
            };
            found[k] = Some(value);
            for &i in &node.inputs {
                if network.last[i] == k {
                    found[i] = None;
                }
            }
        }
        for (to, &k) in outputs.iter_mut().zip(outs) {
            let value = found[k].as_ref().expect("every node was computed");
            let value = value.permute([1, 0, 2, 3]).contiguous();
            value.to_device(Device::Cpu).copy_data(to, to.len());
            self.outputs.push(value);
        }
        Ok(())
    }
}

/// Levels, channels, rows, columns.
fn sizes(x: &Tensor) -> [i64; 4] {
    let (l, c, h, w) = x.size4().expect("values have four axes");
    [l, c, h, w]
}

fn normalising(gdn: &Gdn, device: Device) -> Layer {
    let channels = gdn.beta.len() as i64;
    Layer::Gdn {
        gamma: Tensor::from_slice(&gdn.gamma)
            .to_kind(Kind::Double)
            .view([1, channels, channels])
            .to_device(device),
        beta: column(gdn.beta.iter().map(|&v| v.into()), device),
        multiplier: column(gdn.multiplier.iter().map(|&v| v.into()), device),
        shift: gdn.inverse.as_ref().map(|s| column(s.iter().map(|&v| v.into()), device)),
    }
}

/// Before the clamp. Sums stay below 2^31: exact in float64.
fn normalised(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    multiplier: &Tensor,
    shift: Option<&Tensor>,
) -> Tensor {
    let [l, c, h, w] = sizes(x);
    let squares = x.to_kind(Kind::Double).square().reshape([l, c, h * w]);
    let sums = gamma.matmul(&squares).to_kind(Kind::Int64).view([l, c, h, w]) + beta;
    let radicand = sums * (1 << 16);
    // Whatever the device's square root rounds like.
    let near = radicand.to_kind(Kind::Double).sqrt().to_kind(Kind::Int64);
    let near = &near - (&near * &near).gt_tensor(&radicand).to_kind(Kind::Int64);
    let above = &near + 1;
    let root = near + (&above * &above).le_tensor(&radicand).to_kind(Kind::Int64);
    let v = x.to_kind(Kind::Int64);
    match shift {
        Some(shift) => {
            let half = Tensor::ones_like(shift).bitwise_left_shift(&(shift - 1));
            (v * root * multiplier + half).bitwise_right_shift(shift)
        }
        None => (v * multiplier * 2 + &root).divide_tensor_mode(&(root * 2), "floor"),
    }
}
