//! Memory of encoding and decoding in multiples of the raw chunk, measured with a counting allocator; also for streams that
//! lie about their sizes. One test, as the count is the process's.

mod support;

use augur_core::{decode, encode, inspect, release_memory, Bound, Dtype, Header, Params, Preset};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use support::damage::{damage, repair};
use support::input::{random_bytes, Input, Random};
use support::oracle;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

fn grown(bytes: usize) {
    let now = NOW.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(now, Ordering::Relaxed);
}

// SAFETY: every call goes to the system's allocator as it came; counting touches nothing else.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: the caller keeps GlobalAlloc's rules.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(p, layout) }
    }
    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Old and new exist at the same time while the allocator copies.
        grown(size);
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(p, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Most bytes that were allocated at one time while `work` ran, beyond what was before.
fn peak<R>(work: impl FnOnce() -> R) -> (R, usize) {
    // As if it were the first chunk: nothing is kept from the one before.
    release_memory();
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let r = work();
    (r, PEAK.load(Ordering::Relaxed).saturating_sub(before))
}

/// Memory that does not grow with the chunk: tables, weights, scratch rows, messages.
const FIXED: usize = 6 << 20;
/// Most memory in chunks of float32 or float64 when encoding.
const ENCODE: f64 = 4.0;
/// Most memory in chunks of float32 or float64 when decoding.
const DECODE: f64 = 4.0;
/// Types of fewer bytes work in the same 32-bit integers.
const NARROW: f64 = 4.0;
/// Frames of few points cost more than their values: each has planes with a margin around it. Bytes per frame.
const FRAME: usize = 1500;

/// Frames of one or two rows are mostly the margins of their planes.
fn thin(shape: &[usize]) -> f64 {
    if shape.len() == 1 || shape[shape.len() - 2] < 3 {
        3.0
    } else {
        1.0
    }
}

fn field(params: &Params) -> Vec<u8> {
    let mut raw = vec![];
    let mut random = Random(7);
    let width = params.shape[params.shape.len() - 1];
    for i in 0..params.points() {
        let (y, x) = ((i / width) as f64, (i % width) as f64);
        let v = 60.0 + 50.0 * (0.05 * x + 0.02 * y).sin() + random.unit();
        oracle::push(&mut raw, params.dtype, params.order, v);
    }
    raw
}

fn valid_chunks(over: &mut Vec<String>) {
    for (shape, axis) in
        [(vec![16, 256, 256], 0), (vec![1 << 20], 0), (vec![1024, 1024], 0), (vec![256, 256, 16], 2)]
    {
        for dtype in [Dtype::F32, Dtype::F64, Dtype::U8] {
            for (preset, bound) in [
                (Preset::Balanced, Bound::Absolute(0.5)),
                (Preset::Balanced, Bound::Absolute(1e-4)),
                (Preset::Fast, Bound::Absolute(0.5)),
                (Preset::Balanced, Bound::PointwiseRelative { rel: 1e-2, floor: 0.0 }),
                (Preset::Lossless, Bound::Lossless),
            ] {
                let params = Params { preset, time_axis: axis, ..Params::new(dtype, &shape, bound) };
                let raw = field(&params);
                let factor = NARROW / dtype.size().min(4) as f64 * thin(&shape);
                let (stream, used) = peak(|| encode(&params, &raw).expect("valid parameters"));
                let encoding = used.saturating_sub(FIXED) as f64 / raw.len() as f64;
                let (decoded, used) = peak(|| decode(&stream, Some(raw.len()), 1).expect("own stream"));
                let decoding = used.saturating_sub(FIXED) as f64 / raw.len() as f64;
                drop(decoded);
                println!("{dtype:?} {shape:?} {} {bound:?}: {encoding:.2} chunks to encode, {decoding:.2} to decode", preset.name());
                if encoding > ENCODE * factor {
                    over.push(format!("{dtype:?} {shape:?} {bound:?}: {encoding} chunks to encode"));
                }
                if decoding > DECODE * factor {
                    over.push(format!("{dtype:?} {shape:?} {bound:?}: {decoding} chunks to decode"));
                }
            }
        }
    }
}

/// Streams with damage behind right checksums, decoded by a host that knows its chunk's size: no more memory than for
/// valid streams.
fn damaged_streams(over: &mut Vec<String>) {
    for (dtype, shape) in [
        (Dtype::F32, vec![16, 256, 256]),
        (Dtype::U8, vec![16, 256, 512]),
        (Dtype::U8, vec![32768, 2, 2]),
        (Dtype::U8, vec![1 << 20, 2]),
        (Dtype::F32, vec![2, 1 << 19]),
    ] {
        let params = Params::new(dtype, &shape, Bound::Absolute(3.0));
        let raw = field(&params);
        let stream = encode(&params, &raw).expect("valid parameters");
        let frames = if shape.len() == 3 { shape[0] } else { 1 };
        let allowed = DECODE * NARROW / dtype.size().min(4) as f64 * thin(&shape) * raw.len() as f64
            + (FIXED + FRAME * frames) as f64;
        let mut worst = 0;
        for seed in 0..20 {
            let bytes = random_bytes(seed, 200);
            let mut bad = stream.clone();
            if seed > 0 {
                damage(&mut bad, &mut Input::new(&bytes));
            }
            let (_, used) = peak(|| decode(&bad, Some(raw.len()), 1).map(|v| v.len()));
            worst = worst.max(used);
            if used as f64 > allowed {
                over.push(format!("{dtype:?} {shape:?}, seed {seed}: {used} bytes, {allowed} allowed"));
            }
        }
        println!(
            "damaged streams of {dtype:?} {shape:?}: at most {worst} bytes for a chunk of {}",
            raw.len()
        );
    }
}

/// Headers that state huge chunks cost nothing where the host says what it expects.
fn huge_claims() {
    let shape = [4, 32, 32];
    for (preset, bound) in [(Preset::Balanced, Bound::Absolute(0.5)), (Preset::Lossless, Bound::Lossless)] {
        let params = Params { preset, ..Params::new(Dtype::F32, &shape, bound) };
        let stream = encode(&params, &field(&params)).expect("valid parameters");
        for claim in
            [[1 << 20, 1 << 10, 1 << 10], [u32::MAX, 8, 8], [1, 1, u32::MAX], [u32::MAX, u32::MAX, u32::MAX]]
        {
            let mut bad = stream.clone();
            for (i, n) in claim.iter().enumerate() {
                bad[8 + 4 * i..][..4].copy_from_slice(&n.to_le_bytes());
            }
            repair(&mut bad);
            let (result, used) = peak(|| decode(&bad, Some(params.raw_len()), 1));
            assert!(result.is_err() && used < 1 << 16, "{claim:?}: {used} bytes");
            assert!(Header::read(&bad).is_err() || preset == Preset::Lossless || inspect(&stream).is_ok());
        }
    }
}

#[test]
fn memory_stays_within_stated_multiples_of_the_chunk() {
    huge_claims();
    let mut over = vec![];
    damaged_streams(&mut over);
    valid_chunks(&mut over);
    assert!(over.is_empty(), "too much memory:\n{}", over.join("\n"));
}
