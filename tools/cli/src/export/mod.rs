//! x
use crate::failure::Result;
use clap::Args;
/// x
#[derive(Debug, Args)]
pub struct Export {}
/// x
///
/// # Errors
/// x
pub fn run(_: &Export) -> Result<()> { Ok(()) }
