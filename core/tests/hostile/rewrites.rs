//! Inputs that once broke the bound when a chunk was decoded, changed in part and encoded again; found by fuzzing.

use crate::support::input::{random_bytes, Random};
use crate::support::{oracle, target};
use augur_core::{decode, decode_with, encode, encode_with, Bound, Decoding, Dtype, Memory, Params};

/// Decodes the chunk, replaces one step along the first axis, encodes and decodes it again.
fn rewrite(params: &Params, memory: &Memory, stream: &[u8], at: usize, step: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut chunk = decode_with(
        stream,
        &Decoding { expected_len: Some(params.raw_len()), memory: Some(memory), ..Decoding::default() },
    )
    .expect("an own stream decodes");
    chunk[at * step.len()..][..step.len()].copy_from_slice(step);
    let stream = encode_with(params, &chunk, memory).expect("valid parameters");
    let decoded = decode(&stream, Some(params.raw_len()), 1).expect("an own stream decodes");
    (stream, decoded)
}

fn noise(params: &Params, seed: u64, low: f64, high: f64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut raw = vec![];
    for _ in 0..params.points() {
        oracle::push(&mut raw, params.dtype, params.order, low + (high - low) * random.unit());
    }
    raw
}

fn rewrite_some_steps(params: &Params, low: f64, high: f64) -> Result<(), String> {
    let mut truth = noise(params, 1, low, high);
    let step = truth.len() / params.shape[0];
    let memory = Memory::new();
    let mut stream = encode(params, &truth).expect("valid parameters");
    for round in 0..12 {
        let at = round * 5 % params.shape[0];
        let new = noise(params, 2 + round as u64, low, high);
        let new = &new[at * step..][..step];
        truth[at * step..][..step].copy_from_slice(new);
        let decoded;
        (stream, decoded) = rewrite(params, &memory, &stream, at, new);
        oracle::check(params, &truth, &decoded).map_err(|e| format!("round {round}: {e}"))?;
    }
    Ok(())
}

/// Decoded values beyond the limits of the type are cut off there, away from the grid; their frame is still one that was
/// decoded before.
#[test]
fn integers_cut_off_at_their_limits_keep_the_bound() {
    // int8 noise over the whole range at a bound of 61, in frames of 4 x 6.
    target::rewrites(&random_bytes(1726, 302));
}

/// A series of single bytes, most of them alike.
#[test]
fn series_of_integers_keep_the_bound_through_rewrites() {
    let mut bytes = vec![0xdb; 101];
    bytes[19] = 0x5e;
    bytes[26..82].fill(0x86);
    bytes[100] = 0x42;
    target::rewrites(&bytes);
}

/// Time series side by side (t, station): their chunk is a single frame, of which steps are parts.
#[test]
fn parts_of_a_single_frame_keep_the_bound_through_rewrites() {
    fill_and_rewrite(&[&[32, 40], &[12, 32], &[40, 3, 6]]);
}

/// Steps this small are not remembered, only recognised by their grid.
#[test]
fn small_parts_of_a_single_frame_keep_the_bound_through_rewrites() {
    fill_and_rewrite(&[&[2000], &[64, 12], &[16, 15]]);
}

/// Noise in a chunk this small may be stored lossless now and then, so that the decoded values become too few among the
/// exact ones to be recognised by their grid: they are by the chunk.
#[test]
fn tiny_chunks_of_noise_keep_the_bound_through_rewrites() {
    fill_and_rewrite(&[&[12, 12]]);
}

/// Chunks written at once of which single steps are rewritten; and filled step by step from zeros.
fn fill_and_rewrite(shapes: &[&[usize]]) {
    for &shape in shapes {
        for bound in
            [Bound::Absolute(0.01), Bound::Absolute(1.0), Bound::PointwiseRelative { rel: 1e-2, floor: 0.0 }]
        {
            let params = Params::new(Dtype::F32, shape, bound);
            rewrite_some_steps(&params, 20.0, 70.0).unwrap_or_else(|e| panic!("{shape:?} {bound:?}: {e}"));
            let whole = noise(&params, 9, 20.0, 70.0);
            let step = whole.len() / shape[0];
            let mut truth = vec![0; whole.len()];
            let memory = Memory::new();
            let mut stream = encode(&params, &truth).expect("valid parameters");
            for t in 0..shape[0].min(60) {
                let new = &whole[t * step..][..step];
                truth[t * step..][..step].copy_from_slice(new);
                let decoded;
                (stream, decoded) = rewrite(&params, &memory, &stream, t, new);
                oracle::check(&params, &truth, &decoded)
                    .unwrap_or_else(|e| panic!("{shape:?} {bound:?}, step {t}: {e}"));
            }
        }
    }
}

#[test]
fn images_with_gaps_in_their_histogram_are_not_taken_for_decoded_ones() {
    // Every twelfth level is missing, as in images whose contrast was stretched: more than chance are on any grid.
    let (steps, side) = (4, 96);
    let mut params = Params::new(Dtype::U8, &[steps, side, side], Bound::Absolute(16.0));
    let mut random = Random(5);
    let level = |v: f64| if v as u8 % 12 == 1 { v as u8 - 1 } else { v as u8 };
    let mut image = |t: usize| -> Vec<u8> {
        let at = |i: usize| (i / side) as f64 * 0.8 + (i % side) as f64 * 0.9 + 9.0 * t as f64;
        (0..side * side).map(|i| level(40.0 + at(i) + 24.0 * random.unit())).collect()
    };
    let mut truth: Vec<u8> = (0..steps).flat_map(&mut image).collect();
    let memory = Memory::new();
    let mut stream = encode_with(&params, &truth, &memory).expect("valid parameters");
    let unknown = encode(&params, &truth).expect("valid parameters");
    assert!(stream.len() * 2 < unknown.len(), "{} {}", stream.len(), unknown.len());
    for threads in [2, 3] {
        params.threads = threads;
        assert_eq!(encode_with(&params, &truth, &memory).expect("valid parameters"), stream);
    }
    for round in 0..8 {
        let at = round * 3 % steps;
        let step = image(round);
        truth[at * side * side..][..side * side].copy_from_slice(&step);
        let decoded;
        (stream, decoded) = rewrite(&params, &memory, &stream, at, &step);
        oracle::check(&params, &truth, &decoded).expect("the bound");
    }
}
