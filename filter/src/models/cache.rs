//! Models that this process has read, by their digests.
//!
//! A model is read and checked once, its weights are packed once. One cache serves every libhdf5 in the process.

use super::wanted::Wanted;
use augur_core::Model;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};

/// Most models that are kept.
const MOST_MODELS: usize = 64;
/// Most bytes of model files that are kept; the last model is kept whatever its size.
const MOST_BYTES: usize = 256 << 20;
/// Most datasets of which is known that they were warned about.
const MOST_WARNED: usize = 4096;

/// What the process remembers.
#[derive(Default)]
pub struct Cache {
    /// Least recently used first.
    models: Vec<Arc<Model>>,
    warned: HashSet<u64>,
}

static CACHE: Mutex<Option<Cache>> = Mutex::new(None);

/// The process's cache; `None` if its lock stays taken, as after a fork while another thread held it. It is never held
/// while anything else happens, so that waiting is short.
fn lock() -> Option<MutexGuard<'static, Option<Cache>>> {
    for _ in 0..200 {
        match CACHE.try_lock() {
            Ok(guard) => return Some(guard),
            Err(std::sync::TryLockError::Poisoned(p)) => return Some(p.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => {
                std::thread::sleep(std::time::Duration::from_millis(1))
            }
        }
    }
    None
}

/// The model, if the process has it.
pub fn get(wanted: &Wanted) -> Option<Arc<Model>> {
    lock()?.as_mut()?.get(wanted)
}

/// Keeps a model.
pub fn insert(model: &Arc<Model>) {
    if let Some(mut cache) = lock() {
        cache.get_or_insert_default().insert(model);
    }
}

/// Whether this is the first call with this key, that of a dataset.
pub fn first_warning(key: u64) -> bool {
    // Without the lock the warning is shown once more.
    lock().is_none_or(|mut cache| cache.get_or_insert_default().first_warning(key))
}

impl Cache {
    fn get(&mut self, wanted: &Wanted) -> Option<Arc<Model>> {
        let at = self.models.iter().position(|m| wanted.is(&m.digest()))?;
        let model = self.models.remove(at);
        self.models.push(Arc::clone(&model));
        Some(model)
    }

    fn insert(&mut self, model: &Arc<Model>) {
        self.models.retain(|m| m.digest() != model.digest());
        self.models.push(Arc::clone(model));
        let mut bytes: usize = self.models.iter().map(|m| m.bytes().len()).sum();
        while self.models.len() > 1 && (self.models.len() > MOST_MODELS || bytes > MOST_BYTES) {
            bytes -= self.models.remove(0).bytes().len();
        }
    }

    fn first_warning(&mut self, key: u64) -> bool {
        if self.warned.len() >= MOST_WARNED {
            self.warned.clear();
        }
        self.warned.insert(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model file that differs from those of other numbers.
    pub fn model(number: usize) -> Arc<Model> {
        let header = format!(
            "{{\"__metadata__\":{{\"format\":\"augur-model\",\"version\":\"1\",\"graphs\":\"{{}}\",\"name\":\"{number}\"}}}}"
        );
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
        Arc::new(Model::from_bytes(&bytes).expect("a model without graphs"))
    }

    #[test]
    fn the_model_that_was_not_used_longest_makes_room() {
        let mut cache = Cache::default();
        let models: Vec<_> = (0..=MOST_MODELS).map(model).collect();
        let wanted = |i: usize| Wanted::Digest(models[i].digest());
        models[..MOST_MODELS].iter().for_each(|m| cache.insert(m));
        assert!(cache.get(&wanted(0)).is_some());
        cache.insert(&models[MOST_MODELS]);
        assert!(cache.get(&wanted(1)).is_none(), "the second was used longest ago");
        let kept = cache.get(&Wanted::Prefix(models[0].digest().prefix())).expect("the first was used");
        assert!(Arc::ptr_eq(&kept, &models[0]));
        assert_eq!(cache.models.len(), MOST_MODELS);
    }

    #[test]
    fn a_dataset_is_warned_about_once() {
        let mut cache = Cache::default();
        assert!(cache.first_warning(5) && cache.first_warning(6) && !cache.first_warning(5));
    }
}
