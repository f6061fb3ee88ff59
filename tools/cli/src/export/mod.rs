//! `augur export`: a dataset's frames as pictures or raw numbers.

mod folder;
mod frames;
mod raw;
mod target;

use crate::convert::temporary::Temporary;
use crate::failure::{Failure, Result};
use crate::h5::element::Element;
use crate::h5::file;
use crate::import::byte_order;
use crate::pictures::write::{picture, Stack};
use crate::pictures::Look;
use crate::{output, spec};
use augur_core::ByteOrder;
use clap::Args;
use folder::Folder;
use frames::{Pictures, Steps};
use std::ops::Range;
use std::path::{Path, PathBuf};
use target::{Name, Target};

/// Fewest digits of a frame's number in its file's name.
const DIGITS: usize = 4;

/// Write the frames of a dataset as images or raw binary numbers
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  augur export frames.h5 -o frames/
  augur export frames.h5:/camera/left -o left.tif --frames 100:200
  augur export u.h5:/U -o U.raw
  augur export u.h5:/U -o pictures/ --scale auto
  augur export u.h5:/U -o pictures/ --scale -1.5,1.5 --format jpeg
  augur export tezip.h5 -o predicted/ --predicted

Frames of uint8 and uint16 become PNG unless --format says otherwise, one file each, numbered as in the dataset; those
of (3, y, x) or (y, x, 3) become RGB. Other types are written raw: all into one file when -o has an ending (U.raw, U.f32),
otherwise one file each. --scale makes 8-bit images of any type, to look at; what is missing or no number becomes black.
PNG, TIFF and raw lose nothing: augur import makes the same dataset of them.

FILE or FOLDER appears only when it is complete. Exit status: 0, or 2 when something is wrong.")]
pub struct Export {
    /// Dataset to read; without a path the only one of the file
    #[arg(value_name = "FILE.h5[:/DATASET]")]
    input: String,
    /// Folder or file to make
    #[arg(short, long, value_name = "FOLDER|FILE")]
    output: PathBuf,
    /// Format to write [default: by the ending of -o, else png for uint8 and uint16, raw for others]
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Option<Name>,
    /// Frames A to B, B not included, counted from 0; either may be left out
    #[arg(long, value_name = "A:B", default_value = ":", hide_default_value = true)]
    frames: Asked,
    /// Values that become black and white in 8-bit images, or auto: the smallest and largest of all
    #[arg(long, value_name = "MIN,MAX", allow_hyphen_values = true)]
    scale: Option<Scale>,
    /// What the files' names in FOLDER begin with
    #[arg(long, value_name = "TEXT", default_value = "frame_")]
    prefix: String,
    /// Quality of JPEG images, 1 to 100
    #[arg(long, value_name = "Q", default_value_t = 90, value_parser = clap::value_parser!(u8).range(1..=100))]
    quality: u8,
    /// Axis of the dataset that is time, counted from 0 [default: 0; a dataset of two axes is one frame]
    #[arg(long, value_name = "N")]
    time_axis: Option<usize>,
    /// Export what the values were predicted to be, of a dataset that was written with the preset tezip
    #[arg(long)]
    predicted: bool,
    /// Replace FILE if it exists, or files of the same names in FOLDER
    #[arg(long)]
    force: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Steps that are asked for; without an end where none is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked(usize, Option<usize>);

impl std::str::FromStr for Asked {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let number = |text: &str| text.parse::<usize>().map_err(|_| "A:B expected, as in 10:20".to_string());
        let (from, to) = text.split_once(':').ok_or("A:B expected, as in 10:20")?;
        let from = if from.is_empty() { 0 } else { number(from)? };
        let to = if to.is_empty() { None } else { Some(number(to)?) };
        if to.is_some_and(|to| to <= from) {
            return Err("B must be greater than A".into());
        }
        Ok(Self(from, to))
    }
}

impl Asked {
    /// Those of the `n` steps that there are.
    fn of(&self, n: usize) -> Result<Range<usize>> {
        let to = self.1.unwrap_or(n);
        if to > n || self.0 >= n {
            let most = if n == 1 { "is only one frame".into() } else { format!("are {n} frames") };
            return Err(Failure::new(format!(
                "--frames {}:{} does not exist: there {most} (counted from 0)",
                self.0,
                self.1.map_or(String::new(), |to| to.to_string())
            )));
        }
        Ok(self.0..to)
    }
}

/// Values that become black and white.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    /// The smallest and largest of what is exported.
    Auto,
    /// These two.
    Given(f64, f64),
}

