//! Memory that layers need while they are computed, kept from one tile to the next.

use super::packed::Buffer;
use std::sync::{Mutex, PoisonError};

/// What one thread needs. What lies in it is left from before.
#[derive(Default)]
pub struct Room {
    values: Buffer,
    sums: Vec<u32>,
    rows: [Vec<u32>; 4],
}

impl Room {
    /// Words for `values`, for `sums`, and four rows of `row`.
    pub fn take(
        &mut self,
        values: usize,
        sums: usize,
        row: usize,
    ) -> (&mut Buffer, &mut [u32], [&mut [u32]; 4]) {
        self.values.grow(values);
        let grown = |v: &mut Vec<u32>, n: usize| v.resize(v.len().max(n), 0);
        grown(&mut self.sums, sums);
        self.rows.iter_mut().for_each(|v| grown(v, row));
        (&mut self.values, &mut self.sums[..sums], self.rows.each_mut().map(|v| &mut v[..row]))
    }
}

/// Rooms of all threads.
#[derive(Default)]
pub struct Rooms(Mutex<Vec<Room>>);

impl Rooms {
    /// Does `work` in a room that nobody else is in.
    pub fn enter(&self, work: impl FnOnce(&mut Room)) {
        let free = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut room = free().pop().unwrap_or_default();
        work(&mut room);
        free().push(room);
    }
}
