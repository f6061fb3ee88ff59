//! How many threads one call of the filter may use.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Most threads that are ever used.
const MOST: usize = 256;

/// Variables by which MPI launchers mark their processes: there, every rank already has a core. For the
/// ones with `true` the mark counts only from a value of 2 on (batch systems set them for single tasks too).
const MPI: [(&str, bool); 8] = [
    ("OMPI_COMM_WORLD_SIZE", true),
    ("PMI_SIZE", true),
    ("PMI_RANK", false),
    ("PMIX_RANK", false),
    ("MPI_LOCALRANKID", false),
    ("MV2_COMM_WORLD_RANK", false),
    ("SLURM_NTASKS", true),
    ("SLURM_STEP_NUM_TASKS", true),
];

/// Number of threads: `AUGUR_NUM_THREADS` where it is set, else 1 under MPI, else the cores this process
/// may use. Read at every call, so that programs can change it.
pub fn threads() -> usize {
    let (count, complaint) = choose(|name| std::env::var(name).ok(), cores);
    if let Some(line) = complaint {
        crate::report::warn(&line);
    }
    count
}

/// The choice and, for a bad value, a complaint.
fn choose(env: impl Fn(&str) -> Option<String>, cores: impl Fn() -> usize) -> (usize, Option<String>) {
    let default = || {
        let marked = MPI.iter().any(|&(name, counted)| {
            env(name).is_some_and(|v| !counted || v.trim().parse::<usize>().is_ok_and(|n| n > 1))
        });
        if marked {
            1
        } else {
            cores().clamp(1, MOST)
        }
    };
    match env("AUGUR_NUM_THREADS") {
        None => (default(), None),
        Some(text) if text.trim().is_empty() => (default(), None),
        Some(text) => match text.trim().parse::<usize>() {
            Ok(n) if (1..=MOST).contains(&n) => (n, None),
            _ => {
                let n = default();
                let line = format!(
                    "AUGUR_NUM_THREADS is \"{text}\", expected a number from 1 to {MOST}; {n} is used"
                );
                (n, Some(line))
            }
        },
    }
}

/// Cores that this process may use, asked once: the answer reads files of the kernel.
fn cores() -> usize {
    static CORES: AtomicUsize = AtomicUsize::new(0);
    let known = CORES.load(Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    let n = std::thread::available_parallelism().map_or(1, usize::from);
    CORES.store(n, Ordering::Relaxed);
    n
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(vars: &[(&str, &str)]) -> (usize, bool) {
        let env = |name: &str| vars.iter().find(|v| v.0 == name).map(|v| v.1.to_string());
        let (n, complaint) = choose(env, || 6);
        (n, complaint.is_some())
    }

    #[test]
    fn the_variable_counts_then_mpi_then_the_cores() {
        assert_eq!(chosen(&[]), (6, false));
        assert_eq!(chosen(&[("AUGUR_NUM_THREADS", " 3 ")]), (3, false));
        assert_eq!(chosen(&[("AUGUR_NUM_THREADS", "3"), ("PMI_RANK", "0")]), (3, false));
        assert_eq!(chosen(&[("PMI_RANK", "0")]), (1, false));
        assert_eq!(chosen(&[("PMIX_RANK", "5")]), (1, false));
        assert_eq!(chosen(&[("SLURM_NTASKS", "1")]), (6, false));
        assert_eq!(chosen(&[("SLURM_NTASKS", "64")]), (1, false));
        assert_eq!(chosen(&[("OMPI_COMM_WORLD_SIZE", "4")]), (1, false));
    }

    #[test]
    fn bad_values_are_complained_about_and_the_default_is_used() {
        for bad in ["0", "-1", "many", "1.5", "99999999999999999999", "257"] {
            assert_eq!(chosen(&[("AUGUR_NUM_THREADS", bad)]), (6, true), "{bad}");
        }
        assert_eq!(chosen(&[("AUGUR_NUM_THREADS", "")]), (6, false));
    }
}
