//! `augur cd-values`: what it prints is what the filter reads, and nonsense is refused with a reason.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;
use augur_filter::{Fill, Settings};
use common::{augur, Scratch};

fn settings(arguments: &[&str]) -> Settings {
    let scratch = Scratch::new();
    let json = augur(scratch.path(), &[&["cd-values", "--json"], arguments].concat()).json();
    let words: Vec<u32> =
        json["cd_values"].as_array().unwrap().iter().map(|w| w.as_u64().unwrap() as u32).collect();
    Settings::from_words(&words).unwrap()
}

#[test]
fn the_filter_reads_back_what_was_asked_for() {
    use augur_core::{Bound, Preset};
    let expect = |bound| Settings::new(bound);
    assert_eq!(settings(&["--absolute", "1e-3"]), expect(Bound::Absolute(1e-3)));
    assert_eq!(settings(&["--relative", "1e-4"]), expect(Bound::Relative { rel: 1e-4, range: None }));
    assert_eq!(
        settings(&["--relative", "1e-4", "--range", "80"]),
        expect(Bound::Relative { rel: 1e-4, range: Some(80.0) })
    );
    assert_eq!(settings(&["--absrel", "0.5", "1e-2"]), expect(Bound::AbsRel { abs: 0.5, rel: 1e-2 }));
    assert_eq!(
        settings(&["--pointwise-relative", "0.01", "--floor", "1e-6"]),
        expect(Bound::PointwiseRelative { rel: 0.01, floor: 1e-6 })
    );
    assert_eq!(settings(&["--psnr", "60"]), expect(Bound::Psnr(60.0)));
    assert_eq!(settings(&["--lossless"]), expect(Bound::Lossless));
    assert_eq!(
        settings(&["--preset", "lossless"]),
        Settings { preset: Preset::Lossless, ..expect(Bound::Lossless) }
    );
    assert_eq!(
        settings(&["--absolute", "2", "--preset", "fast", "--fill-value", "-999", "--time-axis", "1"]),
        Settings {
            preset: Preset::Fast,
            fill: Some(Fill::value(-999.0)),
            time_axis: 1,
            ..expect(Bound::Absolute(2.0))
        }
    );
}

#[test]
fn windows_are_those_of_tezip() {
    use augur_core::params::{KeyFrames, Windows};
    use augur_core::{Bound, Preset};
    let expect = |keys, warm_up, open_loop| Settings {
        preset: Preset::Tezip,
        windows: Windows { keys, warm_up, open_loop },
        ..Settings::new(Bound::Relative { rel: 0.1, range: None })
    };
    let with = |more: &[&str]| settings(&[&["--relative", "0.1", "--preset", "tezip"], more].concat());
    assert_eq!(with(&[]), expect(KeyFrames::First, 0, false));
    assert_eq!(with(&["--window", "2", "--warm-up", "7"]), expect(KeyFrames::Every(2), 7, false));
    assert_eq!(with(&["--window", "127", "--open-loop"]), expect(KeyFrames::Every(127), 0, true));
    assert_eq!(with(&["--threshold", "1"]), expect(KeyFrames::Beyond(1.0), 0, false));
    assert_eq!(with(&["--threshold", "0.02"]), expect(KeyFrames::Beyond(2f64.powf(-5.75)), 0, false));
    let plus = settings(&["--absolute", "1", "--preset", "tezip+", "--strict"]);
    assert_eq!((plus.preset, plus.strict), (Preset::TezipPlus, true));

    // What is printed is what the words hold.
    let scratch = Scratch::new();
    let said = |arguments: &str| {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let json = augur(scratch.path(), &[&["cd-values", "--json"], &arguments[..]].concat()).json();
        let text = augur(scratch.path(), &[&["cd-values"], &arguments[..]].concat()).ok();
        (json["windows"].clone(), text.lines().next().unwrap().to_string())
    };
    let (json, text) = said("--relative 0.1 --preset tezip --threshold 0.02 --warm-up 2 --open-loop");
    assert_eq!(json["threshold"].as_f64(), Some(2f64.powf(-5.75)));
    assert_eq!((json["warm_up"].as_u64(), json["open_loop"].as_bool()), (Some(2), Some(true)));
    assert_eq!(text, "relative 0.1, preset tezip, key frame beyond 1.858e-2, warm-up 2 steps, open loop");
    let (json, text) = said("--relative 0.1 --preset tezip --window 8");
    assert_eq!((json["window"].as_u64(), json["warm_up"].as_u64()), (Some(8), Some(1)));
    assert_eq!(text, "relative 0.1, preset tezip, key frame every 8 steps");
    let (json, text) = said("--relative 0.1 --preset tezip+");
    assert!(json.is_null());
    assert_eq!(text, "relative 0.1, preset tezip+");
}

