//! `augur train`: what it says without its library, and a training from field to file.
//!
//! What needs the library is ignored by default; `make test-torch` builds it, names it in AUGUR_TORCH and runs all.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;
use common::{augur, command, files, finish, Ran, Scratch};
use serde_json::Value;

/// Steps, rows and columns of [`chaos`].
const SHAPE: [u64; 3] = [96, 48, 56];

/// A lattice of coupled logistic maps (Kaneko 1985) that moves by a column per step: the next frame follows from the
/// last one, though not by any sum of its values.
fn chaos() -> Vec<f32> {
    let [steps, ny, nx] = SHAPE.map(|n| n as usize);
    let map = |x: f64| 1.0 - 1.9 * x * x;
    let mut state: Vec<f64> = (0..ny * nx).map(|i| (i as f64 * 0.7548776662).fract() * 1.6 - 0.8).collect();
    let mut values = vec![];
    for t in 0..steps + 30 {
        if t >= 30 {
            values.extend(state.iter().map(|&x| x as f32));
        }
        let at = |y: usize, x: usize| map(state[y % ny * nx + x % nx]);
        state = (0..ny * nx)
            .map(|i| {
                let (y, x) = (i / nx + ny, i % nx + nx - 1);
                0.4 * at(y, x) + 0.15 * (at(y - 1, x) + at(y + 1, x) + at(y, x - 1) + at(y, x + 1))
            })
            .collect();
    }
    values
}

/// A directory with `in.h5`, in which `/chaos` can be forecast and `/noise` cannot.
fn prepared() -> Scratch {
    let scratch = Scratch::new();
    let file = files::create(&scratch.file("in.h5"));
    files::floats(file.id.0, c"chaos", &files::Plan::contiguous(&SHAPE), &chaos());
    let mut bits = 1u64;
    let mut next = || {
        bits = bits.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (bits >> 40) as f32
    };
    let noise: Vec<f32> = (0..SHAPE.iter().product()).map(|_| next() + next() + next()).collect();
    files::floats(file.id.0, c"noise", &files::Plan::contiguous(&SHAPE), &noise);
    drop(file);
    scratch
}

/// The command with these arguments, which are separated by blanks.
fn run(scratch: &Scratch, arguments: &str) -> Ran {
    augur(scratch.path(), &arguments.split(' ').collect::<Vec<_>>())
}

/// The same where no library for training can be found.
fn alone(scratch: &Scratch, arguments: &str) -> Ran {
    finish(command(scratch.path()).env_remove("AUGUR_TORCH").args(arguments.split(' ')))
}

#[test]
fn without_the_library_one_is_told_what_to_do() {
    let scratch = prepared();
    let arguments = "train in.h5:/chaos --relative 1e-2 -o m.safetensors";
    let ran = alone(&scratch, arguments);
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    ran.fails(2, &["libaugur_torch", "make torch", "AUGUR_TORCH"]);
    let named =
        |path: &str| finish(command(scratch.path()).env("AUGUR_TORCH", path).args(arguments.split(' ')));
    named("/no/such/library.so").fails(2, &["/no/such/library.so cannot be opened"]);
    std::fs::write(scratch.file("text.so"), "no library").unwrap();
    named(scratch.file("text.so").to_str().unwrap()).fails(2, &["text.so cannot be opened"]);
    assert_eq!(scratch.names(), ["in.h5", "text.so"]);
}

