//! Speed of each stage and of whole chunks, in bytes of raw float32 per second, on a field that is made here: travelling
//! waves with noise, 16 steps of 256 x 256 points, at 1e-3 of the value range, one thread.
//!
//! `AUGUR_CPU=portable` (or `avx2`) keeps wider instructions unused, so that the kernels and all that is made of them can
//! be compared with their scalar twins; the names state the instruction set.

use augur_core::stages::kernel::{self, instruction_set, InstructionSet, Thresholds, WeightedRow};
use augur_core::stages::{compress, decompress, Neighbours, Stages};
use augur_core::{decode, encode, Bound, Dtype, Params, Preset};
use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use std::hint::black_box;

const SHAPE: [usize; 3] = [16, 256, 256];
const REL: f64 = 1e-3;

/// The field as little-endian float32.
fn field() -> Vec<u8> {
    let mut state = 1u64;
    let mut raw = Vec::with_capacity(SHAPE.iter().product::<usize>() * 4);
    for t in 0..SHAPE[0] {
        for y in 0..SHAPE[1] {
            for x in 0..SHAPE[2] {
                let (t, y, x) = (t as f32, y as f32, x as f32);
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let noise = (state >> 40) as f32 / (1u32 << 24) as f32 - 0.5;
                let v = (0.05 * x - 0.2 * t).sin() * (0.03 * y + 0.1 * t).cos()
                    + 0.4 * (0.11 * x + 0.07 * y - 0.3 * t).sin()
                    + 0.003 * noise;
                raw.extend_from_slice(&v.to_le_bytes());
            }
        }
    }
    raw
}

fn error(raw: &[u8]) -> f64 {
    let values = raw.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
    let (min, max) = values.fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
    REL * (max - min)
}

fn cpu() -> &'static str {
    match instruction_set() {
        InstructionSet::Avx512 => "avx512",
        InstructionSet::Avx2 => "avx2",
        InstructionSet::Portable => "portable",
    }
}

fn kernels(c: &mut Criterion) {
    const N: usize = 4096;
    let noise: Vec<i32> = (0..N as u32 + 16).map(|i| (i.wrapping_mul(2654435761) >> 12) as i32).collect();
    let bytes: Vec<u8> = noise.iter().map(|v| (*v as u8) >> 4).collect();
    let rows: Vec<WeightedRow> = (0..9).map(|i| (&noise[i..i + N], 400 + 10 * i as i32)).collect();
    let (mut out, mut q) = (vec![0i32; N], vec![0i32; N]);
    let (mut levels, mut activity) = (vec![0u8; N], vec![0u8; N]);
    let thresholds = Thresholds {
        activity: std::array::from_fn(|i| 3 * i as i32),
        spread: std::array::from_fn(|i| 100 << i),
    };
    let mut group = c.benchmark_group(format!("kernels ({})", cpu()));
    group.throughput(Throughput::Bytes(4 * N as u64));
    group.bench_function("weighted_sum of 9 taps", |b| {
        b.iter(|| kernel::weighted_sum(black_box(&rows), 12, -(1 << 20), 1 << 20, &mut out))
    });
    group.bench_function("contexts", |b| {
        let near = [&noise[..N], &noise[1..=N], &noise[2..N + 2], &noise[3..N + 3]];
        let around = [&bytes[..N], &bytes[1..=N], &bytes[2..N + 2], &bytes[3..N + 3]];
        b.iter(|| {
            kernel::contexts(near, black_box(&noise[4..]), around, &bytes[4..], &thresholds, 0, &mut levels)
        })
    });
    group.bench_function("quantise by 64", |b| {
        b.iter(|| kernel::quantise(black_box(&noise[..N]), &noise[1..=N], 64, &mut q))
    });
    group.bench_function("reconstruct by 64", |b| {
        b.iter(|| kernel::reconstruct(black_box(&noise[..N]), &noise[1..=N], 64, &mut out, &mut activity))
    });
    group.finish();
}

fn stages(c: &mut Criterion) {
    let raw = field();
    let stages = Stages::new(&raw, SHAPE, error(&raw)).expect("the grid holds this field");
    let mut group = c.benchmark_group(format!("stages ({})", cpu()));
    group.throughput(Throughput::Bytes(raw.len() as u64)).sample_size(10);
    group.bench_function("survey and map to the grid", |b| b.iter(|| stages.grid()));
    group.bench_function("fit, balanced", |b| b.iter(|| stages.fit(false)));
    group.bench_function("fit, fast", |b| b.iter(|| stages.fit(true)));
    group.bench_function("predict and quantise, multiscale", |b| b.iter(|| stages.multiscale()));
    group.bench_function("predict and quantise, lorenzo", |b| {
        b.iter(|| stages.lorenzo(Neighbours::SpaceTime))
    });
    let stream = stages.entropy_encode();
    assert!(stages.entropy_decode(&stream));
    assert!(stages.entropy_encode_scalar() == stream && stages.entropy_decode_rows(&stream, true));
    group.bench_function("count, arrange, tables", |b| b.iter(|| stages.entropy_tables()));
    group.bench_function("rANS encode", |b| b.iter(|| stages.entropy_encode()));
    group.bench_function("rANS encode, scalar", |b| b.iter(|| stages.entropy_encode_scalar()));
    group.bench_function("rANS decode", |b| b.iter(|| stages.entropy_decode(black_box(&stream))));
    for (name, scalar) in [("rANS decode, rows", false), ("rANS decode, rows, scalar", true)] {
        group.bench_function(name, |b| b.iter(|| stages.entropy_decode_rows(black_box(&stream), scalar)));
    }
    let packed = compress(&raw, 4).expect("the field is compressible");
    group.bench_function("shuffle and zstd, compress", |b| b.iter(|| compress(black_box(&raw), 4)));
    group.bench_function("shuffle and zstd, decompress", |b| {
        b.iter(|| decompress(black_box(&packed), 4, raw.len()))
    });
    group.finish();
}

fn chunks(c: &mut Criterion) {
    let raw = field();
    let mut group = c.benchmark_group(format!("whole chunk ({})", cpu()));
    group.throughput(Throughput::Bytes(raw.len() as u64)).sample_size(10);
    for preset in [Preset::Balanced, Preset::Fast, Preset::Lossless] {
        let params = Params { preset, ..Params::new(Dtype::F32, &SHAPE, Bound::Absolute(error(&raw))) };
        let stream = encode(&params, &raw).expect("valid parameters");
        let name = preset.name();
        println!("{name}: {:.2} times smaller", raw.len() as f64 / stream.len() as f64);
        group.bench_function(format!("encode {name}"), |b| b.iter(|| encode(&params, black_box(&raw))));
        group.bench_function(format!("decode {name}"), |b| {
            b.iter(|| decode(black_box(&stream), Some(raw.len()), 1))
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(500))
        .measurement_time(std::time::Duration::from_secs(2));
    targets = kernels, stages, chunks
}
criterion_main!(benches);