impl std::str::FromStr for Scale {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let both = text.split_once(',').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        match both {
            Some((low, high)) if low < high && f64::is_finite(high - low) => Ok(Self::Given(low, high)),
            Some(_) => Err("MIN must be less than MAX".into()),
            None => Err("MIN,MAX expected, as in -1.5,1.5, or auto".into()),
        }
    }
}

/// What was written.
struct Done {
    target: Target,
    range: Range<usize>,
    element: Element,
    order: ByteOrder,
    /// Extents of all that was written as numbers, or of a frame of each file.
    shape: Vec<usize>,
    look: Option<Look>,
    scale: Option<(f64, f64)>,
}

/// Writes the frames.
///
/// # Errors
/// Wrong input, values that the format does not hold, a full disk; the output is not touched then.
pub fn run(options: &Export) -> Result<()> {
    if options.prefix.contains('/') {
        return Err(Failure::new("--prefix holds a slash: -o names the folder"));
    }
    let (path, dataset) = spec::split(&options.input);
    let file = file::open(Path::new(path))?;
    let dataset = spec::find(&file, path, dataset)?;
    let name = format!("{path}:{dataset}");
    if options.predicted {
        augur_filter::chunk::read_predictions();
    }
    let steps = Steps::open(&file, &dataset, options.time_axis, &options.frames)?;
    let scaled = options.scale.is_some();
    let target = Target::of(&options.output, options.format, steps.element, scaled, options.quality)?;
    check(options, target, &steps)?;
    let done = match target.format() {
        Some(_) => write_pictures(options, target, steps),
        None => write_raw(options, target, steps),
    };
    let done = done.map_err(|e| e.while_doing(format!("{name} was not exported")))?;
    report(options, &name, &done);
    Ok(())
}

fn check(options: &Export, target: Target, steps: &Steps) -> Result<()> {
    let shown = options.output.display();
    if let Target::Picture(_) = target {
        if steps.range.len() != 1 {
            return Err(Failure::new(format!(
                "{shown} is one image, there are {} frames: name a folder, or one frame with --frames",
                steps.range.len()
            )));
        }
    }
    if !target.is_folder() && options.output.exists() && !options.force {
        return Err(Failure::new(format!("{shown} exists; give another name, or --force to replace it")));
    }
    Ok(())
}

/// Name of a frame's file; they all have the same length.
fn name(options: &Export, target: Target, steps: usize, step: usize) -> String {
    let digits = DIGITS.max(steps.saturating_sub(1).to_string().len());
    format!("{}{step:0digits$}.{}", options.prefix, target.extension())
}

/// Number of steps that the dataset has.
fn count(steps: &Steps) -> usize {
    steps.time.map_or(1, |t| steps.set.shape[t])
}

fn write_pictures(options: &Export, target: Target, steps: Steps) -> Result<Done> {
    let format = target.format().ok_or_else(|| Failure::new("no pictures"))?;
    let (all, stored) = (count(&steps), steps.element);
    let mut pictures = Pictures::new(steps, options.scale.is_some())?;
    let (look, range) = (pictures.look, pictures.range());
    if !format.holds(look.channels, look.element) {
        let colour = if look.channels == 1 { "" } else { " in RGB" };
        return Err(Failure::new(format!(
            "{}, the values are {}{colour}: --scale makes 8-bit images of them, --format raw keeps them",
            format.types(),
            stored.name()
        )));
    }
    let passes = if options.scale == Some(Scale::Auto) { 2 } else { 1 };
    let bar = output::progress((look.bytes() * range.len() * passes) as u64, options.json);
    bar.set_message(options.output.display().to_string());
    let folder = match target.is_folder() {
        true => Some(Folder::beside(&options.output, options.force)?),
        false => None,
    };
    let single = match folder {
        Some(_) => None,
        None => Some(Temporary::beside(&options.output)?),
    };
    if let Some(scale) = options.scale {
        pictures.measure(scale, || {
            bar.inc(look.bytes() as u64);
            folder.as_ref().map_or(Ok(()), Folder::check)
        })?;
    }
    let mut planes = vec![];
    let mut stack = match (&single, target) {
        (Some(file), Target::Stack) => {
            Some(Stack::create(file.path(), &look, (look.bytes() * range.len()) as u64)?)
        }
        _ => None,
    };
    for step in range.clone() {
        pictures.frame(step, &mut planes)?;
        match (&mut stack, &folder, &single) {
            (Some(stack), ..) => stack.page(&planes)?,
            (None, Some(folder), _) => {
                picture(format, &look, &planes, &folder.file(&name(options, target, all, step))?)?;
            }
            (None, None, Some(file)) => picture(format, &look, &planes, file.path())?,
            (None, None, None) => {}
        }
        bar.inc(look.bytes() as u64);
    }
    if let Some(stack) = stack {
        stack.finish()?;
    }
    bar.finish_and_clear();
    place(folder, single, &options.output)?;
    let (shape, scale, order) = (look.shape(), pictures.scale, ByteOrder::Little);
    Ok(Done { target, range, element: look.element, order, shape, look: Some(look), scale })
}