#[test]
fn arguments_are_checked_before_anything_is_done() {
    let scratch = prepared();
    let before = std::fs::read(scratch.file("in.h5")).unwrap();
    let bare = "train in.h5:/chaos -o m.safetensors";
    for (arguments, parts) in [
        (bare.to_string(), &["say what may be lost"][..]),
        (format!("{bare} --relative 0"), &["bound"]),
        (format!("{bare} --relative nan"), &["bound"]),
        (format!("{bare} --lossless"), &["absolute or relative bound"]),
        (format!("{bare} --pointwise-relative 0.01"), &["absolute or relative bound"]),
        (format!("{bare} --relative 1e-2 --size huge"), &["--size", "small, medium, large"]),
        (
            format!("{bare} --relative 1e-2 --size tezip"),
            &["--size tezip", "learned", "small, medium or large"],
        ),
        (format!("{bare} --relative 1e-2 --channels 3"), &["--channels"]),
        (format!("{bare} --relative 1e-2 --planes frame"), &["--planes"]),
        (format!("{bare} --relative 1e-2 --architecture prednet --size large"), &["--size large", "tezip"]),
        (format!("{bare} --relative 1e-2 --architecture convlstm --channels 17"), &["--channels"]),
        (format!("{bare} --relative 1e-2 --architecture prednet --role interpolator"), &["--role"]),
        (format!("{bare} --relative 1e-2 --channels 32,64"), &["--channels"]),
        (
            format!("{bare} --relative 1e-2 --architecture prednet --channels 2,3"),
            &["--channels", "one number"],
        ),
        (format!("{bare} --relative 1e-2 --parts all"), &["--parts", "forecaster, corrector"]),
        (format!("{bare} --relative 1e-2 --architecture prednet --parts corrector"), &["prednet", "--parts"]),
        (format!("{bare} --relative 1e-2 --architecture swae --parts corrector"), &["swae", "--parts"]),
        (format!("{bare} --relative 1e-2 --block 8x8x8"), &["learned", "--block"]),
        (format!("{bare} --relative 1e-2 --sampling first"), &["learned", "--sampling"]),
        (
            format!("{bare} --relative 1e-2 --architecture swae --block 9x9"),
            &["--block 9x9", "halved 0 times"],
        ),
        (
            format!("{bare} --relative 1e-2 --architecture swae --block 8x8 --channels 4,4,4,4"),
            &["halved 3 times", "4 --channels"],
        ),
        (format!("{bare} --relative 1e-2 --architecture swae --block 8"), &["--block", "8x8x8"]),
        (format!("{bare} --relative 1e-2 --architecture swae --block axb"), &["--block axb"]),
        (format!("{bare} --relative 1e-2 --architecture swae --size small"), &["--size", "--channels"]),
        (format!("{bare} --relative 1e-2 --architecture swae --layers 2"), &["swae", "--layers"]),
        (format!("{bare} --relative 1e-2 --architecture swae --latent 0"), &["--latent"]),
        (format!("{bare} --relative 1e-2 --architecture swae --third space"), &["--third", "time, level"]),
        (format!("{bare} --relative 1e-2 --architecture cae --latent 4"), &["cae", "--latent"]),
        (format!("{bare} --relative 1e-2 --architecture cae --block 8x8"), &["--block", "4096"]),
        (format!("{bare} --relative 1e-2 --architecture cae --block 1000"), &["--block 1000", "8^3"]),
        (format!("{bare} --relative 1e-2 --architecture cae --channels 4"), &["--channels", "--factor"]),
        (format!("{bare} --relative 1e-2 --proportion 150%"), &["--proportion", "5%"]),
        (format!("{bare} --relative 1e-2 --steps 0"), &["--steps"]),
        (format!("{bare} --relative 1e-2 --max-time nan"), &["--max-time", "above 0"]),
        (format!("{bare} --relative 1e-2 --max-time -1"), &["--max-time", "above 0"]),
        (format!("{bare} --relative 1e-2 --threads 0"), &["--threads"]),
        (format!("{bare} --relative 1e-2 --proportion 2"), &["--proportion", "up to 1"]),
        (format!("{bare} --relative 1e-2 --device tpu"), &["--device", "cpu, cuda"]),
        (format!("{bare} --relative 1e-2 --model m.safetensors"), &["--init"]),
        (format!("{bare} --relative 1e-2 --init none.safetensors"), &["none.safetensors"]),
        (format!("{bare} --relative 1e-2 --resume"), &["--checkpoint"]),
        (format!("{bare} --relative 1e-2 --checkpoint c --resume"), &["no checkpoint c"]),
        (format!("{bare} --relative 1e-2 --checkpoint m.safetensors"), &["two files"]),
        (format!("{bare} --relative 1e-2 --checkpoint ./in.h5"), &["would be overwritten"]),
        ("train in.h5:/chaos --relative 1e-2 -o ./in.h5".into(), &["would be overwritten"]),
        ("train in.h5 --relative 1e-2 -o no/m.safetensors".into(), &["no directory no"]),
    ] {
        alone(&scratch, &arguments).fails(2, parts);
    }
    assert_eq!(scratch.names(), ["in.h5"]);
    assert_eq!(std::fs::read(scratch.file("in.h5")).unwrap(), before);
}

