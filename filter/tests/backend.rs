//! What `AUGUR_BACKEND` asks for, in processes of their own, as it is looked at once: the streams are the same, whatever it
//! says, and what stands against it is one warning.

mod support;

use augur_core::{Bound, Decoding, Digest, Dtype, Model, Params, Preset};
use std::process::Command;
use std::sync::Arc;
use support::model;

const SHAPE: [usize; 3] = [5, 40, 41];

/// Noise that moves by 3 rows and 4 columns per step.
fn travelling() -> Vec<u8> {
    let [steps, height, width] = SHAPE;
    let noise = |y: usize, x: usize| {
        let mixed = (y * 1_000_003 + x).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) as f64 / u64::MAX as f64
    };
    let point = |t: usize, y: usize, x: usize| noise(y + 3 * (steps - t), x + 4 * (steps - t)) as f32;
    let area = height * width;
    (0..steps * area).flat_map(|i| point(i / area, i / width % height, i % width).to_le_bytes()).collect()
}

/// Not a test: what the others run, with an environment of their own.
#[test]
#[ignore = "run by the other tests"]
fn child() {
    augur_filter::log_to_stderr();
    augur_filter::class();
    let raw = travelling();
    let mut streams = vec![];
    for name in ["one", "two"] {
        let model = Some(Arc::new(Model::from_bytes(&model(name)).expect("a model")));
        let bound = Bound::Absolute(1e-2);
        let params = Params {
            preset: Preset::Learned,
            model: model.clone(),
            ..Params::new(Dtype::F32, &SHAPE, bound)
        };
        let stream = augur_core::encode(&params, &raw).expect("a stream");
        let decoding = Decoding { models: &model, ..Decoding::default() };
        streams.extend(augur_core::decode_with(&stream, &decoding).expect("a chunk"));
        streams.extend(stream);
    }
    println!("in use: {}", augur_core::network::backend::in_use());
    println!("digest: {}", Digest::of(&streams));
}

/// Whether the backend was in use, the streams' digest, and the warnings.
fn run(variables: &[(&str, &str)]) -> (bool, String, Vec<String>) {
    let mut command = Command::new(std::env::current_exe().expect("a program"));
    command.args(["--exact", "child", "--ignored", "--nocapture"]);
    for name in ["AUGUR_BACKEND", "AUGUR_TORCH_DEVICE"] {
        command.env_remove(name);
    }
    let output = command.envs(variables.iter().copied()).output().expect("a run");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    let value = |key: &str| {
        let line = out.lines().find_map(|l| l.split_once(key)).unwrap_or_else(|| panic!("{key}: {out}"));
        line.1.to_owned()
    };
    let warnings = err.lines().filter(|l| l.contains("warning")).map(String::from).collect();
    (value("in use: ") == "true", value("digest: "), warnings)
}

#[test]
fn what_stands_against_a_backend_is_one_warning() {
    let (used, native, warnings) = run(&[]);
    assert!(!used && warnings.is_empty(), "{warnings:?}");
    assert_eq!(run(&[("AUGUR_BACKEND", "native")]), (false, native.clone(), vec![]));
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
    let cases: [Case; 3] = [
        (&[("AUGUR_BACKEND", "tensorflow")], &["AUGUR_BACKEND", "tensorflow", "torch or native"]),
        (
            &[("AUGUR_BACKEND", "torch"), ("AUGUR_TORCH_DEVICE", "tpu")],
            &["AUGUR_TORCH_DEVICE", "cuda or cpu"],
        ),
        (
            &[("AUGUR_BACKEND", "torch"), ("AUGUR_TORCH", "/nowhere/a.so")],
            &["/nowhere/a.so cannot be opened"],
        ),
    ];
    for (variables, words) in cases {
        let (used, digest, warnings) = run(variables);
        assert_eq!((used, &digest, warnings.len()), (false, &native, 1), "{variables:?}: {warnings:?}");
        for word in words {
            assert!(warnings[0].contains(word), "{word}: {warnings:?}");
        }
    }
}

#[test]
#[ignore = "needs libaugur_torch: make test-torch"]
fn libtorch_gives_the_same_streams() {
    let native = run(&[]).1;
    assert_eq!(run(&[("AUGUR_BACKEND", "torch")]), (true, native.clone(), vec![]));
    assert_eq!(run(&[("AUGUR_BACKEND", "torch"), ("AUGUR_TORCH_DEVICE", "cpu")]), (true, native, vec![]));
}
