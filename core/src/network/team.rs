//! Threads that go through a list of steps together, tile by tile.
//!
//! No thread waits for another to begin: who comes late finds the tiles done. So a thread that the system starts late,
//! or not at all, costs nothing, and a step ends when its last tile does.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Turns of waiting before the processor is left to others.
const SPINS: usize = 4000;

/// How far a step is.
struct Progress {
    tiles: usize,
    next: AtomicUsize,
    done: AtomicUsize,
}

/// Sets the flag if it is dropped by a panic.
struct Alarm<'a>(&'a AtomicBool);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Release);
        }
    }
}

/// Calls `work` with (step, tile) for all tiles of each step, `tiles` of them, on at most `threads` threads. All tiles of a
/// step are done, and what they wrote is seen by all, before the next step begins. The threads end before it returns.
pub fn together(tiles: &[usize], threads: usize, work: impl Fn(usize, usize) + Sync) {
    if threads < 2 || tiles.iter().all(|n| *n < 2) {
        tiles.iter().enumerate().for_each(|(step, n)| (0..*n).for_each(|tile| work(step, tile)));
        return;
    }
    let new = |n: &usize| Progress { tiles: *n, next: AtomicUsize::new(0), done: AtomicUsize::new(0) };
    let steps: Vec<Progress> = tiles.iter().map(new).collect();
    let failed = AtomicBool::new(false);
    let member = || {
        let _alarm = Alarm(&failed);
        for (step, progress) in steps.iter().enumerate() {
            loop {
                let tile = progress.next.fetch_add(1, Ordering::Relaxed);
                if tile >= progress.tiles {
                    break;
                }
                work(step, tile);
                progress.done.fetch_add(1, Ordering::Release);
            }
            let mut turns = 0;
            while progress.done.load(Ordering::Acquire) < progress.tiles {
                if failed.load(Ordering::Acquire) {
                    return;
                }
                turns += 1;
                if turns < SPINS {
                    std::hint::spin_loop();
                } else {
                    std::thread::yield_now();
                }
            }
        }
    };
    std::thread::scope(|s| {
        for _ in 1..threads {
            // Where the system gives no more threads, the others do all the work.
            if std::thread::Builder::new().spawn_scoped(s, member).is_err() {
                break;
            }
        }
        member();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_each_other() {
        let tiles = [3, 0, 1, 7, 5];
        for threads in 1..5 {
            for _ in 0..50 {
                let done: Vec<AtomicUsize> = tiles.iter().map(|_| AtomicUsize::new(0)).collect();
                together(&tiles, threads, |step, tile| {
                    assert!(tile < tiles[step]);
                    for before in 0..step {
                        assert_eq!(done[before].load(Ordering::Relaxed), tiles[before]);
                    }
                    done[step].fetch_add(1, Ordering::Relaxed);
                });
                assert!(done.iter().zip(tiles).all(|(d, n)| d.load(Ordering::Relaxed) == n));
            }
        }
    }

    #[test]
    #[should_panic]
    fn panics_reach_the_caller() {
        together(&[4, 4], 3, |step, tile| assert!(step < 1 || tile != 2));
    }
}
