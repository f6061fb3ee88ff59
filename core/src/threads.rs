//! Work on several threads that end before their caller goes on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;

/// Runs `work` for every item on at most `threads` threads, results in order. The threads end before it returns, so
/// that nothing survives a fork.
pub fn parallel<T: Send, R: Send>(items: Vec<T>, threads: usize, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    if threads < 2 || items.len() < 2 {
        return items.into_iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let slots: Vec<Mutex<(Option<T>, Option<R>)>> =
        items.into_iter().map(|item| Mutex::new((Some(item), None))).collect();
    let run = || {
        while let Some(slot) = slots.get(next.fetch_add(1, Ordering::Relaxed)) {
            // Nobody else takes this slot's lock while it is worked on.
            if let Ok(mut slot) = slot.lock() {
                slot.1 = slot.0.take().map(&work);
            }
        }
    };
    std::thread::scope(|s| {
        for _ in 1..threads.min(slots.len()) {
            // Where the system gives no more threads, this one does all the work.
            if std::thread::Builder::new().spawn_scoped(s, run).is_err() {
                break;
            }
        }
        run();
    });
    // Every slot has its result: a panic on the way went on to the caller.
    slots.into_iter().filter_map(|slot| slot.into_inner().ok()?.1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order() {
        for threads in 1..5 {
            let items: Vec<String> = (0..50).map(|i| i.to_string()).collect();
            let found = parallel(items, threads, |s| s.len());
            assert_eq!(found, (0..50).map(|i| if i < 10 { 1 } else { 2 }).collect::<Vec<_>>());
        }
    }
}
