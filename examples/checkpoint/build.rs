//! Exports the functions of the statically linked HDF5, so that plugins in this process can call them.

fn main() {
    // Augur's plugin asks the HDF5 that called it for the dataset's type and chunk shape. In a static HDF5 it finds
    // those functions only when the executable exports them; without, it could read but would write losslessly.
    if std::env::var("CARGO_CFG_UNIX").is_ok() {
        println!("cargo:rustc-link-arg-bins=-rdynamic");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