#[test]
#[ignore = "needs libaugur_torch: make test-torch"]
fn a_model_is_trained_travels_with_its_file_and_is_read_without_the_library() {
    let scratch = prepared();
    let train = "train in.h5:/chaos --relative 3e-2 --size small --steps 500 --seed 3";
    let json = run(&scratch, &format!("{train} -o m.safetensors --license CC0-1.0 --json")).json();
    let digest = json["model"]["sha256"].as_str().unwrap();
    assert_eq!(
        (json["training"]["end"].as_str(), json["training"]["steps"].as_u64()),
        (Some("done"), Some(500))
    );
    let ratio = |preset: &str| json["held_out"][preset]["ratio"].as_f64().unwrap();
    assert!(ratio("learned") > 1.1 * ratio("balanced"), "{json}");
    assert!(json["held_out"]["pays_from"].as_u64().unwrap() > json["model"]["bytes"].as_u64().unwrap());
    assert_eq!(scratch.names(), ["in.h5", "m.safetensors"], "nothing else is left");

    let shown = alone(&scratch, "models show m.safetensors --json").json();
    assert_eq!(shown["sha256"], digest);
    let said = &shown["metadata"];
    for (key, part) in [
        ("name", "m"),
        ("architecture", "U-Net"),
        ("size", "small"),
        ("bound", "relative 3.75"),
        ("date", "-"),
        ("augur", env!("CARGO_PKG_VERSION")),
        ("license", "CC0-1.0"),
        ("command", "augur train in.h5:/chaos --relative 3e-2 --size small"),
        ("proportion", "auto"),
    ] {
        assert!(said[key].as_str().is_some_and(|text| text.contains(part)), "{key}: {said}");
    }
    assert_eq!((&said["steps"], &said["seed"]), (&Value::from(500), &Value::from(3)));
    assert_eq!(said["data"][0]["name"], "in.h5:/chaos");
    assert_eq!(said["data"][0]["sha256"].as_str().map(str::len), Some(64));
    let text = alone(&scratch, "models show m.safetensors").ok();
    assert!(text.contains("license: CC0-1.0") && text.contains("multiply-adds per point"), "{text}");

    let out = "convert in.h5 out.h5 --relative 3e-2 --dataset chaos --model m.safetensors --json";
    let converted = alone(&scratch, out).json();
    let sets = converted["datasets"].as_array().unwrap();
    let chaos = sets.iter().find(|d| d["path"] == "/chaos").unwrap();
    assert_eq!(chaos["model"], digest);
    assert!(chaos["chunks_with_model"].as_u64().unwrap() > 0, "{converted}");
    // Only the file is left, and nothing to train with.
    std::fs::remove_file(scratch.file("m.safetensors")).unwrap();
    alone(&scratch, "verify in.h5 out.h5 -d chaos").ok();
}

