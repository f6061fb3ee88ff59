//! Fields to train on: read from datasets, scaled, and split into what is trained on and what is held out.

use super::library::Part;
use super::proportion::Spread;
use crate::convert::chunking;
use crate::failure::{Failure, Result};
use crate::h5::dataset::{self, Dataset, Layout};
use crate::h5::{c_string, file, types, Id};
use crate::spec::split;
use crate::{output, walk};
use augur_core::{Bound, ByteOrder, Dtype};
use hdf5_sys::h5t::H5T_IEEE_F64LE;
use sha2::{Digest, Sha256};
use std::path::Path;

/// Magnitudes from here on mark missing values in many formats (1e20, 9.97e36, 1e34).
const LARGE: f64 = 9.9e19;
/// Steps of a piece that training looks at, at least.
pub const PIECE: usize = 24;
/// Pieces that a proportion of a dataset is taken in, at most.
const PIECES: usize = 4;
/// Points that `auto` trains on, at most.
const POINTS: usize = 32 << 20;
/// Share of the steps that is held out, and how many at most.
const HELD_OUT: (f64, usize) = (0.15, 64);
/// Fewest steps with which something can be learnt and judged.
const FEWEST: usize = 8;

/// A dataset to train on.
pub struct Source {
    /// `FILE:/path`
    pub name: String,
    /// As it is stored.
    pub set: Dataset,
    /// Its values' type and byte order.
    pub dtype: (Dtype, ByteOrder),
    /// Bytes of its fill value.
    pub fill: Option<Vec<u8>>,
    /// Axis of time.
    pub time: usize,
    /// Axis along which some is held out: that of time, or of levels where there are too few steps.
    pub split: usize,
    /// Steps (along `split`), levels, rows, columns.
    pub size: [usize; 4],
    /// First held-out step.
    pub held_out: usize,
    /// The same dataset, read as doubles.
    double: Dataset,
    fill_value: Option<f64>,
}

impl Source {
    /// Opens `FILE:/dataset`, or FILE where only one dataset can be meant. `still`: there need not be more than one step,
    /// if there are levels.
    ///
    /// # Errors
    /// A dataset that is missing, or nothing to train on.
    pub fn open(spec: &str, time: usize, fill: Option<f64>, still: bool) -> Result<Self> {
        let (path, inside) = split(spec);
        let file = file::open(Path::new(path))?;
        let inside = match inside {
            Some(inside) => inside.to_string(),
            None => only(&file).map_err(|e| e.while_doing(path))?,
        };
        let name = format!("{path}:{inside}");
        let set = dataset::open(&file, &c_string(&inside)?, None)?;
        let mut double = dataset::open(&file, &c_string(&inside)?, None)?;
        let dtype = types::numeric(&set.dtype).ok_or_else(|| {
            Failure::new(format!("{name} holds {}, no plain numbers", types::name(&set.dtype)))
        })?;
        let stored = dataset::user_fill(&set);
        let fill_value = match (&stored, fill) {
            (_, Some(value)) => Some(value),
            (Some(bytes), None) => Some(types::read_double(bytes, &set.dtype)?).filter(|v| *v != 0.0),
            _ => None,
        };
        double.dtype = types::copy_of(*H5T_IEEE_F64LE)?;
        let rank = set.shape.len();
        if rank < 3 || time >= rank || time + 2 >= rank && rank == 3 && time != 0 {
            return Err(Failure::new(format!(
                "{name} has the shape {}: time, rows and columns are needed to train on (--time-axis says which is time)",
                output::shape(&set.shape)
            )));
        }
        let level = (0..rank).find(|a| *a != time);
        let split = match level {
            Some(level) if still && rank > 3 && set.shape[time] < FEWEST && set.shape[level] >= FEWEST => {
                level
            }
            _ => time,
        };
        let size = in_order(&set.shape, split);
        if size[0] < FEWEST {
            return Err(Failure::new(format!(
                "{name} has {} steps, training needs at least {FEWEST}",
                size[0]
            )));
        }
        let held_out = ((size[0] as f64 * HELD_OUT.0).round() as usize).clamp(2, HELD_OUT.1);
        let held_out = size[0] - held_out;
        Ok(Self { name, fill: stored, dtype, time, split, size, held_out, double, fill_value, set })
    }

    /// Values of the steps `from..to` in the order steps, levels, rows, columns; NaN where they are missing.
    fn read(&self, from: usize, to: usize) -> Result<Vec<f64>> {
        let mut bytes = vec![];
        let rank = self.set.shape.len();
        let (mut start, mut count) = (vec![0; rank], self.set.shape.clone());
        (start[self.split], count[self.split]) = (from, to - from);
        self.double.read(&start, &count, &mut bytes)?;
        let all = bytes.chunks_exact(8).map(|b| {
            let v = f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
            if v.abs() < LARGE && self.fill_value != Some(v) {
                v
            } else {
                f64::NAN
            }
        });
        let all: Vec<f64> = all.collect();
        // That axis becomes the first one.
        let outer: usize = count[..self.split].iter().product();
        let inner: usize = count[self.split + 1..].iter().product();
        if outer == 1 {
            return Ok(all);
        }
        let steps = to - from;
        let mut out = Vec::with_capacity(all.len());
        for t in 0..steps {
            for o in 0..outer {
                let at = (o * steps + t) * inner;
                out.extend_from_slice(&all[at..at + inner]);
            }
        }
        Ok(out)
    }

