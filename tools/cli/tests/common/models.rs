//! Models made by hand, and a field that one of them forecasts.

use super::files::{self, Plan};
use augur_core::network::Model;
use safetensors::tensor::{Dtype, TensorView};
use std::collections::HashMap;
use std::path::Path;

/// Rows and columns by which [`travelling`] moves from step to step.
const SHIFT: [usize; 2] = [3, 4];
/// Shape of [`travelling`].
pub const SHAPE: [u64; 3] = [16, 60, 61];

/// A model whose forecast is the last frame moved by [`SHIFT`]; `name` tells models apart. Its bytes differ from call to
/// call, in the order of the metadata.
pub fn shifting(name: &str) -> Model {
    // Three planes (position, change, step) of 7 by 9: the last frame moved, less the last frame.
    let mut weight = [0u8; 3 * 7 * 9];
    let at = |y: usize, x: usize| y * 9 + x;
    weight[at(3 - SHIFT[0], 4 - SHIFT[1])] = 64;
    weight[at(3, 4)] = (-64i8) as u8;
    // Positions have the standard deviation 4096, changes the root mean square 1024, which is sqrt 2 standard deviations.
    let (bias, multiplier, shift) = (0i32.to_le_bytes(), 23170i32.to_le_bytes(), [23u8]);
    let tensors = [
        ("b", Dtype::I32, vec![1], &bias[..]),
        ("m", Dtype::I32, vec![1], &multiplier[..]),
        ("s", Dtype::U8, vec![1], &shift[..]),
        ("w", Dtype::I8, vec![1, 3, 7, 9], &weight[..]),
    ]
    .map(|(name, dtype, shape, data)| (name, TensorView::new(dtype, shape, data).unwrap()));
    let graphs = serde_json::json!({ "forecaster": { "frames": 2, "levels": 0, "nodes": [
        { "op": "input", "channels": 3, "type": "i16" },
        { "op": "conv2d", "in": [0], "weight": "w", "bias": "b", "multiplier": "m", "shift": "s", "stride": 1,
          "clamp": [-32767, 32767], "type": "i16" },
    ] } });
    let metadata: HashMap<String, String> = [
        ("format", "augur-model"),
        ("version", "1"),
        ("graphs", &graphs.to_string()),
        ("name", name),
        ("architecture", "one convolution"),
        ("size", "small"),
        ("data", r#"[{"name":"wind.h5:/u","sha256":"00ff"}]"#),
        ("license", "CC0-1.0"),
    ]
    .map(|(k, v)| (k.to_string(), v.to_string()))
    .into();
    Model::from_bytes(&safetensors::serialize(tensors, Some(metadata)).unwrap()).unwrap()
}

/// A model that remembers: its state is the position that it read last, moved by [`SHIFT`]; half of that moved once more
/// and half of the new one moved are the forecast of the frame, as PredNet gives it.
pub fn remembering() -> Model {
    let (rows, columns) = (7, 9);
    let moved = (3 - SHIFT[0]) * columns + 4 - SHIFT[1];
    // Of two planes, the new position and the state.
    let mut forecast = vec![0u8; 2 * rows * columns];
    (forecast[moved], forecast[rows * columns + moved]) = (32, 32);
    let mut next = vec![0u8; 2 * rows * columns];
    next[moved] = 64;
    let (bias, multiplier, shift) = (0i32.to_le_bytes(), 16384i32.to_le_bytes(), [20u8]);
    let tensors = [
        ("b", Dtype::I32, vec![1], &bias[..]),
        ("m", Dtype::I32, vec![1], &multiplier[..]),
        ("s", Dtype::U8, vec![1], &shift[..]),
        ("forecast", Dtype::I8, vec![1, 2, 7, 9], &forecast[..]),
        ("next", Dtype::I8, vec![1, 2, 7, 9], &next[..]),
    ]
    .map(|(name, dtype, shape, data)| (name, TensorView::new(dtype, shape, data).unwrap()));
    let conv = |weight: &str| {
        serde_json::json!({ "op": "conv2d", "in": [2], "weight": weight, "bias": "b", "multiplier": "m", "shift": "s",
            "stride": 1, "clamp": [-32767, 32767], "type": "i16" })
    };
    let input = serde_json::json!({ "op": "input", "channels": 1, "type": "i16" });
    let graphs = serde_json::json!({ "recurrent": { "channels": 1, "planes": 1, "outputs": [3, 4], "nodes": [
        input, input, { "op": "concat", "in": [0, 1] }, conv("forecast"), conv("next"),
    ] } });
    let metadata: HashMap<String, String> = [
        ("format", "augur-model"),
        ("version", "1"),
        ("graphs", &graphs.to_string()),
        ("name", "memory"),
        ("architecture", "prednet"),
    ]
    .map(|(k, v)| (k.to_string(), v.to_string()))
    .into();
    Model::from_bytes(&safetensors::serialize(tensors, Some(metadata)).unwrap()).unwrap()
}

/// Uncorrelated noise that moves by [`SHIFT`] per step, new at the edges where it comes in.
pub fn travelling(seed: u64) -> Vec<f32> {
    let [steps, ny, nx] = SHAPE.map(|n| n as usize);
    let width = nx + steps * SHIFT[1];
    let noise = |y: usize, x: usize| {
        // Sum of four uniform numbers from a mixing function.
        let mut bits = (y * width + x) as u64 ^ seed << 40;
        let mut sum = 0.0;
        for _ in 0..4 {
            bits = (bits ^ bits >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x6a09_e667);
            sum += (bits >> 40) as f32 / (1u32 << 24) as f32 - 0.5;
        }
        1.7 * sum
    };
    let mut values = Vec::with_capacity(steps * ny * nx);
    for t in 0..steps {
        for y in 0..ny {
            values.extend((0..nx).map(|x| noise(y + (steps - t) * SHIFT[0], x + (steps - t) * SHIFT[1])));
        }
    }
    values
}

/// A file with two such fields, `/u` and `/group/v`.
pub fn sample(path: &Path) {
    let file = files::create(path);
    files::floats(file.id.0, c"u", &Plan::contiguous(&SHAPE), &travelling(1));
    let group = files::group(file.id.0, c"group");
    files::floats(group.0, c"v", &Plan::contiguous(&SHAPE), &travelling(2));
}