#[test]
#[ignore = "needs libaugur_torch: make test-torch"]
fn networks_that_remember_are_trained_for_tezip() {
    let scratch = prepared();
    for architecture in ["prednet", "convlstm"] {
        let train = "train in.h5:/chaos --relative 3e-2 --steps 30 --insist -o m.safetensors --json";
        let json = run(&scratch, &format!("{train} --architecture {architecture}")).json();
        let stored = |way: &str| json["held_out"][way]["stored"].as_u64().unwrap();
        assert!(stored("tezip+") <= stored("balanced") + 100, "{json}");
        assert!(stored("tezip") > 0 && stored("tezip without model") > 0);
        let shown = alone(&scratch, "models show m.safetensors --json").json();
        let said = &shown["metadata"];
        assert!(said["architecture"].as_str().unwrap().starts_with(architecture), "{said}");
        assert_eq!((said["size"].as_str(), said["loss"].as_str()), (Some("small"), Some("bits")));
        let out = "convert in.h5 out.h5 --relative 3e-2 --dataset chaos --preset tezip --model m.safetensors --json";
        let converted = alone(&scratch, out).json();
        assert!(converted["datasets"].as_array().is_some_and(|d| !d.is_empty()), "{converted}");
        std::fs::remove_file(scratch.file("out.h5")).unwrap();
    }
}

#[test]
#[ignore = "needs libaugur_torch: make test-torch"]
fn autoencoders_are_trained_on_blocks_and_runs() {
    let scratch = prepared();
    let train = "train in.h5:/chaos --relative 3e-2 --steps 20 --insist --seed 2 -o m.safetensors";
    for (more, architecture, size) in [
        (
            "--architecture swae --block 16x8 --channels 4,6 --latent 5",
            "swae: blocks of 16 x 8",
            "16x8, channels 4, 6, 5 latents",
        ),
        (
            "--architecture swae --block 8x8x8 --channels 4,6,8",
            "swae: blocks of 8 (time) x 8 x 8",
            "8x8x8, channels 4, 6, 8, 16 latents",
        ),
        (
            "--architecture cae --block 512 --layers 2 --proportion 20%",
            "cae: runs of 512 values",
            "512 values, layers of 64, 8",
        ),
    ] {
        let json = run(&scratch, &format!("{train} {more} --json")).json();
        assert_eq!(json["training"]["steps"].as_u64(), Some(20), "{json}");
        let found = &json["training"]["reconstruction"];
        assert!(
            found["psnr"].as_f64().unwrap() > 0.0 && found["scores"].as_array().unwrap().len() == 3,
            "{json}"
        );
        let shown = alone(&scratch, "models show m.safetensors --json").json();
        let said = &shown["metadata"];
        assert!(said["architecture"].as_str().unwrap().starts_with(architecture), "{said}");
        assert_eq!(said["size"], size);
        assert_eq!(said["sampling"], "strided");
    }
    let said = run(&scratch, &format!("{train} --architecture cae --block 512 --sampling first"));
    assert!(said.err.contains("coefficient of variation"), "{}", said.err);
    assert!(said.ok().contains("Reconstructions of held-out blocks: PSNR"));
    run(&scratch, &format!("{train} --architecture swae --third level"))
        .fails(2, &["no levels", "--third time"]);
}

#[test]
#[ignore = "needs libaugur_torch: make test-torch"]
fn a_field_without_time_is_trained_on_by_its_levels() {
    let scratch = prepared();
    {
        let file = files::create(&scratch.file("still.h5"));
        files::floats(
            file.id.0,
            c"u",
            &files::Plan::contiguous(&[1, SHAPE[0], SHAPE[1], SHAPE[2]]),
            &chaos(),
        );
    }
    let train = "train still.h5:/u --relative 3e-2 --steps 5 --insist -o m.safetensors --architecture swae";
    run(&scratch, &format!("{train} --channels 4,4,4 --json")).json();
    let shown = alone(&scratch, "models show m.safetensors --json").json();
    assert!(shown["metadata"]["architecture"].as_str().unwrap().contains("8 (levels) x 8 x 8"), "{shown}");
    run(&scratch, &format!("{train} --third time")).fails(2, &["1 steps", "--third level"]);
    run(&scratch, "train still.h5:/u --relative 3e-2 -o m.safetensors").fails(2, &["1 steps"]);
}

