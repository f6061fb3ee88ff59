//! Where the plugin that `cargo test` built lies.

use std::path::PathBuf;

/// Path of `libh5z_augur.so`, beside the test's own executable.
pub fn plugin() -> PathBuf {
    let exe = std::env::current_exe().expect("the test's own path");
    let name = format!("{}h5z_augur{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let path = exe.with_file_name(name);
    assert!(path.is_file(), "{} was not built", path.display());
    path
}

/// A new directory for this test's files, below Cargo's own.
pub fn scratch(name: &str) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("a scratch directory");
    dir
}
