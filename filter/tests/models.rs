//! Model files in folders: what counts, what does not, and the user's store.

mod support;

use augur_core::Digest;
use augur_filter::models::store::{find_in, read_file, Store};
use augur_filter::models::{begins_model, Wanted};
use std::path::{Path, PathBuf};
use support::model;

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

#[test]
fn a_store_keeps_models_by_their_digests() {
    let store = Store::at(folder("store").join("not").join("there"));
    assert_eq!(store.list().unwrap(), []);
    let (one, two) = (model("one"), model("two"));
    let entry = store.add(&one).unwrap();
    assert_eq!(entry, store.add(&one).unwrap());
    assert_eq!(entry.digest, Digest::of(&one));
    assert_eq!(entry.path, store.folder().join(format!("{}.safetensors", entry.digest)));
    let other = store.add(&two).unwrap();
    std::fs::write(store.folder().join("notes.txt"), "a").unwrap();
    std::fs::write(store.folder().join("other.safetensors"), "a").unwrap();
    let mut both = [entry.clone(), other];
    both.sort_by_key(|e| e.digest);
    assert_eq!(store.list().unwrap(), both);
    for wanted in [Wanted::Digest(entry.digest), Wanted::Prefix(entry.digest.prefix())] {
        assert_eq!(store.find(&wanted), Some((entry.path.clone(), one.clone())));
    }
    assert!(store.remove(&entry.digest).unwrap());
    assert!(!store.remove(&entry.digest).unwrap());
    assert_eq!(store.find(&Wanted::Digest(entry.digest)), None);
}

#[test]
fn what_is_no_model_is_not_added() {
    let store = Store::at(folder("no-models"));
    for wrong in [&b""[..], b"{}", &model("cut")[..50]] {
        assert!(store.add(wrong).is_err());
    }
    assert_eq!(std::fs::read_dir(store.folder()).unwrap().count(), 0);
}

#[test]
fn a_file_counts_only_if_its_digest_matches() {
    let folder = folder("damaged");
    let good = model("good");
    let digest = Digest::of(&good);
    let wanted = Wanted::Digest(digest);
    let named = folder.join(format!("{digest}.safetensors"));
    let mut bad = good.clone();
    *bad.last_mut().expect("bytes") ^= 1;
    std::fs::write(&named, &bad).unwrap();
    assert_eq!(find_in(&folder, &wanted), None);
    // Adding it to the store puts a damaged file right.
    let store = Store::at(&folder);
    store.add(&good).unwrap();
    assert_eq!(find_in(&folder, &wanted), Some((named.clone(), good.clone())));
    // Under any name, as long as it looks like a model file's.
    std::fs::remove_file(&named).unwrap();
    let renamed = folder.join("wind.safetensors");
    std::fs::write(&renamed, &good).unwrap();
    std::fs::write(folder.join("wind.backup"), &good).unwrap();
    assert_eq!(find_in(&folder, &wanted), Some((renamed.clone(), good.clone())));
    // A file that changes is looked into again.
    std::fs::write(&renamed, model("another, longer name")).unwrap();
    assert_eq!(find_in(&folder, &wanted), None);
    assert_eq!(find_in(&folder.join("nowhere"), &wanted), None);
}

#[test]
fn only_regular_files_are_read() {
    let folder = folder("kinds");
    let pipe = folder.join("pipe.safetensors");
    let name = std::ffi::CString::new(pipe.to_str().expect("text")).expect("no zeros");
    // SAFETY: a string that ends in 0.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    std::fs::create_dir(folder.join("folder.safetensors")).unwrap();
    assert!(read_file(&pipe).unwrap_err().message().contains("no regular file"));
    assert!(read_file(&folder).is_err() && read_file(&folder.join("absent")).is_err());
    assert_eq!(find_in(&folder, &Wanted::Digest(Digest::of(b""))), None);
    std::fs::write(folder.join("m"), model("m")).unwrap();
    assert!(begins_model(&read_file(&folder.join("m")).unwrap()));
}
