//! `augur verify` and `augur inspect`: they tell the truth about files, good and bad.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;
use common::files::{self, Plan, SHAPE};
use common::{augur, Scratch};

/// `in.h5` with one dataset `/u` that holds `values`, and `out.h5`, converted from it.
fn pair(values: &[f32], arguments: &[&str]) -> Scratch {
    let scratch = Scratch::new();
    write(&scratch, "in.h5", values);
    augur(scratch.path(), &[&["convert", "in.h5", "out.h5"], arguments].concat()).ok();
    scratch
}

fn write(scratch: &Scratch, name: &str, values: &[f32]) {
    let file = files::create(&scratch.file(name));
    files::floats(file.id.0, c"u", &Plan::contiguous(&SHAPE), values);
}

#[test]
fn every_kind_of_bound_holds() {
    let mut values = files::wave(SHAPE);
    values[3] = f32::NAN;
    values[4] = f32::NEG_INFINITY;
    for bound in [
        &["--absolute", "1e-2"][..],
        &["--relative", "1e-3"],
        &["--relative", "1e-3", "--range", "4"],
        &["--absrel", "1e-2", "1e-3"],
        &["--pointwise-relative", "1e-2"],
        &["--pointwise-relative", "1e-2", "--floor", "0.1"],
        &["--psnr", "60"],
        &["--lossless"],
        &["--absolute", "1e-2", "--preset", "fast"],
    ] {
        let scratch = pair(&values, bound);
        let json = augur(scratch.path(), &["verify", "in.h5", "out.h5", "--json"]).json();
        let row = &json["datasets"][0];
        assert_eq!(row["holds"], true, "{bound:?}: {row}");
        assert_eq!(row["inexact"], 0, "{bound:?}: {row}");
        assert_eq!(row["special"], 2, "{bound:?}: {row}");
        assert!(row["error_over_bound"].as_f64().unwrap() <= 1.0, "{bound:?}: {row}");
    }
}

#[test]
fn a_broken_bound_is_status_1_and_says_where() {
    let values = files::wave(SHAPE);
    let scratch = pair(&values, &["--absolute", "1e-3"]);
    let mut other = values.clone();
    let at = (7 * 30 + 11) * 35 + 13;
    other[at] += 0.01;
    write(&scratch, "other.h5", &other);
    let ran = augur(scratch.path(), &["verify", "other.h5", "out.h5"]);
    assert!(ran.out.contains("BROKEN") && ran.out.contains("[7, 11, 13]"), "{}", ran.out);
    ran.fails(1, &["the error bound is broken in /u"]);
}

#[test]
fn a_changed_special_value_breaks_the_promise() {
    let values = files::wave(SHAPE);
    let scratch = pair(&values, &["--absolute", "1e-3"]);
    let mut other = values.clone();
    other[100] = f32::NAN;
    write(&scratch, "other.h5", &other);
    let ran = augur(scratch.path(), &["verify", "other.h5", "out.h5"]);
    assert!(ran.out.contains("1 CHANGED"), "{}", ran.out);
    ran.fails(1, &["/u"]);
}

#[test]
fn what_cannot_be_compared_is_status_2() {
    let scratch = pair(&files::wave(SHAPE), &["--absolute", "1e-3"]);
    {
        let file = files::create(&scratch.file("short.h5"));
        files::floats(file.id.0, c"u", &Plan::contiguous(&[4, 5]), &[0.0; 20]);
    }
    drop(files::create(&scratch.file("bare.h5")));
    for (arguments, parts) in [
        (&["in.h5", "none.h5"][..], &["none.h5: no such file"][..]),
        (&["none.h5", "out.h5"], &["none.h5: no such file"]),
        (&["in.h5", "in.h5"], &["in.h5 holds no dataset that Augur compressed", "--dataset"]),
        (&["in.h5", "out.h5", "-d", "nothing"], &["no dataset of out.h5 matches \"nothing\""]),
        (&["short.h5", "out.h5"], &["could not be compared"]),
        (&["bare.h5", "out.h5"], &["could not be compared"]),
    ] {
        augur(scratch.path(), &[&["verify"], arguments].concat()).fails(2, parts);
    }
    let ran = augur(scratch.path(), &["verify", "short.h5", "out.h5"]);
    assert!(ran.out.contains("the original is 4 x 5, the copy 40 x 30 x 35"), "{}", ran.out);
}

#[test]
fn inspect_lists_bound_preset_and_chunks() {
    let scratch = Scratch::new();
    files::sample(&scratch.file("in.h5"));
    let arguments =
        ["convert", "in.h5", "out.h5", "--absolute", "0.01", "--preset", "fast", "--chunk", "16,30,35"];
    augur(scratch.path(), &arguments).ok();
    let json = augur(scratch.path(), &["inspect", "out.h5", "--chunks", "--json"]).json();
    let sets = json["datasets"].as_array().unwrap();
    let of = |path: &str| sets.iter().find(|s| s["path"] == path).unwrap();
    let u = of("/u");
    assert_eq!(u["augur"]["preset"], "fast");
    assert_eq!(u["augur"]["bound"]["mode"], "absolute");
    assert_eq!(u["augur"]["bound"]["parameters"][0], 0.01);
    assert_eq!(u["chunk"], serde_json::json!([16, 30, 35]));
    let chunks = u["chunks"].as_array().unwrap();
    let offsets: Vec<_> = chunks.iter().map(|c| c["offset"].clone()).collect();
    assert_eq!(
        offsets,
        [serde_json::json!([0, 0, 0]), serde_json::json!([16, 0, 0]), serde_json::json!([32, 0, 0])]
    );
    let stored: u64 = chunks.iter().map(|c| c["stored_bytes"].as_u64().unwrap()).sum();
    assert_eq!(stored, u["stored_bytes"].as_u64().unwrap());
    assert!(chunks.iter().all(|c| c["method"] == "predicted"), "{u}");
    assert!(of("/group/small")["augur"].is_null());
    assert_eq!(of("/group/small")["filters"][1]["name"], "gzip-4");
    let text = augur(scratch.path(), &["inspect", "out.h5"]).ok();
    assert!(text.contains("absolute 0.01") && text.contains("shuffle, gzip-4"), "{text}");
}

#[test]
fn a_damaged_chunk_is_found() {
    let scratch = pair(&files::wave(SHAPE), &["--absolute", "1e-3"]);
    let mut bytes = std::fs::read(scratch.file("out.h5")).unwrap();
    let start = bytes.windows(4).position(|w| w == b"\x89AGR").unwrap();
    bytes[start + 200] ^= 0x10;
    std::fs::write(scratch.file("bad.h5"), bytes).unwrap();
    let ran = augur(scratch.path(), &["inspect", "bad.h5", "--chunks"]);
    assert!(ran.out.contains("DAMAGED"), "{}", ran.out);
    ran.fails(1, &["1 chunks of bad.h5 are damaged"]);
    let ran = augur(scratch.path(), &["verify", "in.h5", "bad.h5"]);
    assert!(ran.out.contains("not compared"), "{}", ran.out);
    ran.fails(2, &["could not be compared"]);
}

#[test]
fn inspect_refuses_what_is_no_file_of_its_kind() {
    let scratch = Scratch::new();
    std::fs::write(scratch.file("text"), "hello").unwrap();
    augur(scratch.path(), &["inspect", "text"]).fails(2, &["text is not an HDF5 or netCDF-4 file"]);
    augur(scratch.path(), &["inspect", "gone"]).fails(2, &["gone: no such file"]);
    augur(scratch.path(), &["inspect"]).fails(2, &["<FILE>"]);
}
