//! Linker arguments of the plugin.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let os = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if os == "linux" {
        // HDF5 closes its plugins at exit, when other threads and thread-local destructors may still be
        // in this library: it stays mapped.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
        // A symbol that is neither here nor in libc would end the host at its first call.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,defs");
    }
}
