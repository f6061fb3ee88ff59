//! Work on several threads that end before their caller goes on.

/// Runs `work` for every item on at most `threads` threads, results in order. The threads end before it returns, so
/// that nothing survives a fork.
pub fn parallel<T: Sync, R: Send>(items: &[T], threads: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    if threads < 2 || items.len() < 2 {
        return items.iter().map(work).collect();
    }
    let next = std::sync::atomic::AtomicUsize::new(0);
    let results: Vec<std::sync::Mutex<Option<R>>> =
        items.iter().map(|_| std::sync::Mutex::new(None)).collect();
    let run = || loop {
        let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let Some(item) = items.get(i) else { break };
        let r = work(item);
        if let Ok(mut slot) = results[i].lock() {
            *slot = Some(r);
        }
    };
    std::thread::scope(|s| {
        for _ in 1..threads.min(items.len()) {
            // Where the system gives no more threads, this one does all the work.
            if std::thread::Builder::new().spawn_scoped(s, run).is_err() {
                break;
            }
        }
        run();
    });
    results
        .into_iter()
        .zip(items)
        .map(|(r, item)| r.into_inner().ok().flatten().unwrap_or_else(|| work(item)))
        .collect()
}
