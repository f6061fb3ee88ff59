//! What the fuzz targets share with the codec's own tests.

#[path = "../../core/tests/support/mod.rs"]
pub mod support;
