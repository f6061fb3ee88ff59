//! Which datasets are compressed, and how each of them is stored.

use super::chunking;
use crate::failure::{Failure, Result};
use crate::h5::dataset::{self, Dataset, Layout};
use crate::h5::{attribute, file, pipeline, types, Id};
use crate::models::{embedded, find};
use crate::options::matches;
use crate::walk::Found;
use augur_core::{Model, Preset};
use augur_filter::models::Named;
use augur_filter::{Fill, Settings};
use std::path::Path;
use std::sync::Arc;

/// Bytes below which a dataset is left alone unless it is named: a chunk's header and its own index entry
/// would eat the gain.
const SMALLEST: u64 = 16 << 10;

/// Reason for leaving a dataset alone that `--dataset` does not name.
pub const NOT_ASKED: &str = "not asked for";

/// What becomes of a dataset.
#[derive(Debug, Clone)]
pub struct Choice {
    /// Its path, for people.
    pub path: String,
    /// Chunk shape in the copy.
    pub chunk: Vec<usize>,
    /// cd_values in user form.
    pub words: Vec<u32>,
    /// Bytes of its elements.
    pub raw_bytes: u64,
    /// The model that predicts it, which the copy is to hold and its attribute to name.
    pub model: Option<Arc<Model>>,
}

/// A dataset that is copied as it is, and why.
#[derive(Debug, Clone)]
pub struct Skipped {
    /// Its path, for people.
    pub path: String,
    /// The reason, in a few words.
    pub reason: String,
}

/// What becomes of every dataset of a file: those that are compressed, by their index in the list of all,
/// and the others.
pub type Plan = (Vec<(usize, Choice)>, Vec<Skipped>);

/// What the user asked for.
pub struct Wish<'a> {
    /// Names or patterns; none means every dataset that it makes sense for.
    pub patterns: &'a [String],
    /// Chunk shape.
    pub chunk: Option<&'a [usize]>,
    /// Axis of time; `None` means the only axis without a limit, or the first.
    pub time_axis: Option<usize>,
    /// Bound and preset.
    pub settings: &'a Settings,
    /// The model for all; `None` with the preset learned: the one that each dataset's attribute names.
    pub model: Option<Arc<Model>>,
    /// The file to read.
    pub input: &'a Path,
}

/// Decides for every dataset of the file; the chosen ones come with their index in `found`.
///
/// # Errors
/// A pattern that names no dataset, a named dataset that cannot be compressed, a chunk shape that does
/// not fit.
pub fn decide(file: &Id, found: &[Found], wish: &Wish<'_>) -> Result<Plan> {
    for pattern in wish.patterns {
        if !found.iter().any(|f| matches(pattern, &f.shown())) {
            return Err(Failure::new(unknown(pattern, found)));
        }
    }
    let (mut chosen, mut skipped) = (Vec::new(), Vec::new());
    for (index, one) in found.iter().enumerate() {
        let path = one.shown();
        let named = wish.patterns.iter().any(|p| matches(p, &path));
        if !wish.patterns.is_empty() && !named {
            skipped.push(Skipped { path, reason: NOT_ASKED.into() });
            continue;
        }
        let set = dataset::open(file, &one.path, None)?;
        let exact = wish.patterns.iter().any(|p| !p.contains(['*', '?']) && matches(p, &path));
        let reason = match impossible(&set, one) {
            Some(reason) => Some((reason, true)),
            None if named => None,
            None => unwise(&set)?.map(|reason| (reason, false)),
        };
        if let Some((reason, hard)) = reason {
            if hard && exact {
                return Err(Failure::new(format!(
                    "{path} cannot be compressed: {reason}; Augur takes arrays of float16 to float64 and of 8- to \
                     32-bit integers whose filters are found here (HDF5_PLUGIN_PATH)"
                )));
            }
            skipped.push(Skipped { path, reason });
            continue;
        }
        let choice = choose(&set, &path, wish, exact).map_err(|e| e.while_doing(&path))?;
        chosen.push((index, choice));
    }
    Ok((chosen, skipped))
}

fn unknown(pattern: &str, found: &[Found]) -> String {
    const MOST: usize = 12;
    let mut known: Vec<String> = found.iter().take(MOST).map(Found::shown).collect();
    if found.len() > MOST {
        known.push(format!("and {} more", found.len() - MOST));
    }
    if known.is_empty() {
        return format!("no dataset matches \"{pattern}\": the file holds none");
    }
    format!("no dataset matches \"{pattern}\"; the file holds {}", known.join(", "))
}

/// Why a dataset cannot be compressed at all.
fn impossible(set: &Dataset, found: &Found) -> Option<String> {
    if embedded::is_own(&found.path) {
        return Some("a model".into());
    }
    if types::numeric(&set.dtype).is_none() {
        return Some(format!("{} values", types::name(&set.dtype)));
    }
    if !set.is_array {
        return Some("a single value".into());
    }
    if set.max_shape.contains(&Some(0)) {
        return Some("an empty array".into());
    }
    match set.layout {
        Layout::Virtual => Some("a virtual dataset, its data lie in others".into()),
        _ => missing_filter(set),
    }
}

