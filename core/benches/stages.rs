//! Speed of each stage and of whole chunks, in bytes of raw float32 per second, on a field that is made here: travelling
//! waves with noise, 16 steps of 256 x 256 points, at 1e-3 of the value range, one thread.
//!
//! Each kernel of the predictors is benched beside its portable twin. `AUGUR_CPU=portable` (or `avx2`) keeps wider
//! instructions unused in all of them and all that is made of them; the names state the instruction set.

use augur_core::stages::contexts::{contexts, thresholds};
use augur_core::stages::kernel::{
    deinterleave, deinterleave_bytes, interleave, interleave_bytes, leave_out, quantise, reconstruct, smooth,
};
use augur_core::stages::weighted::{weighted_sum, Rounding, WeightedRow};
use augur_core::stages::{
    compress, decompress, dot, gram, instruction_set, portably, InstructionSet, Neighbours, Stages,
};
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

/// Points of a kernel's bench: their rows lie in the nearest caches.
const N: usize = 4096;

/// Benches a kernel, beside its portable twin where this machine has another one.
fn kernel(c: &mut Criterion, name: &str, bytes: usize, mut run: impl FnMut()) {
    let mut group = c.benchmark_group(format!("kernels: {name}"));
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function(cpu(), |b| b.iter(&mut run));
    if instruction_set() != InstructionSet::Portable {
        portably(|| group.bench_function(cpu(), |b| b.iter(&mut run)));
    }
    group.finish();
}

/// What predicts and codes residuals.
fn kernels(c: &mut Criterion) {
    let noise: Vec<i32> = (0..N as u32 + 16).map(|i| (i.wrapping_mul(2654435761) >> 12) as i32).collect();
    let bytes: Vec<u8> = noise.iter().map(|v| (*v as u8) >> 4).collect();
    let mask: Vec<u8> = noise.iter().map(|v| u8::from(v % 3 == 0)).collect();
    let (mut out, mut odd) = (vec![0i32; N], vec![0i32; N]);
    let (mut levels, mut activity, mut symbols) = (vec![0u8; N], vec![0u8; N], vec![0u8; N]);
    let rows: Vec<WeightedRow> = (0..9).map(|i| (&noise[i..i + N], 400 + 10 * i as i32)).collect();
    let rounding = Rounding { shift: 12, low: -(1 << 20), high: 1 << 20 };
    kernel(c, "weighted_sum of 9 taps", 4 * N, || {
        weighted_sum(black_box(&rows), rounding, &mut out);
    });
    let thresholds = thresholds(100);
    let near = [&noise[..N], &noise[1..=N], &noise[2..N + 2], &noise[3..N + 3]];
    let around = [&bytes[..N], &bytes[1..=N], &bytes[2..N + 2], &bytes[3..N + 3]];
    kernel(c, "contexts", 4 * N, || {
        let activities: Vec<(&[u8], u16)> = (0..10).map(|i| (&bytes[i..i + N], 10 + i as u16)).collect();
        contexts(&activities, near, black_box(&noise[4..N + 4]), &thresholds, 0, &mut levels);
    });
    let [above, left, here, right] = around;
    kernel(c, "smooth", N, || smooth(above, left, black_box(here), right, &bytes[4..], &mut levels));
    for step in [1, 64, 81] {
        kernel(c, &format!("quantise by {step}"), 4 * N, || {
            quantise(black_box(&noise[..N]), &noise[1..=N], step, &mut out, &mut activity, &mut symbols);
        });
    }
    kernel(c, "reconstruct by 64", 4 * N, || {
        reconstruct(black_box(&noise[..N]), &bytes[..N], 64, &mut out, &mut activity);
    });
    kernel(c, "leave_out", 4 * N, || {
        leave_out(black_box(&mask[..N]), &noise[..N], &mut out, &mut activity, &mut symbols);
    });
    kernel(c, "deinterleave", 4 * N, || {
        deinterleave(black_box(&noise[..N]), &mut out[..N / 2], &mut odd[..N / 2]);
    });
    kernel(c, "deinterleave_bytes", N, || {
        deinterleave_bytes(black_box(&bytes[..N]), &mut levels[..N / 2], &mut activity[..N / 2]);
    });
    kernel(c, "interleave", 4 * N, || {
        interleave(black_box(&noise[..N / 2]), &noise[N / 2..N], &mut out);
    });
    kernel(c, "interleave_bytes", N, || {
        interleave_bytes(black_box(&bytes[..N / 2]), &bytes[N / 2..N], &mut levels);
    });
}

/// What fits weights.
fn fitting(c: &mut Criterion) {
    const TAPS: usize = 40;
    let noise: Vec<i32> = (0..N as u32 + 16).map(|i| (i.wrapping_mul(2654435761) >> 22) as i32).collect();
    let rows: Vec<&[i32]> = (0..TAPS).map(|i| &noise[31 * i..][..gram::RUN]).collect();
    let (mut factor, mut all) = ([0f32; gram::RUN], vec![0i16; TAPS * dot::BLOCK]);
    let sizes = [2; TAPS / 2];
    kernel(c, "deviations of 40 taps", 4 * TAPS * gram::RUN, || {
        gram::deviations(black_box(&rows), &sizes, &rows[..4], 0.125, None, &mut factor, &mut all);
    });
    let mut sums = vec![0i64; TAPS * TAPS];
    kernel(c, "products of 40 taps", 2 * TAPS * dot::BLOCK, || {
        dot::products(black_box(&all), TAPS, &mut sums);
    });
    let (mut matrix, mut rank) = (vec![0f64; TAPS * TAPS], 0);
    kernel(c, "cholesky of 40 weights", 8 * TAPS * TAPS, || {
        for (i, row) in matrix.chunks_exact_mut(TAPS).enumerate() {
            row.fill(1.0);
            row[i] = TAPS as f64;
        }
        gram::cholesky(black_box(&mut matrix), TAPS, &mut rank);
    });
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
    targets = kernels, fitting, stages, chunks
}
criterion_main!(benches);
