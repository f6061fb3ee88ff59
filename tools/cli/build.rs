//! Exports the symbols of the statically linked libhdf5 from the executable, so that the filter finds
//! the functions of its host there as it would in a shared libhdf5.

fn main() {
    println!("cargo::rustc-link-arg-bins=-rdynamic");
    println!("cargo::rerun-if-changed=build.rs");
}
