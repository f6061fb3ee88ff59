//! What a core can do, and how long the codec takes on one chunk, for `bench/roofline.py`.
//!
//!     roofline peaks
//!     roofline run FILE DTYPE SHAPE BOUND PRESET encode|decode THREADS SECONDS
//!     roofline memory FILE DTYPE SHAPE BOUND PRESET encode|decode THREADS STREAM
//!
//! FILE holds one chunk of little-endian values after another, SHAPE is that of a chunk (`16x256x256`), BOUND absolute.
//! `memory` codes one chunk in a fresh process, which leaves the stream in the file STREAM or reads it from there.
//! Answers are lines of `name value`.

mod peaks;

use augur_core::{decode, dtype, encode, inspect, Bound, Params, Preset};
use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

/// Most chunks of a file that are worked on.
const CHUNKS: usize = 8;

type Answer = Result<(), Box<dyn Error>>;

/// File, parameters, whether to encode, and the last argument.
fn job(args: &[String]) -> Result<(&str, Params, bool, &str), Box<dyn Error>> {
    let [file, name, shape, bound, preset, action, threads, last] = args else {
        return Err(
            "there must be eight arguments: FILE DTYPE SHAPE BOUND PRESET encode|decode THREADS ...".into()
        );
    };
    let dtype = *dtype::DTYPES.iter().find(|d| d.name() == name).ok_or("unknown type")?;
    let shape = shape.split('x').map(str::parse).collect::<Result<Vec<usize>, _>>()?;
    let mut params = Params::new(dtype, &shape, Bound::Absolute(bound.parse()?));
    params.preset = Preset::from_name(preset)?;
    params.threads = threads.parse()?;
    Ok((file, params, action == "encode", last))
}

/// A line of what Linux says about this process's memory, in bytes.
fn resident(line: &str) -> Result<f64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let found = status.lines().find_map(|l| l.strip_prefix(line)).ok_or("no such line")?;
    Ok(1024.0 * found.trim().trim_end_matches(" kB").parse::<f64>()?)
}

/// Memory that coding one chunk takes in a process that did nothing before, beyond the chunk or stream given.
fn memory(args: &[String]) -> Answer {
    let (file, params, encoding, stream) = job(args)?;
    let given = std::fs::read(if encoding { file } else { stream })?;
    let before = resident("VmRSS:")?;
    if encoding {
        let made = encode(&params, &given)?;
        println!("bytes {}", resident("VmHWM:")? - before);
        std::fs::write(stream, made)?;
    } else {
        black_box(decode(&given, Some(params.raw_len()), params.threads)?);
        println!("bytes {}", resident("VmHWM:")? - before);
    }
    Ok(())
}

/// Codes the first chunks of a file again and again.
fn run(args: &[String]) -> Answer {
    let (file, params, encoding, seconds) = job(args)?;
    let seconds: f64 = seconds.parse()?;
    let raw = std::fs::read(file)?;
    let chunks: Vec<&[u8]> = raw.chunks_exact(params.raw_len()).take(CHUNKS).collect();
    let streams = chunks.iter().map(|c| encode(&params, c)).collect::<Result<Vec<_>, _>>()?;
    let points = (chunks.len() * params.points()) as f64;
    // The best of each chunk: what else runs on the machine only ever adds.
    let mut best = vec![f64::INFINITY; chunks.len()];
    let start = Instant::now();
    while start.elapsed().as_secs_f64() < seconds {
        for ((chunk, stream), best) in chunks.iter().zip(&streams).zip(&mut best) {
            let t = Instant::now();
            if encoding {
                black_box(encode(&params, black_box(chunk))?);
            } else {
                black_box(decode(black_box(stream), Some(chunk.len()), params.threads)?);
            }
            *best = best.min(t.elapsed().as_secs_f64());
        }
    }
    let size: usize = streams.iter().map(Vec::len).sum();
    println!("points {points}");
    println!("ns_per_point {}", best.iter().sum::<f64>() * 1e9 / points);
    println!("bits_per_point {}", 8.0 * size as f64 / points);
    println!("bytes_per_value {}", params.dtype.size());
    println!("description {}", inspect(streams.first().ok_or("the file holds no whole chunk")?)?.description);
    Ok(())
}

fn main() -> Answer {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("peaks") => peaks::print(),
        Some("run") => run(&args[1..])?,
        Some("memory") => memory(&args[1..])?,
        _ => return Err("usage: roofline peaks | run ... | memory ...".into()),
    }
    Ok(())
}
