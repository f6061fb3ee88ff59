//! What `-o`, `--format` and the type of the values together ask for.

use crate::failure::{Failure, Result};
use crate::h5::element::Element;
use crate::pictures::write::Format;
use clap::ValueEnum;
use std::path::Path;

/// What names of files with raw numbers end with, beside the short names of the types.
const RAW: [&str; 8] = ["raw", "bin", "dat", "data", "d32", "d64", "float", "double"];

/// Formats, as they are named on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// lossless, uint8 and uint16
    Png,
    /// lossless, nearly every type; -o FILE.tif puts all frames into one file
    Tiff,
    /// lossy, uint8
    Jpeg,
    /// the bytes as they are, without header; -o FILE.raw puts all frames into one file
    Raw,
}

/// What is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A folder with a picture of each frame.
    Pictures(Format),
    /// One picture.
    Picture(Format),
    /// One TIFF file with a page of each frame.
    Stack,
    /// A folder with a file of each frame's elements.
    RawFolder,
    /// One file of all elements.
    RawFile,
}

impl Target {
    /// What is meant by a path, a format where one is given, and the type of the values as they would be
    /// written to pictures.
    ///
    /// # Errors
    /// Contradictions.
    pub fn of(path: &Path, name: Option<Name>, element: Element, scaled: bool, quality: u8) -> Result<Self> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
        let by_path = match extension.as_str() {
            _ if path.is_dir() => None,
            "png" => Some(Name::Png),
            "tif" | "tiff" => Some(Name::Tiff),
            "jpg" | "jpeg" => Some(Name::Jpeg),
            e if RAW.contains(&e) || Element::parse(e).is_ok() => Some(Name::Raw),
            _ => None,
        };
        if let (Some(by_path), Some(name)) = (by_path, name) {
            // Any name may be given to a file of raw numbers.
            if by_path != name && name != Name::Raw {
                return Err(Failure::new(format!(
                    "-o {} and --format {} contradict each other",
                    path.display(),
                    name.to_possible_value().map(|v| v.get_name().to_string()).unwrap_or_default()
                )));
            }
        }
        let by_type = if scaled || Format::Png.holds(1, element) { Name::Png } else { Name::Raw };
        let name = name.or(by_path).unwrap_or(by_type);
        if scaled && name == Name::Raw {
            return Err(Failure::new("--scale is for pictures: raw numbers are written as they are"));
        }
        let is_file = by_path.is_some() || name == Name::Raw && !extension.is_empty() && !path.is_dir();
        Ok(match (name, is_file) {
            (Name::Raw, true) => Self::RawFile,
            (Name::Raw, false) => Self::RawFolder,
            (Name::Tiff, true) => Self::Stack,
            (Name::Tiff, false) => Self::Pictures(Format::Tiff),
            (Name::Png, true) => Self::Picture(Format::Png),
            (Name::Png, false) => Self::Pictures(Format::Png),
            (Name::Jpeg, true) => Self::Picture(Format::Jpeg(quality)),
            (Name::Jpeg, false) => Self::Pictures(Format::Jpeg(quality)),
        })
    }

    /// The format of the pictures, where it is pictures.
    pub fn format(self) -> Option<Format> {
        match self {
            Self::Pictures(format) | Self::Picture(format) => Some(format),
            Self::Stack => Some(Format::Tiff),
            Self::RawFolder | Self::RawFile => None,
        }
    }

    /// Whether it is a folder of files.
    pub fn is_folder(self) -> bool {
        matches!(self, Self::Pictures(_) | Self::RawFolder)
    }

    /// What names of its files end with.
    pub fn extension(self) -> &'static str {
        self.format().map_or("raw", Format::extension)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str, name: Option<Name>, element: Element, scaled: bool) -> Option<Target> {
        Target::of(Path::new(path), name, element, scaled, 90).ok()
    }

    #[test]
    fn paths_formats_and_types_say_what_is_meant() {
        use Element::{F32, I16, U16, U8};
        for (path, name, element, scaled, target) in [
            ("frames", None, U8, false, Target::Pictures(Format::Png)),
            ("frames.v2", None, U16, false, Target::Pictures(Format::Png)),
            ("frames", Some(Name::Tiff), U8, false, Target::Pictures(Format::Tiff)),
            ("frames", Some(Name::Jpeg), U8, false, Target::Pictures(Format::Jpeg(90))),
            ("a.TIF", None, F32, false, Target::Stack),
            ("a.tiff", Some(Name::Tiff), F32, false, Target::Stack),
            ("a.png", None, U8, false, Target::Picture(Format::Png)),
            ("u", None, F32, false, Target::RawFolder),
            ("u", None, I16, false, Target::RawFolder),
            ("u", None, F32, true, Target::Pictures(Format::Png)),
            ("u.raw", None, U8, false, Target::RawFile),
            ("u.f32", None, F32, false, Target::RawFile),
            ("u.png", Some(Name::Raw), F32, false, Target::RawFile),
            ("u.what", Some(Name::Raw), F32, false, Target::RawFile),
            ("u", Some(Name::Raw), U8, false, Target::RawFolder),
        ] {
            assert_eq!(of(path, name, element, scaled), Some(target), "{path} {name:?} {element:?}");
        }
        assert_eq!(of("a.tif", Some(Name::Png), U8, false), None);
        assert_eq!(of("a.raw", None, F32, true), None);
    }
}
