//! The fuzz targets of `fuzz/` with random bytes from fixed seeds instead of a fuzzer: some seconds in every test run.
//! `AUGUR_HOSTILE_CASES` sets how many seeds each target gets, for longer runs.

#[path = "hostile/rewrites.rs"]
mod rewrites;
mod support;

use augur_core::{encode, Header};
use std::panic::{catch_unwind, AssertUnwindSafe};
use support::input::{random_bytes, Input};
use support::{case, models, target};

/// The bytes of a seed.
fn bytes_of(seed: u64) -> Vec<u8> {
    random_bytes(seed, 40 + (seed * 37 % 400) as usize)
}

/// Runs a target with each seed; names the seeds that break it.
fn run(name: &str, cases: u64, target: impl Fn(&[u8])) {
    let cases = std::env::var("AUGUR_HOSTILE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(cases);
    let mut broken = vec![];
    for seed in 0..cases {
        let bytes = bytes_of(seed);
        if catch_unwind(AssertUnwindSafe(|| target(&bytes))).is_err() {
            broken.push(seed);
        }
    }
    assert!(broken.is_empty(), "{name}: seeds {broken:?} break a promise (their messages are above)");
}

#[test]
fn arbitrary_bytes_are_no_stream() {
    run("stream", 20_000, target::stream);
}

#[test]
fn damage_behind_the_checksums_is_an_error_or_a_chunk() {
    run("damaged", 700, target::damaged);
}

#[test]
fn any_parameters_and_data_keep_the_promise() {
    run("bounds", 700, target::bounds);
}

#[test]
fn rewritten_steps_keep_the_bound_against_what_was_written() {
    run("rewrites", 400, target::rewrites);
}

#[test]
fn cases_reach_networks() {
    let mut used = [0; 3];
    for seed in 0..2000 {
        let bytes = bytes_of(seed);
        let mut input = Input::new(&bytes);
        let params = case::params(&mut input);
        let raw = case::data(&mut input, &params);
        let (Some(model), Ok(stream)) = (&params.model, encode(&params, &raw)) else { continue };
        if Header::read(&stream).is_ok_and(|(header, _)| header.model == Some(model.digest())) {
            used.iter_mut()
                .zip(models::all())
                .filter(|(_, m)| m.digest() == model.digest())
                .for_each(|(n, _)| *n += 1);
        }
    }
    assert!(
        used[0] > 0 && used[1] > 0,
        "streams of a corrector, of a forecaster, of an interpolator: {used:?}"
    );
}
