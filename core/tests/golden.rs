//! Streams of released format versions decode to the same bits for ever.
//!
//! `golden/*.augur` are small streams, `golden/sums.txt` says what each decodes to. Their data are made of integers, so
//! that they are the same everywhere. `cargo test -p augur-core --test golden -- --ignored` writes the files anew; until the
//! first release of a format version that is how they follow its changes, afterwards new files only join the old ones.

#![allow(clippy::unwrap_used)]

#[path = "support/golden_streams.rs"]
mod golden_streams;

use augur_core::network::Digest;
use augur_core::{decode_with, inspect, Decoding, Error, Model, Models, Result};
use golden_streams::{models, streams};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The models beside the streams: `golden/<sha256>.safetensors`.
struct Beside;

impl Models for Beside {
    fn find(&self, digest: &Digest) -> Result<Arc<Model>> {
        let file = fs::read(directory().join(format!("{digest}.safetensors")));
        Ok(Arc::new(Model::from_bytes(&file.map_err(|e| Error::invalid(e.to_string()))?)?))
    }
}

#[test]
fn golden_streams_decode_to_the_same_bits() {
    let sums = fs::read_to_string(directory().join("sums.txt")).unwrap();
    let mut count = 0;
    for line in sums.lines().filter(|l| !l.starts_with('#')) {
        let mut fields = line.split_whitespace();
        let (name, len, sum) = (fields.next().unwrap(), fields.next().unwrap(), fields.next().unwrap());
        let stream = fs::read(directory().join(format!("{name}.augur"))).unwrap();
        for threads in [1, 3] {
            let expected_len = Some(len.parse().unwrap());
            let decoding = Decoding { expected_len, threads, models: &Beside, ..Decoding::default() };
            let raw = decode_with(&stream, &decoding)
                .unwrap_or_else(|e| panic!("{name} does not decode any more: {e}"));
            assert_eq!(format!("{:016x}", xxh3_64(&raw)), sum, "{name} decodes to other bits");
        }
        count += 1;
    }
    let files = fs::read_dir(directory()).unwrap();
    let streams =
        files.filter(|f| f.as_ref().unwrap().path().extension().is_some_and(|e| e == "augur")).count();
    assert_eq!(count, streams, "sums.txt does not name every stream");
}

#[test]
fn golden_streams_cover_the_format() {
    let mut seen = String::new();
    for file in fs::read_dir(directory()).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|e| e == "augur") {
            let info = inspect(&fs::read(&path).unwrap()).unwrap();
            let header = &info.header;
            seen += &format!(
                "{}; {}; {} {:?}; mode {}; formula {}; rank {}; axis {}\n",
                header.method.name(),
                info.description,
                header.dtype.name(),
                header.order,
                header.bound.mode(),
                header.formula,
                header.shape.len(),
                header.time_axis
            );
        }
    }
    let dtypes = ["float16", "float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32"];
    let wanted = dtypes.iter().flat_map(|d| [format!("{d} Little"), format!("{d} Big")]);
    let wanted =
        wanted.chain((0..6).map(|m| format!("mode {m}"))).chain((1..=5).map(|r| format!("rank {r}")));
    let wanted = wanted.chain((0..4).map(|f| format!("formula {f}")));
    let words = [
        "raw",
        "lossless",
        "predicted",
        "axis 0",
        "axis 1",
        "axis 2",
        "weights a point, previous",
        "weights a point, hierarchical",
        "weights a point, no references",
        "lorenzo in space, ",
        "lorenzo in time, ",
        "lorenzo in space and time, ",
        "2 band(s)",
        "kept from an earlier decoding",
        "provisional",
        "special points",
        "special points (2 values listed)",
        "special points (2 values listed, ",
        "points stored exactly",
        "forecasts",
        "interpolation",
        "by a recurrent network",
        "open loop",
        "key frame",
        "% by mean",
        "% by Lorenzo",
        "% by linear regression",
        "% by network",
        "levels x",
        "runs of",
        "reconstructions by an autoencoder",
        "corrected by a network",
        "forecasts by a network, corrected",
    ];
    for want in wanted.chain(words.map(String::from)) {
        assert!(seen.contains(&want), "no golden stream has \"{want}\"; there are:\n{seen}");
    }
}

#[test]
#[ignore = "writes the golden files anew"]
fn write_golden_streams() {
    fs::create_dir_all(directory()).unwrap();
    for file in fs::read_dir(directory()).unwrap() {
        let path = file.unwrap().path();
        // A folder holds other tests' files.
        if path.is_file() {
            fs::remove_file(path).unwrap();
        }
    }
    for model in models() {
        fs::write(directory().join(format!("{}.safetensors", model.digest())), model.bytes()).unwrap();
    }
    let mut sums = String::from("# stream, bytes of the chunk, xxh3-64 of the chunk\n");
    for (name, stream) in streams() {
        let raw = decode_with(&stream, &Decoding { models: &Beside, ..Decoding::default() }).unwrap();
        sums += &format!("{name} {} {:016x}\n", raw.len(), xxh3_64(&raw));
        fs::write(directory().join(format!("{name}.augur")), &stream).unwrap();
    }
    fs::write(directory().join("sums.txt"), sums).unwrap();
}