/// The filter without which a dataset's elements cannot be read here.
fn missing_filter(set: &Dataset) -> Option<String> {
    let filters = pipeline::list(&set.dcpl).ok()?;
    let missing = filters.iter().find(|f| !pipeline::is_available(f.id))?;
    Some(format!("compressed with {}, whose plugin is not found", missing.label()))
}

/// Why a dataset is better left alone unless it is named.
fn unwise(set: &Dataset) -> Result<Option<String>> {
    if pipeline::list(&set.dcpl)?.iter().any(pipeline::Filter::is_augur) {
        return Ok(Some("already compressed with Augur".into()));
    }
    let class = match attribute::exists(&set.id, c"CLASS")? {
        true => attribute::open(&set.id, c"CLASS")?.text(),
        false => None,
    };
    if class.as_deref() == Some("DIMENSION_SCALE") {
        return Ok(Some("coordinates of a dimension".into()));
    }
    if set.raw_bytes() < SMALLEST {
        return Ok(Some("small".into()));
    }
    Ok(None)
}

fn choose(set: &Dataset, path: &str, wish: &Wish<'_>, exact: bool) -> Result<Choice> {
    let rank = set.shape.len();
    let unlimited: Vec<usize> = (0..rank).filter(|&a| set.max_shape[a].is_none()).collect();
    let time_axis = match (wish.time_axis, unlimited.as_slice()) {
        (Some(axis), _) if axis >= rank => {
            return Err(Failure::new(format!(
                "--time-axis {axis} does not exist, the dataset has {rank} axes (counted from 0)"
            )))
        }
        (Some(axis), _) => axis,
        // cd_values have four bits for it.
        (None, &[axis]) if axis < 16 => axis,
        (None, _) => 0,
    };
    let chunk = match wish.chunk {
        Some(chunk) if chunk.len() == rank => {
            for (axis, (&c, max)) in chunk.iter().zip(&set.max_shape).enumerate() {
                if max.is_some_and(|m| c > m) {
                    return Err(Failure::new(format!(
                        "--chunk asks for {c} elements along axis {axis}, the dataset has only {}",
                        set.shape[axis]
                    )));
                }
            }
            chunk.to_vec()
        }
        Some(chunk) if exact => {
            return Err(Failure::new(format!(
                "--chunk gives {} extents, the dataset has {rank} axes ({})",
                chunk.len(),
                crate::output::shape(&set.shape)
            )))
        }
        // Among many datasets the shape is meant for those that it fits.
        _ => chunking::suggest(&set.shape, &set.max_shape, types::size(&set.dtype), time_axis),
    };
    let mut settings = Settings { time_axis, ..wish.settings.clone() };
    if settings.fill.is_none() && settings.bound.parameters().1 == 0.0 {
        settings.fill = stated_fill(set)?;
    }
    let model = match &wish.model {
        None if settings.preset.uses_model() => named_model(set, wish.input)?.map(Arc::new),
        known => known.clone(),
    };
    if settings.preset.uses_model() && model.is_none() {
        if settings.strict {
            return Err(Failure::new("no attribute augur_model names a model, and --strict was given"));
        }
        // Some methods do without one.
        if !settings.preset.does_without_model() {
            settings.preset = Preset::Balanced;
        }
    }
    let words = settings.to_words()?;
    Ok(Choice { path: path.into(), chunk, words, raw_bytes: set.raw_bytes(), model })
}

/// The model that the dataset's attribute names, which may be relative to the file that is read.
fn named_model(set: &Dataset, input: &Path) -> Result<Option<Model>> {
    let Some(text) = embedded::named(&set.id)? else { return Ok(None) };
    let doing = |e: Failure| e.while_doing(format!("attribute augur_model (\"{text}\")"));
    let named = Named::parse(&text).map_err(|e| doing(e.into()))?;
    let input_file = [input.to_path_buf()];
    let found = match (&named, named.digest()) {
        (_, Some(digest)) => find::one(&digest.to_string(), &input_file),
        (Named::Relative(path), None) => {
            let folder = input.parent().unwrap_or(Path::new(""));
            find::one(&folder.join(path).to_string_lossy(), &[])
        }
        _ => embedded::other(&file::open(input).map_err(doing)?, &text),
    };
    found.map(|l| Some(l.model)).map_err(doing)
}

/// The missing value that attributes state, where it is not the dataset's own fill value, which the filter
/// sees itself.
fn stated_fill(set: &Dataset) -> Result<Option<Fill>> {
    let Some((dtype, order)) = types::numeric(&set.dtype) else { return Ok(None) };
    let own = dataset::user_fill(set);
    for name in [c"_FillValue", c"missing_value"] {
        if !attribute::exists(&set.id, name)? {
            continue;
        }
        let Some(value) = attribute::open(&set.id, name)?.number() else { continue };
        // A value that the type cannot hold marks nothing in these data.
        let Ok(bytes) = Fill::value(value).to_bytes(dtype, order) else { continue };
        if value.is_nan() || own.as_deref() == Some(&bytes[..dtype.size()]) {
            return Ok(None);
        }
        return Ok(Some(Fill::value(value)));
    }
    Ok(None)
}
