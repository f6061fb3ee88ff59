//! A dataset and the file that holds it, as `FILE:/dataset`.

use crate::failure::{Failure, Result};
use crate::h5::element::Element;
use crate::h5::{c_string, dataset, Id};
use crate::models::embedded;
use crate::walk;
use std::path::Path;

/// File and path inside it, of `FILE:/dataset`; without a path where a file has all of it as its name.
pub fn split(spec: &str) -> (&str, Option<&str>) {
    match spec.rfind(":/") {
        Some(at) if at > 0 && !Path::new(spec).exists() => (&spec[..at], Some(&spec[at + 1..])),
        _ => (spec, None),
    }
}

/// The path of the dataset that `path` asks for, or of the only array of numbers in the file.
///
/// # Errors
/// None, or several where none was asked for; the message lists them.
pub fn find(file: &Id, shown: &str, path: Option<&str>) -> Result<String> {
    let mut arrays = vec![];
    for found in walk::datasets(file)? {
        let set = dataset::open(file, &found.path, None)?;
        if set.is_array && Element::of(&set.dtype).is_some() && !embedded::is_own(&found.path) {
            arrays.push(found.shown());
        }
    }
    const MOST: usize = 12;
    let listed = |all: &[String]| {
        let more = if all.len() > MOST { format!(" and {} more", all.len() - MOST) } else { String::new() };
        format!("{}{more}", all[..all.len().min(MOST)].join(", "))
    };
    match (path, arrays.as_slice()) {
        (Some(path), _) if dataset::exists(file, &c_string(path)?) => Ok(path.into()),
        (_, []) => Err(Failure::new(format!("{shown} holds no array of numbers"))),
        (Some(path), known) => {
            Err(Failure::new(format!("{shown} holds no dataset {path}; it holds {}", listed(known))))
        }
        (None, [one]) => Ok(one.clone()),
        (None, several) => Err(Failure::new(format!(
            "{shown} holds several datasets: say which, as {shown}:{} ({})",
            several[0],
            listed(several)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dataset_may_follow_a_file() {
        assert_eq!(split("a.h5:/u/v"), ("a.h5", Some("/u/v")));
        assert_eq!(split("a:/b.h5:/u"), ("a:/b.h5", Some("/u")));
        assert_eq!(split("a.h5"), ("a.h5", None));
        assert_eq!(split(":/u"), (":/u", None));
    }
}
