//! Where networks are computed, other than by the codec's own kernels: libtorch, where `AUGUR_BACKEND=torch` asks for it.
//!
//! The library (`libaugur_torch`, which `make torch` builds) is opened when a chunk needs a network for the first
//! time, and counts only after it gave known answers. Reading never needs it: whatever stands against it is one warning,
//! and the kernels compute the same values.

pub mod library;
mod proof;
mod torch;

use augur_core::network::backend::{self, Backend};
use augur_core::Result;
use std::ffi::CStr;

/// Names what computes networks: `torch`, or `native` (the default).
pub const VARIABLE: &str = "AUGUR_BACKEND";
/// Names libtorch's device: `cuda`, `cpu`; unset: CUDA where it is there.
pub const DEVICE: &str = "AUGUR_TORCH_DEVICE";

/// Lets the networks of this process be computed where `AUGUR_BACKEND` says. The environment is looked at when a network
/// runs for the first time.
pub fn provide() {
    backend::provide(find);
}

fn find() -> Option<Box<dyn Backend>> {
    let device = match chosen(|name| std::env::var(name).ok()) {
        Ok(device) => device?,
        Err(line) => {
            crate::report::warn(&line);
            return None;
        }
    };
    let opened = open(device).map_err(|e| {
        crate::report::warn(&format!(
            "{VARIABLE} is \"torch\", but {e}; the processor's own kernels compute networks, with the same results"
        ));
    });
    opened.ok()
}

fn open(device: &'static CStr) -> Result<Box<dyn Backend>> {
    let torch = torch::Torch::open(device)?;
    proof::passed(&torch)?;
    Ok(Box::new(torch))
}

/// libtorch's device, if libtorch is to be used; what is wrong with the variables, in words.
fn chosen(env: impl Fn(&str) -> Option<String>) -> std::result::Result<Option<&'static CStr>, String> {
    let set = |name| env(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
    match set(VARIABLE).as_deref() {
        None | Some("native") => return Ok(None),
        Some("torch") => {}
        Some(other) => {
            return Err(format!(
                "{VARIABLE} is \"{other}\", expected torch or native; the processor's own kernels compute networks"
            ))
        }
    }
    match set(DEVICE).as_deref() {
        None => Ok(Some(c"auto")),
        Some("cuda") => Ok(Some(c"cuda")),
        Some("cpu") => Ok(Some(c"cpu")),
        Some(other) => Err(format!(
            "{DEVICE} is \"{other}\", expected cuda or cpu; the processor's own kernels compute networks"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_choose_what_computes_networks() {
        let chosen = |vars: &[(&str, &str)]| {
            super::chosen(|name| vars.iter().find(|v| v.0 == name).map(|v| v.1.to_string()))
        };
        assert_eq!(chosen(&[]), Ok(None));
        assert_eq!(chosen(&[(VARIABLE, ""), (DEVICE, "cuda")]), Ok(None));
        assert_eq!(chosen(&[(VARIABLE, "native"), (DEVICE, "tpu")]), Ok(None));
        assert_eq!(chosen(&[(VARIABLE, " torch ")]), Ok(Some(c"auto")));
        assert_eq!(chosen(&[(VARIABLE, "torch"), (DEVICE, "cpu")]), Ok(Some(c"cpu")));
        assert_eq!(chosen(&[(VARIABLE, "torch"), (DEVICE, "cuda")]), Ok(Some(c"cuda")));
        for wrong in [&[(VARIABLE, "tensorflow")][..], &[(VARIABLE, "torch"), (DEVICE, "tpu")]] {
            let line = chosen(wrong).unwrap_err();
            assert!(line.contains("expected") && line.contains(wrong[wrong.len() - 1].1), "{line}");
        }
    }
}
