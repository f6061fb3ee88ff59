//! Work on several threads that end before their caller goes on.
//!
//! Starting a thread takes about as long as some of the work that is shared, so that the threads of a [`team`] stay for as
//! long as a chunk is coded and go from one piece of shared work to the next: also to one that another member has begun
//! within its part of the last one.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Turns of looking for work before a thread sleeps, some 40 microseconds: waking takes about as long.
const SPINS: usize = 1000;

/// What a panic carries.
type Panic = Box<dyn Any + Send>;

/// Work that members may join.
struct Job {
    id: usize,
    /// Does a part of it, until nothing is left to begin.
    run: &'static (dyn Fn() + Sync),
    /// Members that may still join.
    places: usize,
    /// Members that are at it, but for the one that posted it.
    active: usize,
    panic: Option<Panic>,
}

#[derive(Default)]
struct State {
    jobs: Vec<Job>,
    members: Vec<JoinHandle<()>>,
    closed: bool,
    sleeping: usize,
    /// Jobs so far.
    count: usize,
}

/// Threads that help each other.
#[derive(Default)]
struct Team {
    state: Mutex<State>,
    /// Changes so far of what waiting threads wait for.
    changes: AtomicUsize,
    wake: Condvar,
}

thread_local! {
    /// The team of this thread.
    static OWN: RefCell<Option<Arc<Team>>> = const { RefCell::new(None) };
}

/// What a thread that waits for a job to end does next.
enum Next {
    Help(usize, &'static (dyn Fn() + Sync)),
    Ended(Option<Panic>),
}

impl Team {
    /// A panic while the lock is held is none of a part of a change.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and lets everybody know.
    fn change<R>(&self, how: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock();
        let out = how(&mut state);
        self.changes.fetch_add(1, Ordering::Release);
        if state.sleeping > 0 {
            self.wake.notify_all();
        }
        out
    }

    /// Waits until `ready` gives something.
    fn wait<R>(&self, mut ready: impl FnMut(&mut State) -> Option<R>) -> R {
        loop {
            let seen = self.changes.load(Ordering::Acquire);
            if let Some(r) = ready(&mut self.lock()) {
                return r;
            }
            if (0..SPINS).any(|_| {
                std::hint::spin_loop();
                self.changes.load(Ordering::Acquire) != seen
            }) {
                continue;
            }
            let mut state = self.lock();
            // Changes are made under the lock: none can be missed between this look and sleep.
            if self.changes.load(Ordering::Acquire) == seen {
                state.sleeping += 1;
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.sleeping -= 1;
            }
        }
    }

    /// Joins and leaves jobs until the team is closed.
    fn serve(&self) {
        while let Some((id, run)) = self.wait(|state| match state.join() {
            Some(job) => Some(Some(job)),
            None => state.closed.then_some(None),
        }) {
            self.help(id, run);
        }
    }

    /// Does a part of a job that was joined.
    fn help(&self, id: usize, run: &(dyn Fn() + Sync)) {
        // What a panic leaves behind is the poster's, where it goes on.
        let panic = catch_unwind(AssertUnwindSafe(run)).err();
        self.change(|state| {
            if let Some(job) = state.jobs.iter_mut().find(|job| job.id == id) {
                job.active -= 1;
                job.places = 0;
                job.panic = job.panic.take().or(panic);
            }
        });
    }

    /// Runs `run` on this thread and on others that are free, at most `helpers` of them; returns when all have left it.
    fn share(self: &Arc<Self>, helpers: usize, run: &(dyn Fn() + Sync)) {
        // SAFETY: only members that joined the job use the reference, and `Posted`, which is dropped before `run` ends,
        // by a panic too, waits until they have left and nobody can join.
        let run: &'static (dyn Fn() + Sync) = unsafe { std::mem::transmute(run) };
        let id = self.change(|state| {
            state.count += 1;
            while state.members.len() < helpers {
                let team = Arc::clone(self);
                // Where the system gives no more threads, the others do the work.
                let Ok(member) = std::thread::Builder::new().spawn(move || {
                    OWN.set(Some(Arc::clone(&team)));
                    team.serve();
                }) else {
                    break;
                };
                state.members.push(member);
            }
            state.jobs.push(Job { id: state.count, run, places: helpers, active: 0, panic: None });
            state.count
        });
        let posted = Posted { team: self, id };
        run();
        let panic = posted.end();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Waits until nobody is at a job and takes it off the list; meanwhile does parts of others if `helping`.
    fn withdraw(&self, id: usize, helping: bool) -> Option<Panic> {
        loop {
            let next = self.wait(|state| {
                let at = state.jobs.iter().position(|job| job.id == id)?;
                state.jobs[at].places = 0;
                if state.jobs[at].active == 0 {
                    return Some(Next::Ended(state.jobs.swap_remove(at).panic));
                }
                if !helping {
                    return None;
                }
                state.join().map(|(id, run)| Next::Help(id, run))
            });
            match next {
                Next::Help(id, run) => self.help(id, run),
                Next::Ended(panic) => return panic,
            }
        }
    }
}

impl State {
    /// Joins a job, the last one that has a place: it is part of others.
    fn join(&mut self) -> Option<(usize, &'static (dyn Fn() + Sync))> {
        let job = self.jobs.iter_mut().filter(|job| job.places > 0).max_by_key(|job| job.id)?;
        job.places -= 1;
        job.active += 1;
        Some((job.id, job.run))
    }
}

/// A job on the list of a team.
struct Posted<'a> {
    team: &'a Team,
    id: usize,
}

impl Posted<'_> {
    /// Waits for its end; gives back the panic of a member.
    fn end(self) -> Option<Panic> {
        let panic = self.team.withdraw(self.id, true);
        std::mem::forget(self);
        panic
    }
}

