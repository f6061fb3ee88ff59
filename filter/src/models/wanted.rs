//! What is looked for, and what the attribute `augur_model` may say.

use super::GROUP;
use augur_core::{Digest, Error, Result};
use std::fmt;

/// A model by its name, or by the half of it that cd_values hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The whole digest.
    Digest(Digest),
    /// Its first 128 bits.
    Prefix([u8; 16]),
}

impl Wanted {
    /// Whether a model of this digest is the one.
    pub fn is(&self, digest: &Digest) -> bool {
        match self {
            Wanted::Digest(wanted) => wanted == digest,
            Wanted::Prefix(prefix) => digest.prefix() == *prefix,
        }
    }
}

/// `sha256:` and hexadecimal digits, with dots where only the first half is known.
impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wanted::Digest(digest) => write!(f, "sha256:{digest}"),
            Wanted::Prefix(prefix) => {
                f.write_str("sha256:")?;
                prefix.iter().try_for_each(|b| write!(f, "{b:02x}"))?;
                f.write_str("...")
            }
        }
    }
}

/// What the attribute names.
#[derive(Clone, Debug, PartialEq)]
pub enum Named {
    /// `sha256:<64 hexadecimal digits>`, to be looked for everywhere.
    Digest(Digest),
    /// An absolute path: of a byte dataset in the HDF5 file or, where it has none, of a file.
    Absolute(String),
    /// A path of a file, from the folder of the HDF5 file.
    Relative(String),
}

impl Named {
    /// Reads the attribute's text.
    ///
    /// # Errors
    /// `InvalidArgument` that says what was expected.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::invalid(
                "it is empty, expected a path in the file, sha256:<digest> or a file's path",
            ));
        }
        Ok(match text.strip_prefix("sha256:") {
            Some(digits) => Named::Digest(digits.parse()?),
            None if text.starts_with('/') => Named::Absolute(text.to_string()),
            None => Named::Relative(text.to_string()),
        })
    }

    /// The digest that the text states, also as the name of an embedded model.
    pub fn digest(&self) -> Option<Digest> {
        match self {
            Named::Digest(digest) => Some(*digest),
            Named::Absolute(path) => path.strip_prefix(GROUP)?.strip_prefix('/')?.parse().ok(),
            Named::Relative(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attribute_names_a_digest_a_path_in_the_file_or_a_file() {
        let digest = Digest::of(b"abc");
        assert_eq!(Named::parse(&format!("sha256:{digest}")), Ok(Named::Digest(digest)));
        let embedded = Named::parse(&format!("/_augur/models/{digest}")).unwrap();
        assert_eq!(embedded.digest(), Some(digest));
        assert_eq!(Named::parse("/model").unwrap().digest(), None);
        assert_eq!(Named::parse("a/b.safetensors"), Ok(Named::Relative("a/b.safetensors".into())));
        assert!(Named::parse("").is_err());
        assert!(Named::parse("sha256:12").unwrap_err().message().contains("64 hexadecimal digits"));
    }

    #[test]
    fn half_a_digest_finds_the_whole() {
        let digest = Digest::of(b"abc");
        let prefix = Wanted::Prefix(digest.prefix());
        assert!(prefix.is(&digest) && !prefix.is(&Digest::of(b"abd")));
        assert_eq!(prefix.to_string(), "sha256:ba7816bf8f01cfea414140de5dae2223...");
    }
}