#[test]
fn every_tool_gets_its_own_line() {
    let scratch = Scratch::new();
    let out = augur(scratch.path(), &["cd-values", "--absolute", "1", "--name", "wind"]).ok();
    // 1.0 is 0x3ff00000_00000000: low word 0, high word 1072693248.
    for line in [
        "h5repack -f wind:UD=49493,0,4,1,1,0,1072693248 IN OUT",
        "nccopy -F 'wind,49493,1,1,0,1072693248' IN OUT",
        "wind:_Filter = \"49493,1,1,0,1072693248\" ;",
        "compression=49493, compression_opts=(1, 1, 0, 1072693248)",
        "{1u, 1u, 0u, 1072693248u}; H5Pset_filter(dcpl, 49493, H5Z_FLAG_MANDATORY, 4, cd);",
    ] {
        assert!(out.contains(line), "{line} expected in\n{out}");
    }
}

#[test]
fn nonsense_is_refused_with_a_reason() {
    let scratch = Scratch::new();
    for (arguments, parts) in [
        (&[][..], &["say what may be lost", "--absolute"][..]),
        (&["--absolute", "0"], &["absolute bound is 0", "lossless"]),
        (&["--absolute", "-1"], &["absolute bound is -1"]),
        (&["--relative", "nan"], &["relative bound is NaN"]),
        (&["--absolute", "inf"], &["absolute bound is inf"]),
        (&["--absolute", "x"], &["invalid value 'x'", "--absolute"]),
        (&["--pointwise-relative", "1"], &["must be below 1"]),
        (&["--psnr", "0"], &["between 1 and 1000"]),
        (&["--absolute", "1", "--relative", "1"], &["cannot be used with"]),
        (&["--range", "1"], &["--relative"]),
        (&["--relative", "1e-3", "--range", "0"], &["--range is 0"]),
        (
            &["--absolute", "1", "--preset", "turbo"],
            &["balanced, fast, lossless", "tezip+, ae-sz, ae-sz+, cae"],
        ),
        (
            &["--absolute", "1", "--preset", "ae-sz+", "--selection", "distance"],
            &["--selection goes with --preset ae-sz or cae", "ae-sz+"],
        ),
        (&["--absolute", "1", "--selection", "length"], &["--selection goes with", "balanced"]),
        (&["--absolute", "1", "--preset", "cae", "--selection", "size"], &["length", "distance"]),
        (&["--absolute", "1", "--preset", "ae-sz", "--window", "8"], &["--window goes with", "ae-sz"]),
        (&["--absolute", "1", "--preset", "lossless"], &["drop one of the two"]),
        (&["--absrel", "1", "1e-3", "--fill-value", "0"], &["--fill-value cannot be given together"]),
        (&["--absolute", "1", "--window", "8"], &["--window goes with --preset tezip", "balanced"]),
        (
            &["--absolute", "1", "--preset", "tezip+", "--threshold", "0.1"],
            &["--threshold goes with", "tezip+"],
        ),
        (&["--absolute", "1", "--preset", "learned", "--warm-up", "1"], &["--warm-up goes with", "learned"]),
        (&["--absolute", "1", "--preset", "fast", "--open-loop"], &["--open-loop goes with", "fast"]),
        (
            &["--absolute", "1", "--preset", "tezip", "--window", "1"],
            &["--window is 1", "2 to 127 time steps"],
        ),
        (&["--absolute", "1", "--preset", "tezip", "--window", "-8"], &["--window is -8", "2 to 127"]),
        (&["--absolute", "1", "--preset", "tezip", "--window", "500"], &["--window is 500", "2 to 127"]),
        (&["--absolute", "1", "--preset", "tezip", "--threshold", "0"], &["--threshold is 0", "2^-31 to 1"]),
        (
            &["--absolute", "1", "--preset", "tezip", "--threshold", "nan"],
            &["--threshold is NaN", "2^-31 to 1"],
        ),
        (&["--absolute", "1", "--preset", "tezip", "--threshold", "2"], &["--threshold is 2", "2^-31 to 1"]),
        (&["--absolute", "1", "--preset", "tezip", "--warm-up", "8"], &["--warm-up is 8", "0 to 7"]),
        (
            &["--absolute", "1", "--preset", "tezip", "--window", "8", "--threshold", "0.1"],
            &["cannot be used with", "--threshold"],
        ),
        (&["--absolute", "1", "--preset", "fast", "--model", "x"], &["x: no such file"]),
        (&["--absolute", "1", "--time-axis", "16"], &["--time-axis is 16", "0 to 15"]),
    ] {
        augur(scratch.path(), &[&["cd-values"], arguments].concat()).fails(2, parts);
    }
}

#[test]
fn help_has_examples_for_every_subcommand() {
    let scratch = Scratch::new();
    for name in ["cd-values", "convert", "inspect", "verify", "doctor", "models"] {
        let out = augur(scratch.path(), &[name, "--help"]).ok();
        assert!(out.contains(&format!("  augur {name}")) && out.contains("Exit status"), "{out}");
    }
    for name in ["list", "show", "embed", "extract", "add", "remove", "gc"] {
        let out = augur(scratch.path(), &["models", name, "--help"]).ok();
        assert!(out.contains(&format!("  augur models {name}")), "{out}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_reason_to_panic() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let ran = std::process::Command::new(env!("CARGO_BIN_EXE_augur"))
        .args(["cd-values", "--absolute", "1"])
        .stdout(writer)
        .output()
        .expect("the command runs");
    assert_eq!((ran.status.code(), String::from_utf8_lossy(&ran.stderr).as_ref()), (Some(0), ""));
}
