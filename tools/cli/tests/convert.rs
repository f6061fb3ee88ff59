//! `augur convert`: the chosen datasets are within their bound, everything else is as it was, and a
//! failure leaves nothing behind.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;
use common::files::{self, Plan, SHAPE};
use common::{augur, command, finish, Scratch};
use std::process::Command;

fn converted(arguments: &[&str]) -> Scratch {
    let scratch = Scratch::new();
    files::sample(&scratch.file("in.h5"));
    augur(scratch.path(), &[&["convert", "in.h5", "out.h5"], arguments].concat()).ok();
    scratch
}

#[test]
fn values_are_within_the_bound_and_special_ones_exact() {
    let scratch = converted(&["--absolute", "1e-3"]);
    for path in [c"/u", c"/group/v"] {
        let a = files::read_floats(&files::open(&scratch.file("in.h5")), path);
        let b = files::read_floats(&files::open(&scratch.file("out.h5")), path);
        for (i, (x, y)) in a.iter().zip(&b).enumerate() {
            if x.is_finite() && *x != -999.0 {
                assert!((f64::from(*x) - f64::from(*y)).abs() <= 1e-3, "{path:?} at {i}: {x} and {y}");
            } else {
                assert_eq!(x.to_bits(), y.to_bits(), "{path:?} at {i}");
            }
        }
        assert_eq!(files::filters(&files::open(&scratch.file("out.h5")), path), [49493]);
    }
}

#[test]
fn everything_else_is_kept() {
    let scratch = converted(&["--absolute", "1e-3"]);
    let out = files::open(&scratch.file("out.h5"));
    assert_eq!(files::link_names(&out, c"/"), ["u", "group", "named", "of_named"]);
    assert_eq!(files::link_names(&out, c"/group"), ["v", "small", "soft", "external", "again", "loop"]);
    assert_eq!(files::attribute_names(&out, c"/u"), ["zulu", "alpha", "to_v"]);
    assert_eq!(files::attribute_names(&out, c"/"), ["to_u"]);
    assert!(files::same_object(&out, c"/u", c"/group/again"));
    assert!(files::same_object(&out, c"/u", c"/group/soft"));
    assert!(files::same_object(&out, c"/group", c"/group/loop"));
    assert_eq!(files::filters(&out, c"/group/small"), [2, 1], "shuffle and gzip stay on what is not chosen");
    assert_eq!(files::limits(&out, c"/u"), [None, Some(30), Some(35)]);
    assert_eq!(files::limits(&out, c"/group/v"), SHAPE.map(Some));
}

#[test]
fn references_lead_to_the_new_objects() {
    let scratch = converted(&["--absolute", "1e-3"]);
    let out = files::open(&scratch.file("out.h5"));
    // HDF5 names an object by any of its paths.
    let to_u = files::referred(&out, c"/", c"to_u");
    assert!(files::same_object(&out, &std::ffi::CString::new(to_u).unwrap(), c"/u"));
    assert!(files::referred(&out, c"/u", c"to_v").ends_with("/v"));
}

#[test]
fn references_of_the_new_kind_lead_to_the_new_objects() {
    let scratch = Scratch::new();
    {
        let file = files::create(&scratch.file("in.h5"));
        let u = files::floats(file.id.0, c"u", &Plan::contiguous(&SHAPE), &files::wave(SHAPE));
        files::number(u.0, c"units", 1);
        files::general_references(file.id.0, c"all", &file, c"/u", c"units");
    }
    augur(scratch.path(), &["convert", "in.h5", "out.h5", "--absolute", "1e-3"]).ok();
    // Everything that the old file's addresses could lead to is gone.
    std::fs::remove_file(scratch.file("in.h5")).unwrap();
    let out = files::open(&scratch.file("out.h5"));
    let (paths, selected, attribute) = files::general_referred(&out, c"/", c"all");
    assert_eq!(paths, ["/u", "/u", "/u"]);
    assert_eq!((selected, attribute.as_str()), (2 * 3 * 4, "units"));
}

