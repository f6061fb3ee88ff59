//! Where models are found: in this process, in the HDF5 file that needs them, in folders.
//!
//! The attribute [`ATTRIBUTE`] of a dataset names the model that its chunks are written with. A chunk's header names the
//! model that it needs to be read; where the model is found does not matter, as a file counts only if its SHA-256 is that
//! name. The order is: models that the process has read, what the attribute names, the group [`GROUP`] of the
//! dataset's file (then of other files that are open or that a virtual dataset reads), the folders of
//! `AUGUR_MODEL_PATH`, the user's store.

mod cache;
mod files;
mod objects;
mod search;
pub mod store;
mod wanted;

pub use search::Search;
pub use wanted::{Named, Wanted};

/// The group of an HDF5 file whose byte datasets are models, named by the hexadecimal digits of their SHA-256.
pub const GROUP: &str = "/_augur/models";
/// The attribute of a dataset that names its model: a path in the file, `sha256:` and 64 hexadecimal digits, or the path
/// of a file from the folder of the HDF5 file.
pub const ATTRIBUTE: &str = "augur_model";
/// Largest model, in bytes.
pub const MOST_BYTES: usize = augur_core::network::MAX_MODEL_LEN;

/// Whether these bytes begin a model file. Such bytes are never stored with errors, whatever the bound: they would be of
/// no use.
pub fn begins_model(bytes: &[u8]) -> bool {
    const FORMAT: &[u8] = b"augur-model";
    let Some((len, header)) = bytes.split_first_chunk::<8>() else { return false };
    let len = u64::from_le_bytes(*len).min(1 << 16) as usize;
    let header = &header[..header.len().min(len)];
    header.first() == Some(&b'{') && header.windows(FORMAT.len()).any(|w| w == FORMAT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_files_are_known_by_their_first_bytes() {
        let header = br#"{"__metadata__":{"format":"augur-model"}}"#;
        let file = [&(header.len() as u64).to_le_bytes()[..], header, &[7; 100]].concat();
        assert!(begins_model(&file) && begins_model(&file[..8 + header.len()]));
        assert!(!begins_model(&file[..20]) && !begins_model(&file[1..]) && !begins_model(&[]));
        assert!(!begins_model(&[255; 64]));
    }
}