impl Drop for Posted<'_> {
    /// Only while a panic goes on.
    fn drop(&mut self) {
        self.team.withdraw(self.id, false);
    }
}

/// This thread's team, which ends when this is dropped.
struct Own;

impl Drop for Own {
    fn drop(&mut self) {
        let Some(team) = OWN.take() else { return };
        let members = team.change(|state| {
            state.closed = true;
            std::mem::take(&mut state.members)
        });
        for member in members {
            // Members catch panics.
            let _ = member.join();
        }
    }
}

/// Does `work` with a team: the calls of [`parallel`] in it share threads. These end before it returns, so that nothing
/// survives a fork.
pub fn team<R>(work: impl FnOnce() -> R) -> R {
    if OWN.with_borrow(Option::is_some) {
        return work();
    }
    OWN.set(Some(Arc::default()));
    let _own = Own;
    work()
}

/// Runs `work` for every item on at most `threads` threads, results in order. None of them is at it any more when it returns.
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
    team(|| {
        if let Some(team) = OWN.with_borrow(Option::clone) {
            team.share(threads.min(slots.len()) - 1, &run);
        }
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

    #[test]
    fn members_go_from_work_to_work_and_into_the_work_of_others() {
        for threads in 2..5 {
            team(|| {
                for round in 0..200usize {
                    let sums = parallel((0..5).collect(), threads, |i: usize| {
                        let parts = parallel((0..10 * i).collect(), threads, |k: usize| k * round);
                        parallel(parts, threads, |k| k + 1).into_iter().sum::<usize>()
                    });
                    let expected = |i: usize| (0..10 * i).map(|k| k * round + 1).sum::<usize>();
                    assert_eq!(sums, (0..5).map(expected).collect::<Vec<_>>());
                }
                let team = OWN.with_borrow(Option::clone).map(|team| team.lock().members.len());
                assert_eq!(team, Some(threads - 1));
            });
            assert!(OWN.with_borrow(Option::is_none));
        }
    }

    #[test]
    fn members_work_at_the_same_time() {
        // Each waits for the other.
        let barrier = std::sync::Barrier::new(2);
        parallel(vec![(), ()], 2, |()| barrier.wait().is_leader());
        // So do parts of a part, with the thread that is done with its own.
        let found = parallel(vec![false, true], 2, |nested| {
            if nested {
                parallel(vec![(), ()], 2, |()| barrier.wait().is_leader()).into_iter().filter(|l| *l).count()
            } else {
                0
            }
        });
        assert_eq!(found, [0, 1]);
    }

    #[test]
    fn a_panic_goes_on_to_the_caller_when_all_have_left() {
        for bad in 0..20 {
            let done = AtomicUsize::new(0);
            let work = |i: usize| {
                assert!(i != bad, "on purpose");
                done.fetch_add(1, Ordering::Relaxed);
            };
            let caught = catch_unwind(AssertUnwindSafe(|| parallel((0..20).collect(), 3, work)));
            let text = caught.err().and_then(|p| p.downcast_ref::<&str>().map(|s| s.to_string()));
            assert_eq!(text.as_deref(), Some("on purpose"));
            let before = done.load(Ordering::Relaxed);
            assert!(before < 20);
            assert_eq!(parallel(vec![1, 2], 2, |i| i + 1), [2, 3]);
            assert_eq!(done.load(Ordering::Relaxed), before);
        }
    }
}