    /// The extents of a chunk: of those that the dataset has, if they hold several steps.
    pub fn chunk(&self) -> Vec<usize> {
        let set = &self.set;
        let chunk = match &set.layout {
            Layout::Chunked(chunk) if chunk[self.time] >= 4 || self.split != self.time => chunk.clone(),
            _ => chunking::suggest(&set.shape, &set.max_shape, self.dtype.0.size(), self.time),
        };
        chunk.iter().zip(&set.shape).map(|(c, s)| *c.min(s)).collect()
    }

    /// The same in steps, levels, rows, columns.
    pub fn chunk_in_order(&self) -> [usize; 4] {
        in_order(&self.chunk(), self.split)
    }

    /// The share of the steps before the held-out ones that is trained on.
    pub fn proportion(&self, asked: Option<f64>) -> f64 {
        let points: usize = self.size.iter().product();
        asked.unwrap_or(POINTS as f64 / points as f64).clamp(0.0, 1.0)
    }

    /// What to train a network on that forecasts: one piece or a few, the last one with the held-out steps behind it.
    ///
    /// # Errors
    /// What cannot be read, a field without values.
    pub fn parts(&self, proportion: f64) -> Result<Read> {
        let of = |(from, to)| match to == self.held_out {
            true => vec![(from, to), (to, self.size[0])],
            false => vec![(from, to)],
        };
        self.read_all(pieces(self.held_out, proportion).into_iter().map(of).collect())
    }

    /// What to train on when blocks are looked at and not changes: the first `share` of the steps (in multiples of `depth`), or
    /// all of them as far as there is memory; the held-out steps; and the share of the blocks in it that makes `share` of all.
    ///
    /// # Errors
    /// What cannot be read, a field without values.
    pub fn blocks(&self, share: f64, first: bool, depth: usize) -> Result<(Read, f64)> {
        let steps = self.held_out;
        let held_out = (steps, self.size[0]);
        let taken = if first {
            let wanted = (steps as f64 * share).ceil() as usize;
            vec![(0, wanted.next_multiple_of(depth.max(1)).min(steps))]
        } else {
            pieces(steps, self.proportion(None).max(share))
        };
        let count: usize = taken.iter().map(|(from, to)| to - from).sum();
        let last = taken.len() - 1;
        let of = |(k, piece)| if k == last { vec![piece, held_out] } else { vec![piece] };
        let read = self.read_all(taken.into_iter().enumerate().map(of).collect())?;
        Ok((read, (share * steps as f64 / count as f64).min(1.0)))
    }

    /// Reads parts, of each the steps to train on and, if they follow, those that are held out.
    fn read_all(&self, parts: Vec<Vec<(usize, usize)>>) -> Result<Read> {
        let mut hash = Sha256::new();
        let mut raw = vec![];
        for part in parts {
            let (mut values, mut steps) = (vec![], 0);
            let (from, to) = part[0];
            for (k, (from, to)) in part.into_iter().enumerate() {
                let read = self.read(from, to)?;
                if k == 0 {
                    hash.update([from as u64, to as u64].map(u64::to_le_bytes).concat());
                    read.iter().for_each(|v| hash.update(v.to_bits().to_le_bytes()));
                }
                values.extend(read);
                steps += to - from;
            }
            raw.push((values, steps, to - from));
        }
        let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
        let (mut least, mut greatest) = (f64::INFINITY, f64::NEG_INFINITY);
        let present = || raw.iter().flat_map(|r| &r.0).copied().filter(|v| !v.is_nan());
        for v in present() {
            (n, sum) = (n + 1.0, sum + v);
            (least, greatest) = (least.min(v), greatest.max(v));
        }
        if least >= greatest || n == 0.0 {
            return Err(Failure::new(format!(
                "{} holds only one value: there is nothing to learn",
                self.name
            )));
        }
        let mean = sum / n;
        present().for_each(|v| squares += (v - mean) * (v - mean));
        let deviation = (squares / n).sqrt();
        let parts = raw.into_iter().map(|(values, steps, train)| Part {
            values: values.iter().map(|v| ((v - mean) / deviation) as f32).collect(),
            size: [steps, self.size[1], self.size[2], self.size[3]],
            train,
        });
        let digest = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        Ok(Read { parts: parts.collect(), digest, range: greatest - least })
    }

