//! Lets the library and its tests find libtorch: beside the library (`lib/torch`), or where it was compiled with it.

fn main() {
    println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/torch/lib");
    if let Ok(libtorch) = std::env::var("LIBTORCH") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
    }
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    println!("cargo::rerun-if-changed=build.rs");
}
