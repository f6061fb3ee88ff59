//! Which files are meant, and in which order: that of the numbers in their names.

use crate::failure::{Failure, Result};
use std::path::{Path, PathBuf};

/// What names of pictures end with.
const PICTURES: [&str; 5] = ["png", "tif", "tiff", "jpg", "jpeg"];

/// Files to import.
#[derive(Debug, PartialEq)]
pub struct Inputs {
    /// In the order of their time steps.
    pub files: Vec<PathBuf>,
    /// Whether one file was named, and not a folder or several.
    pub is_single: bool,
    /// Files of folders that are no pictures and are left out.
    pub left_out: usize,
}

/// The files that the arguments name: each itself, or the pictures in a folder (all files where these are
/// `raw`); those with a dot in front stay hidden.
///
/// # Errors
/// What does not exist, a folder without files of that kind.
pub fn collect(arguments: &[PathBuf], raw: bool, keep_order: bool) -> Result<Inputs> {
    let (mut files, mut left_out) = (vec![], 0);
    for argument in arguments {
        let shown = argument.display();
        let meta = std::fs::metadata(argument).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Failure::new(format!("{shown}: no such file or folder")),
            _ => Failure::new(format!("{shown}: {e}")),
        })?;
        if meta.is_dir() {
            let (mut inside, others) = folder(argument, raw)?;
            alphanumeric_sort::sort_path_slice(&mut inside);
            files.extend(inside);
            left_out += others;
        } else {
            files.push(argument.clone());
        }
    }
    if !keep_order {
        alphanumeric_sort::sort_path_slice(&mut files);
    }
    let is_single = matches!(arguments, [one] if !one.is_dir());
    Ok(Inputs { files, is_single, left_out })
}

fn folder(path: &Path, raw: bool) -> Result<(Vec<PathBuf>, usize)> {
    let shown = path.display();
    let failed = |e: std::io::Error| Failure::new(format!("{shown} cannot be listed: {e}"));
    let (mut files, mut others, mut folders) = (vec![], 0, 0);
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        let hidden = file.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
        if hidden {
            continue;
        }
        if file.is_dir() {
            folders += 1;
        } else if raw || is_picture(&file) {
            files.push(file);
        } else {
            others += 1;
        }
    }
    if !files.is_empty() {
        return Ok((files, others));
    }
    let what = if raw { "no file" } else { "no PNG, TIFF or JPEG picture" };
    let hint = match (others, folders) {
        (0, 0) => ": it is empty".to_string(),
        (0, n) => format!(", only {n} folders: name them"),
        (n, _) => format!(", but {n} other files; --shape and --dtype are for raw numbers"),
    };
    Err(Failure::new(format!("{shown} holds {what}{hint}")))
}

fn is_picture(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
    PICTURES.iter().any(|p| extension.eq_ignore_ascii_case(p))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let mut names = [
            "img10.png",
            "img2.png",
            "img1.png",
            "img0003.png",
            "img99999999999999999999999.png",
            "img100000000000000000000000.png",
            "a/f10/1.png",
            "a/f9/2.png",
        ]
        .map(PathBuf::from);
        alphanumeric_sort::sort_path_slice(&mut names);
        let expected = [
            "a/f9/2.png",
            "a/f10/1.png",
            "img1.png",
            "img2.png",
            "img0003.png",
            "img10.png",
            "img99999999999999999999999.png",
            "img100000000000000000000000.png",
        ];
        assert_eq!(names, expected.map(PathBuf::from));
    }

    #[test]
    fn pictures_are_known_by_their_names() {
        for (name, known) in [("a.png", true), ("a.b.TIFF", true), ("a.JPeG", true), ("png", false)] {
            assert_eq!(is_picture(Path::new(name)), known, "{name}");
        }
    }
}