    /// Means and deviations of what can be trained on and of what is held out, and the number of values of the former.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn spreads(&self) -> Result<([Spread; 2], f64)> {
        let plane: usize = self.size[1..].iter().product();
        let every = (self.size[0] * plane).div_ceil(POINTS).max(1);
        let mut spreads = [Spread::default(); 2];
        for t in (0..self.size[0]).step_by(every) {
            let spread = &mut spreads[usize::from(t >= self.held_out)];
            self.read(t, t + 1)?.into_iter().filter(|v| !v.is_nan()).for_each(|v| spread.add(v));
        }
        Ok((spreads, (self.held_out * plane) as f64))
    }
}

/// What was read of a dataset.
pub struct Read {
    /// Pieces.
    pub parts: Vec<Part>,
    /// SHA-256 of what is trained on.
    pub digest: String,
    /// Range of the values.
    pub range: f64,
}

/// Extents as steps (those of axis `first`), levels, rows, columns.
fn in_order(extents: &[usize], first: usize) -> [usize; 4] {
    let space: Vec<usize> = (0..extents.len()).filter(|a| *a != first).map(|a| extents[a]).collect();
    let (levels, plane) = space.split_at(space.len() - 2);
    [extents[first], levels.iter().product(), plane[0], plane[1]]
}

/// Steps `from..to` to train on, of the `steps` that there are; the last piece ends with them.
fn pieces(steps: usize, proportion: f64) -> Vec<(usize, usize)> {
    let wanted = ((steps as f64 * proportion).ceil() as usize).clamp(PIECE.min(steps), steps);
    let count = (wanted / PIECE).clamp(1, PIECES);
    if wanted == steps {
        return vec![(0, steps)];
    }
    let length = wanted / count;
    let end = |i: usize| steps * (i + 1) / count;
    (0..count).map(|i| (end(i) - length, end(i))).collect()
}

/// The bounds over the range that a model for `bound` should serve.
///
/// # Errors
/// A bound that is not about the range.
pub fn bounds(bound: &Bound, range: f64) -> Result<(f64, f64)> {
    let relative = match *bound {
        Bound::Absolute(e) => e / range,
        Bound::Relative { rel, range: Some(r) } => rel * r / range,
        Bound::Relative { rel, range: None } => rel,
        Bound::AbsRel { abs, rel } => rel.min(abs / range),
        Bound::Psnr(db) => 3f64.sqrt() * 10f64.powf(-db / 20.0),
        Bound::PointwiseRelative { .. } | Bound::Lossless => {
            return Err(Failure::new(
                "a model is trained for an absolute or relative bound, or a PSNR: give --absolute, --relative or --psnr",
            ))
        }
    };
    let least = relative / 8.0;
    Ok((least.clamp(1e-7, 0.05), (relative * 8.0).clamp(1e-6, 0.1)))
}

/// The only dataset of a file that has time, rows and columns.
fn only(file: &Id) -> Result<String> {
    let mut fit = vec![];
    for found in walk::datasets(file)? {
        let set = dataset::open(file, &found.path, None)?;
        if set.shape.len() >= 3 && types::numeric(&set.dtype).is_some() {
            fit.push(found.shown());
        }
    }
    match fit.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Failure::new("no dataset has time, rows and columns")),
        several => Err(Failure::new(format!(
            "several datasets could be meant: say which, as FILE:{} ({})",
            several[0],
            several.join(", ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_apart_and_end_before_what_is_held_out() {
        for (steps, proportion) in [(10, 1.0), (10, 0.1), (100, 0.5), (1000, 0.05), (1000, 0.5), (365, 0.3)] {
            let pieces = pieces(steps, proportion);
            assert_eq!(pieces.last().map(|p| p.1), Some(steps));
            assert!(pieces.windows(2).all(|p| p[0].1 <= p[1].0), "{pieces:?}");
            let total: usize = pieces.iter().map(|p| p.1 - p.0).sum();
            assert!(pieces.iter().all(|p| p.0 < p.1 && p.1 - p.0 >= PIECE.min(steps)));
            assert!(total as f64 >= 0.9 * proportion * steps as f64, "{steps} {proportion} {pieces:?}");
        }
    }

    #[test]
    fn names_of_datasets_may_follow_a_file() {
        assert_eq!(split("a.h5:/u/v"), ("a.h5", Some("/u/v")));
        assert_eq!(split("C:a.h5"), ("C:a.h5", None));
        assert_eq!(split("a.h5"), ("a.h5", None));
    }

    #[test]
    fn a_model_serves_bounds_around_the_one_asked_for() {
        let (low, high) = bounds(&Bound::Absolute(0.02), 20.0).unwrap();
        assert!(low < 1e-3 && high > 1e-3 && (low * high).sqrt() / 1e-3 - 1.0 < 1e-9);
        assert!(bounds(&Bound::Lossless, 1.0).is_err());
    }
}