#[test]
fn a_smooth_field_becomes_several_times_smaller() {
    let scratch = Scratch::new();
    files::sample(&scratch.file("in.h5"));
    let json =
        augur(scratch.path(), &["convert", "in.h5", "out.h5", "--relative", "1e-3", "--verify", "--json"])
            .json();
    let sets = json["datasets"].as_array().unwrap();
    assert_eq!(sets.len(), 2, "{json}");
    for set in sets {
        assert!(set["ratio"].as_f64().unwrap() > 5.0, "{set}");
    }
}

#[test]
fn only_named_datasets_are_compressed() {
    let scratch = converted(&["--absolute", "1e-3", "-d", "group/*"]);
    let out = files::open(&scratch.file("out.h5"));
    assert_eq!(files::filters(&out, c"/u"), [2, 1]);
    assert_eq!(files::filters(&out, c"/group/v"), [49493]);
    assert_eq!(files::filters(&out, c"/group/small"), [49493], "a pattern also means small datasets");
}

#[test]
fn lossless_is_bit_for_bit() {
    let scratch = converted(&["--lossless", "--chunk", "7,16,35"]);
    let bits = |name: &str, path| -> Vec<u32> {
        files::read_floats(&files::open(&scratch.file(name)), path).iter().map(|v| v.to_bits()).collect()
    };
    for path in [c"/u", c"/group/v"] {
        assert_eq!(bits("in.h5", path), bits("out.h5", path));
    }
}

#[test]
fn converting_again_leaves_compressed_data_as_they_are() {
    let scratch = converted(&["--absolute", "1e-3"]);
    let out = augur(scratch.path(), &["convert", "out.h5", "again.h5", "--absolute", "0.1"]).ok();
    assert!(out.contains("already compressed with Augur"), "{out}");
    let read = |name: &str| files::read_floats(&files::open(&scratch.file(name)), c"/group/v");
    assert_eq!(read("out.h5"), read("again.h5"));
}

#[test]
fn a_dry_run_writes_nothing() {
    let scratch = Scratch::new();
    files::sample(&scratch.file("in.h5"));
    let out = augur(scratch.path(), &["convert", "in.h5", "out.h5", "--lossless", "--dry-run"]).ok();
    assert!(out.contains("/u") && out.contains("40 x 30 x 35"), "{out}");
    assert_eq!(scratch.names(), ["in.h5"]);
}

#[test]
fn wrong_requests_are_refused_and_leave_nothing() {
    let scratch = Scratch::new();
    files::sample(&scratch.file("in.h5"));
    std::fs::write(scratch.file("text"), "no HDF5 at all").unwrap();
    std::fs::write(scratch.file("old.nc"), b"CDF\x01\0\0\0\0").unwrap();
    std::fs::write(scratch.file("empty"), "").unwrap();
    let before = scratch.names();
    for (arguments, parts) in [
        (&["none.h5", "out.h5", "--lossless"][..], &["none.h5: no such file"][..]),
        (&["text", "out.h5", "--lossless"], &["text is not an HDF5 or netCDF-4 file"]),
        (&["old.nc", "out.h5", "--lossless"], &["netCDF-3", "nccopy -k nc4"]),
        (&["empty", "out.h5", "--lossless"], &["it is empty"]),
        (&[".", "out.h5", "--lossless"], &["is a directory"]),
        (&["in.h5", ".", "--lossless"], &["is a directory"]),
        (&["in.h5", "text", "--lossless"], &["text exists", "--force"]),
        (&["in.h5", "in.h5", "--lossless"], &["in.h5 exists", "--force"]),
        (&["in.h5", "no/where.h5", "--lossless"], &["there is no directory no"]),
        (&["in.h5", "/proc/out.h5", "--lossless"], &["/proc/out.h5 cannot be created"]),
        (&["in.h5", "out.h5"], &["say what may be lost"]),
        (
            &["in.h5", "out.h5", "--lossless", "-d", "nothing"],
            &["no dataset matches \"nothing\"", "/group/v"],
        ),
        (
            &["in.h5", "out.h5", "--lossless", "-d", "of_named"],
            &["/of_named cannot be compressed", "single value"],
        ),
        (&["in.h5", "out.h5", "--lossless", "-d", "u", "--chunk", "16,30"], &["2 extents", "3 axes"]),
        (&["in.h5", "out.h5", "--lossless", "-d", "u", "--chunk", "16,31,35"], &["31", "axis 1", "only 30"]),
        (&["in.h5", "out.h5", "--lossless", "--chunk", "16,0,1"], &["--chunk holds a 0"]),
        (
            &["in.h5", "out.h5", "--lossless", "-d", "u", "--time-axis", "3"],
            &["--time-axis 3 does not exist"],
        ),
    ] {
        augur(scratch.path(), &[&["convert"], arguments].concat()).fails(2, parts);
        assert_eq!(scratch.names(), before, "{arguments:?}");
    }
}

