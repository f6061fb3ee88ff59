//! Numbers that tell datasets apart: drawn once per dataset, unlike those of any other process.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number other than 0 that differs from every other one with near certainty, also between processes that
/// were forked from one another.
pub fn draw() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut random = [0u8; 8];
    // Without the device, the other ingredients still differ.
    let _ = std::fs::File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut random));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let ingredients = (random, std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed), now.as_nanos());
    let mut hasher = DefaultHasher::new();
    ingredients.hash(&mut hasher);
    hasher.finish().max(1)
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_differ() {
        let drawn: std::collections::HashSet<u64> = (0..1000).map(|_| super::draw()).collect();
        assert_eq!(drawn.len(), 1000);
        assert!(!drawn.contains(&0));
    }
}
