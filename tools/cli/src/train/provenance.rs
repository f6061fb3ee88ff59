//! What a model says about where it is from.

use super::Train;
use crate::failure::{Failure, Result};
use serde_json::{json, Value};
use sha2::{Digest, Sha256};
use std::path::Path;

/// The texts of a model file's metadata, less what the trainer adds (architecture, size, steps). `data` are the
/// names and digests of what is trained on, `bounds` the least and the greatest over the range, `init` the digest of
/// the model to start from.
pub fn metadata(options: &Train, data: &[Value], bounds: (f64, f64), init: Option<&str>) -> Value {
    let name = options.output.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
    let words = std::env::args_os().skip(1).map(|word| quoted(&word.to_string_lossy()));
    let command: Vec<String> = std::iter::once("augur".to_string()).chain(words).collect();
    let mut out = json!({
        "name": name,
        "data": Value::from(data.to_vec()).to_string(),
        "proportion": options.proportion.to_string(),
        "bound": format!("relative {:.3e} to {:.3e}", bounds.0, bounds.1),
        "seed": options.seed.to_string(),
        "date": today(),
        "augur": env!("CARGO_PKG_VERSION"),
        "license": options.license,
        "command": command.join(" "),
    });
    if let Some(init) = init {
        out["init"] = json!(format!("sha256:{init}"));
    }
    out
}

/// The SHA-256 of a file, in hexadecimal digits.
///
/// # Errors
/// A file that cannot be read.
pub fn digest(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
    Ok(Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect())
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_string();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The day in UTC, or the one that SOURCE_DATE_EPOCH states (reproducible builds): the file's digest depends on it.
fn today() -> String {
    let stated = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|s| s.parse().ok());
    let now = stated.map(time::OffsetDateTime::from_unix_timestamp).and_then(std::result::Result::ok);
    now.unwrap_or_else(time::OffsetDateTime::now_utc).date().to_string()
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_are_quoted_where_a_shell_would_split_them() {
        assert_eq!(quoted("--relative=1e-3"), "--relative=1e-3");
        assert_eq!(quoted("my run.h5:/u"), "'my run.h5:/u'");
        assert_eq!(quoted("a'b"), r"'a'\''b'");
        assert_eq!(quoted(""), "''");
    }
}
