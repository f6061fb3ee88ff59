//! What the fuzz targets (`fuzz/`) and their short deterministic twin (`hostile.rs`) share: every case is made from a
//! string of bytes, so that a fuzzer can steer it and a seed can repeat it.

// Each test binary uses a part of it.
#![allow(dead_code)]

pub mod case;
pub mod corrections;
pub mod damage;
pub mod forecasts;
pub mod input;
pub mod models;
pub mod oracle;
pub mod target;