fn write_raw(options: &Export, target: Target, steps: Steps) -> Result<Done> {
    let range = steps.range.clone();
    let bar =
        output::progress(steps.set.raw_bytes() / count(&steps) as u64 * range.len() as u64, options.json);
    bar.set_message(options.output.display().to_string());
    let (folder, single, shape);
    if target.is_folder() {
        let made = Folder::beside(&options.output, options.force)?;
        for step in range.clone() {
            let path = made.file(&name(options, target, count(&steps), step))?;
            raw::write(&steps, &(step..step + 1), &path, |n| bar.inc(n))?;
        }
        (folder, single, shape) = (Some(made), None, steps.frame());
    } else {
        let made = Temporary::beside(&options.output)?;
        raw::write(&steps, &range, made.path(), |n| bar.inc(n))?;
        (folder, single, shape) = (None, Some(made), steps.part(&range).1);
    }
    bar.finish_and_clear();
    place(folder, single, &options.output)?;
    let order = steps.order;
    Ok(Done { target, range, element: steps.element, order, shape, look: None, scale: None })
}

fn place(folder: Option<Folder>, single: Option<Temporary>, path: &Path) -> Result<()> {
    match (folder, single) {
        (Some(folder), _) => folder.place(),
        (None, Some(file)) => file.place(path),
        (None, None) => Ok(()),
    }
}

fn report(options: &Export, name: &str, done: &Done) {
    let shown = options.output.display();
    let Done { target, range, element, order, shape, look, scale } = done;
    let format = target.format().map_or("raw", |f| match f.extension() {
        "tif" => "tiff",
        "jpg" => "jpeg",
        other => other,
    });
    let files = if target.is_folder() { range.len() } else { 1 };
    if options.json {
        output::json(&serde_json::json!({
            "input": name,
            "output": shown.to_string(),
            "format": format,
            "files": files,
            "frames": [range.start, range.end],
            "shape": shape,
            "dtype": element.name(),
            "byte_order": look.is_none().then(|| byte_order(*order)),
            "scale": scale.map(|(low, high)| [low, high]),
        }));
        return;
    }
    let many = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    match look {
        Some(look) if target.is_folder() => {
            println!("{shown}: {} of {look} ({format}), from {name}.", many(files, "file"))
        }
        Some(look) => println!("{shown}: {} of {look} ({format}), from {name}.", many(range.len(), "frame")),
        None => {
            let (big, option) = match (order, element.size()) {
                (ByteOrder::Big, 2..) => (", big-endian", " --big-endian"),
                (_, 2..) => (", little-endian", ""),
                _ => ("", ""),
            };
            let of = if target.is_folder() { "each" } else { "all" };
            println!(
                "{shown}: {}, {of} of {} {}{big}, from {name}.",
                many(files, "file"),
                output::shape(shape),
                element.name()
            );
            let extents: Vec<String> = shape.iter().map(usize::to_string).collect();
            println!(
                "Back again: augur import {shown} -o FILE.h5 --shape {} --dtype {}{option}",
                extents.join(","),
                element.short()
            );
        }
    }
    if let Some((low, high)) = scale {
        println!("{} is black, {} is white.", output::number(*low), output::number(*high));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_from_zero_without_the_last() {
        for (text, n, range) in [
            (":", 5, Some(0..5)),
            ("2:", 5, Some(2..5)),
            (":3", 5, Some(0..3)),
            ("1:2", 5, Some(1..2)),
            ("1:6", 5, None),
            ("5:", 5, None),
        ] {
            assert_eq!(text.parse::<Asked>().unwrap().of(n).ok(), range, "{text}");
        }
        for text in ["", "3", "2:2", "3:1", "a:b", "-1:2", "1:2:3"] {
            assert!(text.parse::<Asked>().is_err(), "{text}");
        }
    }

    #[test]
    fn scales_are_two_numbers_in_order() {
        assert_eq!("-1.5,2e3".parse(), Ok(Scale::Given(-1.5, 2000.0)));
        assert_eq!("auto".parse(), Ok(Scale::Auto));
        for text in ["", "1", "2,1", "1,1", "nan,1", "0,inf", "a,b"] {
            assert!(text.parse::<Scale>().is_err(), "{text}");
        }
    }
}