#[test]
#[ignore = "needs libaugur_torch: make test-torch"]
fn the_same_training_gives_the_same_file() {
    let scratch = prepared();
    let train = |to: &str, more: &str| {
        let arguments = format!("train in.h5:/chaos --relative 1e-2 --size small --steps 20 -o {to} {more}");
        let mut command = command(scratch.path());
        command.env("SOURCE_DATE_EPOCH", "1700000000").args(arguments.split_whitespace());
        finish(&mut command)
    };
    let text = train("a/m.safetensors", "").err;
    assert!(text.contains("no directory a"), "{text}");
    let said = train("m.safetensors", "").ok();
    assert!(said.contains("20 steps") && said.contains("balanced") && said.contains("learned"), "{said}");
    let first = std::fs::read(scratch.file("m.safetensors")).unwrap();
    train("m.safetensors", "").ok();
    assert_eq!(std::fs::read(scratch.file("m.safetensors")).unwrap(), first);
    let shown = run(&scratch, "models show m.safetensors --json").json();
    assert_eq!(shown["metadata"]["date"], "2023-11-14");
    assert_eq!(shown["metadata"]["license"], "unspecified");

    // Interrupted, continued, and trained further.
    train("half.safetensors", "--checkpoint c --max-time 1e-9").ok();
    train("m2.safetensors", "--checkpoint c --resume").ok();
    train("m3.safetensors", "--init m.safetensors").ok();
    let shown = run(&scratch, "models show m3.safetensors --json").json();
    let digest = run(&scratch, "models show m.safetensors --json").json()["sha256"].clone();
    assert_eq!(shown["metadata"]["init"], format!("sha256:{}", digest.as_str().unwrap()));
}

#[test]
#[ignore = "needs libaugur_torch: make test-torch"]
fn where_nothing_can_be_forecast_it_says_so_early() {
    let scratch = prepared();
    let arguments = "train in.h5:/noise --relative 1e-2 --size small -o m.safetensors";
    run(&scratch, arguments).fails(1, &["after 500 steps", "saves nothing", "--insist"]);
    assert_eq!(scratch.names(), ["in.h5"]);
}

#[test]
#[ignore = "needs libaugur_torch: make test-torch"]
fn what_cannot_be_trained_on_is_refused() {
    let scratch = prepared();
    {
        let file = files::create(&scratch.file("bad.h5"));
        let flat = vec![1.0; SHAPE.iter().product::<u64>() as usize];
        files::floats(file.id.0, c"flat", &files::Plan::contiguous(&SHAPE), &flat);
        files::floats(file.id.0, c"short", &files::Plan::contiguous(&[4, 6, 112]), &flat[..2688]);
        files::floats(file.id.0, c"line", &files::Plan::contiguous(&[24, 112]), &flat[..2688]);
        files::floats(file.id.0, c"thin", &files::Plan::contiguous(&[24, 2, 56]), &chaos()[..2688]);
    }
    std::fs::write(scratch.file("junk"), b"junk").unwrap();
    for (field, part) in [
        ("none.h5:/u", "none.h5"),
        ("in.h5:/none", "none"),
        ("in.h5", "several datasets"),
        ("junk", "junk"),
        ("bad.h5:/flat", "only one value"),
        ("bad.h5:/short", "4 steps"),
        ("bad.h5:/line", "time, rows and columns"),
        ("bad.h5:/thin", "too small"),
        ("in.h5:/chaos --time-axis 2", "--time-axis"),
        ("in.h5:/chaos --init junk", "junk"),
        ("in.h5:/chaos --checkpoint junk --resume", "checkpoint junk cannot be used"),
    ] {
        run(&scratch, &format!("train {field} --relative 1e-2 --size small --steps 1 -o m.safetensors"))
            .fails(2, &[part]);
    }
    assert_eq!(scratch.names(), ["bad.h5", "in.h5", "junk"]);
}
