//! `augur doctor`: what it says when there is nothing to try, and how it judges a host.
//!
//! Real hosts are tried by `test_hosts.py`; here a script takes the place of a Python, so that every
//! outcome can be had.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;
use common::{command, finish, Ran, Scratch};
use std::os::unix::fs::PermissionsExt;

/// Runs doctor with a Python that is this shell script and nothing else on PATH.
fn with_python(scratch: &Scratch, script: &str, arguments: &[&str]) -> Ran {
    let python = scratch.file("python3");
    std::fs::write(&python, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
    finish(command(scratch.path()).env("PATH", scratch.path()).arg("doctor").args(arguments))
}

#[test]
fn without_any_host_there_is_nothing_to_try() {
    let scratch = Scratch::new();
    let ran = finish(command(scratch.path()).env("PATH", scratch.path()).arg("doctor"));
    ran.fails(2, &["nothing to try", "--python"]);
    let ran = finish(command(scratch.path()).args(["doctor", "--python", "/no/such/python"]));
    ran.fails(2, &["/no/such/python: no such program"]);
}

#[test]
fn a_module_that_is_not_installed_is_no_failure_of_the_plugin() {
    let scratch = Scratch::new();
    let script = r#"echo "AUGUR-PROBE {\"module\": \"$3\", \"missing\": \"$3\"}""#;
    let ran = with_python(&scratch, script, &[]);
    assert!(ran.out.contains("h5py") && ran.out.contains("not installed"), "{}", ran.out);
    ran.fails(2, &["nothing to try"]);
}

#[test]
fn values_beyond_the_bound_are_a_failure() {
    let scratch = Scratch::new();
    let good = r#"echo 'AUGUR-PROBE {"version": "1", "hdf5": "2.0.0", "search_path": ["/p"], "largest_error": 0.0009}'"#;
    let json = with_python(&scratch, good, &["--json"]).json();
    assert_eq!(json["hosts"][0]["works"], true);
    let bad = r#"echo 'AUGUR-PROBE {"version": "1", "hdf5": "2.0.0", "search_path": ["/p"], "largest_error": 0.0011}'"#;
    with_python(&scratch, bad, &[]).fails(1, &["2 of 2 cannot use the plugin"]);
}

#[test]
fn the_fix_is_one_that_was_tried() {
    let scratch = Scratch::new();
    let dir = scratch.file("plugins");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("libh5z_augur.so"), "not a library").unwrap();
    // This host only works when the directory comes through HDF5_PLUGIN_PATH; h5augur names it.
    let script = format!(
        r#"case "$2" in
*PLUGIN_PATH\)*) echo '{dir}';;
*) if [ "$HDF5_PLUGIN_PATH" = '{dir}' ]; then echo 'AUGUR-PROBE {{"largest_error": 0.0}}'
   else echo 'AUGUR-PROBE {{"search_path": ["/elsewhere"], "step": "writing", "problem": "unknown filter"}}'; fi;;
esac"#,
        dir = dir.display()
    );
    let ran = with_python(&scratch, &script, &[]);
    assert!(ran.out.contains("libh5z_augur.so is not in /elsewhere"), "{}", ran.out);
    assert!(ran.out.contains(&format!("export HDF5_PLUGIN_PATH={}", dir.display())), "{}", ran.out);
    assert!(ran.out.contains("does not load"), "{}", ran.out);
    ran.fails(1, &["cannot use the plugin"]);
}

#[test]
fn a_host_that_crashes_is_reported_and_not_fatal() {
    let scratch = Scratch::new();
    let ran = with_python(&scratch, "echo 'Segmentation fault' >&2; exit 139", &[]);
    assert!(ran.out.contains("DOES NOT WORK") && ran.out.contains("Segmentation fault"), "{}", ran.out);
    ran.fails(1, &[]);
}
