//! What tests of training share.

// Each test binary uses a part of it.
#![allow(dead_code)]

use augur_torch::job::{train, Frames};
use augur_torch::request::{Message, Report, Request};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

/// libtorch has one generator of random numbers, so one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Waits until no other test of the program trains or makes random networks.
pub fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(|e| e.into_inner())
}

/// Report, model file and messages, or what went wrong.
pub type Ran = Result<(Report, Option<Vec<u8>>, Vec<Message>), String>;

/// Trains on one field, of whose steps the first `first` may be seen.
pub fn train_on(request: &Request, values: &[f32], size: [i64; 4], first: i64) -> Ran {
    let mut messages = vec![];
    let fields = [Frames { values, size, train: first }];
    let (report, model) = train(request, &fields, |m| {
        messages.push(*m);
        true
    })?;
    Ok((report, model, messages))
}

/// A file for this run of the tests alone.
pub fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()))
}