#[test]
fn a_file_that_is_being_written_is_left_to_its_writer() {
    let scratch = Scratch::new();
    files::sample(&scratch.file("in.h5"));
    let locked = std::fs::File::open(scratch.file("in.h5")).unwrap();
    locked.lock().unwrap();
    let arguments = ["convert", "in.h5", "out.h5", "--lossless"];
    augur(scratch.path(), &arguments).fails(2, &["open for writing", "HDF5_USE_FILE_LOCKING=FALSE"]);
    finish(command(scratch.path()).args(arguments).env("HDF5_USE_FILE_LOCKING", "FALSE")).ok();
}

#[test]
fn force_replaces_and_may_convert_in_place() {
    let scratch = Scratch::new();
    files::sample(&scratch.file("in.h5"));
    augur(scratch.path(), &["convert", "in.h5", "in.h5", "--absolute", "1e-3", "--force"]).ok();
    assert_eq!(files::filters(&files::open(&scratch.file("in.h5")), c"/u"), [49493]);
    assert_eq!(scratch.names(), ["in.h5"]);
}

#[test]
fn a_full_disk_leaves_neither_a_half_file_nor_a_temporary_one() {
    let scratch = Scratch::new();
    {
        let file = files::create(&scratch.file("in.h5"));
        // Noise cannot become small enough to fit below the limit.
        let mut state = 1u32;
        let noise: Vec<f32> = (0..64 * 64 * 64)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                f32::from_bits(state >> 9 | 0x3f80_0000)
            })
            .collect();
        files::floats(file.id.0, c"noise", &Plan::contiguous(&[64, 64, 64]), &noise);
    }
    std::fs::write(scratch.file("out.h5"), "kept").unwrap();
    // A file size limit stands in for the full disk: writing beyond it is an error, not a signal.
    let limited = format!(
        "trap '' XFSZ; ulimit -f 200; exec '{}' convert in.h5 out.h5 --lossless --force",
        env!("CARGO_BIN_EXE_augur")
    );
    let ran = finish(Command::new("sh").arg("-c").arg(limited).current_dir(scratch.path()));
    ran.fails(2, &["out.h5 was not made"]);
    assert_eq!(scratch.names(), ["in.h5", "out.h5"]);
    assert_eq!(std::fs::read(scratch.file("out.h5")).unwrap(), b"kept");
}

#[test]
fn an_interrupted_run_leaves_nothing() {
    let scratch = Scratch::new();
    {
        let file = files::create(&scratch.file("in.h5"));
        let shape = [400, 128, 128];
        files::floats(file.id.0, c"u", &Plan::contiguous(&shape), &files::wave(shape));
    }
    let mut child = command(scratch.path())
        .args(["convert", "in.h5", "out.h5", "--absolute", "1e-5"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // The temporary file's appearance says that the work has begun.
    let begun = (0..2000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        scratch.names().len() == 2
    });
    assert!(begun, "the conversion did not begin");
    // SAFETY: the child is ours and has not been waited for.
    unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGTERM) };
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(128 + libc::SIGTERM), "{status}");
    assert_eq!(scratch.names(), ["in.h5"]);
}
