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
        (&["--absolute", "1", "--preset", "turbo"], &["balanced, fast, lossless"]),
        (&["--absolute", "1", "--preset", "lossless"], &["drop one of the two"]),
        (&["--absrel", "1", "1e-3", "--fill-value", "0"], &["--fill-value cannot be given together"]),
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
