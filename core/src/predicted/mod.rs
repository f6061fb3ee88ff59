//! Predicted chunks: grid, references, predictor, quantiser and entropy coder put together.
//!
//! [`encode`] and [`decode`] walk the same predictor over the same bands; the parts of the payload, in the order in
//! which they are written, are in [`side`].

mod apart;
pub mod band;
mod blockwise;
mod choose;
mod decode;
mod direct;
pub mod encode;
mod exact;
mod gains;
mod grids;
mod holes;
mod latent;
mod learned;
pub mod mapped;
mod masked;
mod rehearsal;
mod rivals;
pub mod side;
mod target;

pub use decode::decode;
pub use direct::Wanted;
pub use encode::{encode, Given, Shown};

use crate::chunk::Frames;
use crate::error::Result;
use crate::predict::blockwise::MODES;
use crate::predict::multiscale::Weights;
use crate::predict::Band;
use crate::reference::window::Window;
use crate::reference::TimeOrder;
use crate::stream::parts::Reader;
use side::{FrameKind, Predictor, Side};

/// How a payload was made, in words: predictor, order in time, and where its bytes went.
///
/// # Errors
/// As [`decode`], for what reading the side information finds.
pub fn describe(payload: &[u8], frames: &Frames, value_size: usize) -> Result<String> {
    let mut r = Reader::new(payload);
    let side = Side::read(&mut r, frames, value_size)?;
    let before_tables = r.rest().len();
    if matches!(side.predictor, Predictor::Multiscale(_) | Predictor::Lorenzo(_)) {
        side::read_tables(&mut r)?;
    }
    let after_tables = r.rest().len();
    let predictor = match &side.predictor {
        Predictor::Multiscale(sent) => {
            let plan = side.plan(frames);
            let taps = Weights::new(side.scale, &plan, sent).mean_taps(&plan, frames);
            format!("multiscale with {taps:.1} weights a point")
        }
        Predictor::Lorenzo(n) => format!("lorenzo in {}", n.name()),
        Predictor::Direct(direct) => {
            let keys = direct.keys.iter().filter(|k| **k).count();
            let open = if direct.open_loop { ", in open loop" } else { "" };
            format!("direct with {keys} key frame(s) of {}{open}", direct.keys.len())
        }
        Predictor::Blockwise(blockwise) => {
            let all = blockwise.modes.len().max(1) as f64;
            let shares: Vec<String> = MODES
                .iter()
                .map(|m| (m.name(), 100.0 * blockwise.count(*m) as f64 / all))
                .filter(|s| s.1 > 0.0)
                .map(|(name, share)| format!("{share:.1} % by {name}"))
                .collect();
            format!("{} {}, {}", blockwise.modes.len(), blockwise.shape.name(), shares.join(", "))
        }
    };
    let order = match side.order {
        _ if matches!(side.predictor, Predictor::Blockwise(_)) => "Huffman codes",
        TimeOrder::Reconstructed { hierarchical: false } => {
            "previous frames and reconstructions by an autoencoder"
        }
        TimeOrder::Reconstructed { hierarchical: true } => {
            "hierarchical in time, with reconstructions by an autoencoder"
        }
        TimeOrder::Previous => "previous frames",
        TimeOrder::Hierarchical => "hierarchical in time",
        TimeOrder::Independent => "no references",
        TimeOrder::Forecast(Window::Past { .. }) => "previous frames and forecasts by a network",
        TimeOrder::Forecast(Window::Recurrent { .. }) => {
            "previous frames and forecasts by a recurrent network"
        }
        TimeOrder::Forecast(Window::Between) => "hierarchical in time and interpolation by a network",
    };
    let corrected = match side.corrected {
        Some(classes) => format!(", corrected by a network in {} classes", classes.count()),
        None => String::new(),
    };
    let count = |kind| side.kinds.iter().filter(|k| **k == kind).count();
    let mut text = format!(
        "{predictor}, {order}{corrected}, {} band(s); side information {} B, tables {} B, residuals {} B",
        side.bands,
        payload.len() - before_tables,
        before_tables - after_tables,
        after_tables
    );
    for (kind, name) in
        [(FrameKind::Fine, "kept from an earlier decoding"), (FrameKind::Provisional, "provisional")]
    {
        if count(kind) > 0 {
            text += &format!("; {} of {} frames {name}", count(kind), frames.count());
        }
    }
    if let Some(special) = &side.special {
        text += &format!("; {special}");
    }
    if !side.patches.is_empty() {
        text += &format!("; {} points stored exactly", side.patches.len());
    }
    Ok(text)
}

/// Which of the time steps are final, from which of the frames are.
pub fn final_steps(frames: &[bool], steps: usize) -> Vec<bool> {
    let mut out = vec![true; steps];
    for (f, _) in frames.iter().enumerate().filter(|(_, is_final)| !**is_final) {
        // A frame is a part of a step, or a chunk of one frame holds them all.
        let first = f * steps / frames.len();
        let last = ((f + 1) * steps).div_ceil(frames.len());
        out[first..last].fill(false);
    }
    out
}

/// Whether the payload was made by the direct predictor, which loses counts of integers though its unit is one.
pub fn is_direct(payload: &[u8]) -> bool {
    payload.first().is_some_and(|method| method & 15 == side::DIRECT)
}

/// Points from which on a chunk is cut into bands that can be coded at the same time. Smaller bands lose
/// neighbours at their edges.
const BAND_POINTS: usize = 1 << 18;
/// Fewest rows of a band.
const BAND_ROWS: usize = 80;

/// Number of bands for a chunk of this shape; it depends on nothing else, so that streams do not depend on the
/// number of threads. A power of two, as numbers of cores are: one thread is not to wait for another's second band.
fn band_count(frames: &Frames) -> usize {
    let most = (frames.count() * frames.area() / BAND_POINTS).min(frames.height / BAND_ROWS);
    1 << most.clamp(1, side::MAX_BANDS).ilog2()
}

/// The rows of each of `count` bands.
fn bands(frames: &Frames, count: usize) -> Vec<Band> {
    (0..count)
        .map(|i| {
            let top = i * frames.height / count;
            let end = (i + 1) * frames.height / count;
            Band { top, height: end - top, width: frames.width }
        })
        .collect()
}

/// The rows of each band in the values of a chunk: for each band a slice for every frame.
fn band_rows<'a, T>(
    values: &'a mut [T],
    frames: &Frames,
    bands: &[Band],
    value_size: usize,
) -> Vec<Vec<&'a mut [T]>> {
    let mut out: Vec<Vec<&mut [T]>> = bands.iter().map(|_| Vec::with_capacity(frames.count())).collect();
    for mut frame in values.chunks_exact_mut(frames.area() * value_size) {
        for (band, rows) in bands.iter().zip(&mut out) {
            let (own, rest) = frame.split_at_mut(band.height * band.width * value_size);
            rows.push(own);
            frame = rest;
        }
    }
    out
}
