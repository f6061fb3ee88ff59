//! The encoder's half: choice of grid, order and predictor, and the payload of what its bands are coded as.

use super::apart;
use super::band::{CodedBand, Encoder};
use super::blockwise;
use super::choose::{choose, numbers, scale, Choice, Outline};
use super::direct;
use super::exact::Exact;
use super::gains::Gains;
use super::grids::{exact_grid, float_grid, logarithms, survey, Surveyed, LATTICE};
use super::learned::with_networks;
use super::mapped::{map, Mapped, Writing};
use super::side::{write_tables, FrameKind, Predictor, Side};
use super::target;
use super::{band_count, band_rows, bands};
use crate::bound::Bound;
use crate::checksum::checksum_on;
use crate::chunk::Frames;
use crate::entropy::quiet::Quiet;
use crate::entropy::rans;
use crate::entropy::tables::merged;
use crate::grid::{allowed_error, lattice, Allowed, Extent, Grid, Mapping};
use crate::lessons::Lesson;
use crate::marks;
use crate::network::Digest;
use crate::number::Number;
use crate::params::{Params, Preset};
use crate::predict::corrector::{Classes, Corrections, Corrector};
use crate::predict::lorenzo;
use crate::predict::multiscale::{self, Weights};
use crate::reference::coding_order;
use crate::reference::forecast::Forecasts;
use crate::scratch::Buffer;
use crate::special::Special;
use crate::stream::parts::Writer;
use crate::threads::parallel;
use std::ops::Range;

/// A predicted payload and the numbers that its header states.
pub struct Encoded {
    /// The payload.
    pub payload: Vec<u8>,
    /// The error that it keeps, as [`allowed_error`] gives it.
    pub error: f64,
    /// How its integers become values.
    pub mapping: Mapping,
    /// What it decodes to.
    pub decoded: Buffer<u8>,
    /// Checksum of that.
    pub decoded_sum: u32,
    /// Whether it keeps frames as they were decoded before.
    pub keeps: bool,
    /// The model that it needs.
    pub model: Option<Digest>,
}

/// What is known of a chunk besides its values.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    /// For each step of the time axis the error that it was decoded with, if it was: it must come back bit for bit.
    pub known: &'a [Option<f64>],
    /// The same for points of other steps, not 0 at each of them.
    pub held: Option<&'a [u8]>,
    /// Whether other points may have been decoded before.
    pub decoded: bool,
    /// Whom to show what a corrector would be asked.
    pub shown: Shown<'a>,
}

/// See [`lessons`](crate::lessons).
pub type Shown<'a> = Option<&'a (dyn Fn(&Lesson) + Sync)>;

/// Encodes little-endian values, time first; `None` where only lossless storage keeps the bound or nothing is to be
/// lost.
pub fn encode<N: Number>(params: &Params, frames: &Frames, raw: &[u8], given: Given) -> Option<Encoded> {
    let chunk = survey::<N>(params, raw)?;
    let encode = |share| encode_chunk::<N>(params, frames, raw, given, &chunk, share);
    let Bound::Psnr(db) = params.bound else { return encode(1.0) };
    let written = &raw[..chunk.points * N::SIZE];
    let whole = allowed_error(&params.bound, &chunk.extent).filter(|_| !N::FLOAT);
    target::reach::<N>(written, &chunk.special, &chunk.extent, db, whole, |share| {
        let encoded = encode(share)?;
        let free = !encoded.keeps && !chunk.provisional && given.known.iter().all(Option::is_none);
        Some((encoded, free))
    })
}

/// Encodes a chunk with a share of the error that the bound allows.
fn encode_chunk<N: Number>(
    params: &Params,
    frames: &Frames,
    raw: &[u8],
    given @ Given { known, held, decoded, shown }: Given,
    &Surveyed { ref special, extent, domain, points, provisional }: &Surveyed,
    share: f64,
) -> Option<Encoded> {
    let steps = params.shape[params.time_axis];
    let present = &raw[..points * N::SIZE];
    let pointwise = matches!(params.bound, Bound::PointwiseRelative { .. });
    let tezip = params.preset == Preset::Tezip;
    if pointwise && tezip && !N::FLOAT && !provisional {
        return code_shares::<N>(params, frames, raw, given, (special, &extent, points));
    }
    let logarithmic = pointwise;
    let allowed = allowed_error(&params.bound, &extent).map(|e| share * e);
    if let (false, true) = (logarithmic, known.iter().all(Option::is_none)) {
        let least = allowed.map_or(0.0, |e| LATTICE * 2.0 * if N::FLOAT { e } else { e.floor() + 0.5 });
        let slack = if N::FLOAT { least * lattice::SLACK } else { 0.0 };
        if let Some(grid) = exact_grid::<N>(present, special, &domain, least, slack) {
            let nothing = vec![false; frames.count()];
            let writing = Writing { points, provisional: false, known: &nothing, fresh: true };
            let mapped_with =
                |special: &Special| map::<N>(raw, frames, &grid, special, &domain, writing, params.threads);
            let outline = |mapped: &Mapped| Outline::of(mapped, frames, &grid, params, true);
            let kept = (special, 0.5 * grid.mapping.quantum(), params.preset == Preset::Fast);
            let (mapped, outline, apart) =
                apart::outlined::<N>(present, frames, mapped_with(special), kept, mapped_with, outline);
            let choice = outline.choice(&mapped, frames, &grid, params);
            let special = apart.as_ref().unwrap_or(special);
            let again = |raw: &[u8]| map::<N>(raw, frames, &grid, special, &domain, writing, params.threads);
            // Nothing is to be lost, not even the sign of zero.
            let all = vec![Some(0.0); if allowed.is_none() { steps } else { 0 }];
            let shared = Shared {
                params,
                frames,
                raw,
                mapped: &mapped,
                grid: &grid,
                error: slack,
                known: &all,
                held: None,
                shown,
            };
            return code::<N>(&shared, choice, again);
        }
    }
    let domain = if logarithmic { logarithms::<N>(present, special)? } else { domain };
    // The grid of steps that were decoded with a smaller error serves the others, too.
    let error = known.iter().flatten().copied().fold(allowed?, f64::min);
    let grid = if N::FLOAT {
        float_grid::<N>(
            present,
            frames.area(),
            special,
            error,
            &domain,
            (logarithmic, provisional),
            params.threads,
        )?
    } else if logarithmic {
        // Counts leave no room between them to tell decoded frames by.
        (!provisional).then(|| Grid::choose::<N>(error, &domain, true))??
    } else if tezip && !provisional && error >= 1.0 {
        Grid::narrow(error, &extent)?
    } else {
        Grid::whole(error, &extent, provisional || error < 1.0)?
    };
    let provisional = provisional && N::FLOAT && grid.step > 1;
    let mut known_frames = known_frames(known, steps, frames);
    if let Some(held) = held.filter(|_| !tezip) {
        // Points that must come back as they are do so in frames that are coded in units; others they would leave patched.
        let frames = held.chunks_exact(frames.area());
        known_frames.iter_mut().zip(frames).for_each(|(known, held)| *known |= held.iter().any(|h| *h != 0));
    }
    let mut writing = Writing { points, provisional, known: &known_frames, fresh: !decoded };
    let mut mapped = map::<N>(raw, frames, &grid, special, &domain, writing, params.threads);
    let seen = mapped.kinds.iter().zip(&known_frames).any(|(k, known)| *k == FrameKind::Fine && !known);
    if seen && !logarithmic && lattice::is_unrelated::<N>(present, special, &[grid.mapping.quantum()]) {
        writing.fresh = true;
        mapped = map::<N>(raw, frames, &grid, special, &domain, writing, params.threads);
    }
    let outline = |mapped: &Mapped| Outline::of(mapped, frames, &grid, params, true);
    let (mapped, outline, apart) = if logarithmic {
        let outline = outline(&mapped);
        (mapped, outline, None)
    } else {
        let half_bin = if N::FLOAT { error } else { error.floor() + 0.5 };
        let kept = (special, half_bin, params.preset == Preset::Fast);
        let mapped_with =
            |special: &Special| map::<N>(raw, frames, &grid, special, &domain, writing, params.threads);
        apart::outlined::<N>(present, frames, mapped, kept, mapped_with, outline)
    };
    let mut choice = outline.choice(&mapped, frames, &grid, params);
    let special = apart.as_ref().unwrap_or(special);
    if matches!(choice.predictor, Predictor::Lorenzo(_)) && grid.step > 1 {
        // Lorenzo knows only steps of one unit; frames that need the finer grid are not for it.
        if mapped.kinds.iter().all(|k| *k == FrameKind::Normal) && N::FLOAT {
            let grid = Grid::single::<N>(error, &domain, logarithmic)?;
            let writing = Writing { provisional: false, ..writing };
            let mapped = map::<N>(raw, frames, &grid, special, &domain, writing, params.threads);
            let shared =
                Shared { params, frames, raw, mapped: &mapped, grid: &grid, error, known, held, shown };
            return Some(code_as::<N>(&shared, choice));
        }
        choice = choose(&mapped, frames, &grid, params, false);
    }
    let fresh = Writing { fresh: true, provisional: false, ..writing };
    let again = |raw: &[u8]| map::<N>(raw, frames, &grid, special, &domain, fresh, params.threads);
    let shared = Shared { params, frames, raw, mapped: &mapped, grid: &grid, error, known, held, shown };
    code::<N>(&shared, choice, again)
}

/// Which frames belong to known steps. A step of the time axis is a whole number of frames or, in chunks of one frame, a
/// part of it.
fn known_frames(known: &[Option<f64>], steps: usize, frames: &Frames) -> Vec<bool> {
    let count = frames.count();
    (0..count).map(|f| known.get(f * steps / count).is_some_and(Option::is_some)).collect()
}

/// Encodes integers so that each keeps a share of itself: with counts as units, only the direct predictor can.
fn code_shares<N: Number>(
    params: &Params,
    frames: &Frames,
    raw: &[u8],
    Given { known, held, shown, .. }: Given,
    (special, extent, points): (&Special, &Extent, usize),
) -> Option<Encoded> {
    let grid = Grid::counts(extent)?;
    let steps = params.shape[params.time_axis];
    let known_frames = known_frames(known, steps, frames);
    let writing = Writing { points, provisional: false, known: &known_frames, fresh: true };
    let mapped = map::<N>(raw, frames, &grid, special, extent, writing, params.threads);
    let choice = choose(&mapped, frames, &grid, params, false);
    let error = allowed_error(&params.bound, extent)?;
    let shared = Shared { params, frames, raw, mapped: &mapped, grid: &grid, error, known, held, shown };
    // Nothing else is tried, for which the decoded values would be mapped.
    let Predictor::Direct(direct) = choice.predictor.clone() else { return None };
    direct::encode::<N>(&shared, choice, direct).ok()
}

/// What the coding of every band shares.
pub struct Shared<'a> {
    /// What the chunk is to be encoded with.
    pub params: &'a Params,
    /// Extents.
    pub frames: &'a Frames,
    /// Little-endian values, time first.
    pub raw: &'a [u8],
    /// The values on the grid.
    pub mapped: &'a Mapped,
    /// The grid.
    pub grid: &'a Grid,
    /// The bound.
    pub error: f64,
    /// Steps of the time axis that must come back bit for bit.
    pub known: &'a [Option<f64>],
    /// Points that must, not 0, if any.
    pub held: Option<&'a [u8]>,
    /// Whom to show what a corrector would be asked.
    pub shown: Shown<'a>,
}

impl Shared<'_> {
    /// Writes the values of a row of a frame whose first point is point `at` of the chunk, and lists those that miss the
    /// bound.
    pub fn write<N: Number>(
        &self,
        frame: usize,
        at: usize,
        line: &[i32],
        out: &mut [u8],
        patches: &mut Vec<(u64, u64)>,
    ) {
        let mapped = self.mapped;
        let half = mapped.kinds[frame] == FrameKind::Provisional;
        let allowed = match self.params.bound {
            Bound::PointwiseRelative { rel, .. } => Allowed::Relative(rel),
            _ => Allowed::Absolute(if N::FLOAT { self.error } else { self.error.floor() }),
        };
        let step_points = mapped.grid.len() / self.known.len().max(1);
        let raw = &self.raw[at * N::SIZE..][..line.len() * N::SIZE];
        let negative = mapped.negative.as_deref().map(|n| &n[at..at + line.len()]);
        let place = (mapped.offset, half);
        // Special points are stored apart.
        let marks = mapped.mask.as_deref().map(|m| &m[at..at + line.len()]);
        let all = self.grid.mapping.write_within::<N>(line, place, negative, (raw, marks), allowed, out);
        // Steps that are remembered are no shorter than a row.
        let known = self.known.get(at / step_points).is_some_and(Option::is_some);
        let held = self.held.map(|held| &held[at..at + line.len()]);
        // Almost always all are.
        if all && (!known && held.is_none_or(|held| held.iter().all(|h| *h == 0)) || raw == out) {
            return;
        }
        let within = |x: usize, a: &[u8], b: &[u8]| {
            let exact = known || held.is_some_and(|held| held[x] != 0);
            allowed.holds(N::read(a).to_f64(), N::read(b).to_f64()) && (!exact || a == b)
        };
        let mut check = |points: Range<usize>| {
            let bytes = points.start * N::SIZE..points.end * N::SIZE;
            let pairs = raw[bytes.clone()].chunks_exact(N::SIZE).zip(out[bytes].chunks_exact(N::SIZE));
            for (x, (a, b)) in points.zip(pairs) {
                if !within(x, a, b) {
                    patches.push(((at + x) as u64, N::read(a).bits()));
                }
            }
        };
        let mut next = 0;
        for run in marks.into_iter().flat_map(marks::runs) {
            check(next..run.start);
            next = run.end;
        }
        check(next..line.len());
    }

    /// The side information of what was coded, and the model that it names; puts what is stored exactly into `decoded`.
    pub fn side<N: Number>(
        &self,
        choice: Choice,
        patches: Vec<(u64, u64)>,
        bands: usize,
        decoded: &mut [u8],
    ) -> (Side, Option<Digest>) {
        let mapped = self.mapped;
        let corrections = choice.corrections.as_ref();
        let corrector = corrections.and_then(|c| c.model.as_ref()).map(|m| m.digest());
        let model = choice.forecasts.as_ref().map(Forecasts::model).or(corrector);
        let (normal, latent) = match choice.forecasts {
            Some(Forecasts::Network(_, normal)) => (Some(normal), None),
            Some(Forecasts::Given(_, made)) => (None, Some((made.blocks.shape, made.latent.clone()))),
            None => (None, None),
        };
        let side = Side {
            predictor: choice.predictor,
            order: choice.order,
            normal,
            latent,
            scale: scale(mapped, self.grid),
            offset: mapped.offset,
            kinds: mapped.kinds.clone(),
            special: mapped.mask.as_deref().map(|mask| Exact::of::<N>(mask, self.raw)),
            negative: mapped.negative.as_deref().map(|n| Buffer::of(n, |n| n)),
            patches,
            corrected: corrector.and(corrections).map(|c| c.classes),
            bands,
        };
        side.put_exact::<N>(decoded);
        (side, model)
    }
}

/// Codes a chunk as `choice` says or, where that is smaller, with forecasts. `again` gives the integers of decoded values.
fn code<N: Number>(shared: &Shared, choice: Choice, again: impl Fn(&[u8]) -> Mapped) -> Option<Encoded> {
    if let Predictor::Direct(direct) = &choice.predictor {
        let direct = direct.clone();
        return direct::encode::<N>(shared, choice, direct).ok();
    }
    if let Predictor::Blockwise(blockwise) = &choice.predictor {
        let blockwise = blockwise.clone();
        return blockwise::encode::<N>(shared, choice, blockwise).ok();
    }
    let multiscale = matches!(choice.predictor, Predictor::Multiscale(_));
    let encoded = code_as::<N>(shared, choice.clone());
    if !multiscale {
        return Some(encoded);
    }
    let (encoded, choice) = with_networks::<N>(shared, choice, encoded, again);
    if shared.shown.is_some() {
        // Once more, as it was coded, for those who look on.
        let corrections = Some(Corrections { model: None, classes: Classes::ALL });
        code_as::<N>(shared, Choice { corrections, ..choice });
    }
    Some(encoded)
}

/// Codes a chunk as `choice` says.
pub fn code_as<N: Number>(shared: &Shared, choice: Choice) -> Encoded {
    code_measured::<N>(shared, choice).0
}

/// [`code_as`], and what corrections save.
pub fn code_measured<N: Number>(shared: &Shared, choice: Choice) -> (Encoded, Gains) {
    let &Shared { params, frames, raw, mapped, grid, error, .. } = shared;
    let count = band_count(frames);
    let cut = bands(frames, count);
    let plan = coding_order(choice.order, frames);
    let scale = scale(mapped, grid);
    let mut decoded = Buffer::arbitrary(raw.len());
    let work = cut.iter().zip(band_rows(&mut decoded, frames, &cut, N::SIZE)).collect();
    let inner = (params.threads / count).max(1);
    let coded = parallel(work, params.threads, |(band, values)| {
        let mut rows = Encoder::<N>::new(shared, band, values);
        rows.shown = shared.shown.filter(|_| choice.corrections.as_ref().is_some_and(|c| c.model.is_none()));
        match &choice.predictor {
            Predictor::Multiscale(sent) => {
                let fine: Vec<bool> = mapped.kinds.iter().map(|k| *k != FrameKind::Normal).collect();
                let weights = Weights::new(scale, &plan, sent);
                let forecaster = choice
                    .forecasts
                    .as_ref()
                    .and_then(|f| f.forecaster(numbers(&scale, frames), frames, band, inner).ok());
                let size = (band.height, band.width);
                let corrector =
                    choice.corrections.as_ref().and_then(|c| Corrector::new(c, &scale, size).ok());
                multiscale::walk(&weights, &plan, band, &fine, (forecaster, corrector), &mut rows);
            }
            Predictor::Lorenzo(neighbours) => lorenzo::walk(*neighbours, &plan, band, &mut rows),
            // Coded by themselves.
            Predictor::Direct(_) | Predictor::Blockwise(_) => {}
        }
        rows.finish()
    });
    let mut histograms = merged(coded.iter().map(|b| &b.histograms[..]));
    let quiet = Quiet::choose(&histograms);
    let arrange = |b: &CodedBand| quiet.arrange(&b.symbols, &b.contexts, &b.runs);
    let mut arranged = vec![];
    if quiet.any() {
        arranged = parallel(coded.iter().collect(), params.threads, arrange);
        histograms = merged(arranged.iter().map(|a| &a.histograms[..]));
    }
    let mut patches: Vec<(u64, u64)> = coded.iter().flat_map(|b| b.patches.iter().copied()).collect();
    patches.sort_unstable();
    patches.dedup();
    let keeps = mapped.kinds.contains(&FrameKind::Fine);
    let (side, model) = shared.side::<N>(choice, patches, count, &mut decoded);
    let mut w = Writer::default();
    side.write(&mut w, frames, N::SIZE);
    let tables = write_tables(&mut w, &histograms, &quiet);
    // The checksum of what was decoded is one more piece of work, which is shared by those who are done with theirs.
    let work = (0..=coded.len()).collect();
    let mut streams = parallel(work, params.threads, |i| match (arranged.get(i), coded.get(i)) {
        (_, None) => (vec![], checksum_on(&decoded, params.threads)),
        (Some(a), _) => (rans::encode(&a.symbols, &a.contexts, &a.rows, &tables), 0),
        (None, Some(c)) => (rans::encode(&c.symbols, &c.contexts, &c.runs, &tables), 0),
    });
    let decoded_sum = streams.pop().map_or(0, |s| s.1);
    let streams = streams.into_iter().map(|s| s.0);
    for (band, residuals) in coded.iter().zip(streams) {
        w.bytes(&residuals);
        w.bytes(&band.plain);
    }
    let mut gains = Gains::default();
    coded.iter().for_each(|band| gains.join(&band.gains));
    (Encoded { payload: w.out, error, mapping: grid.mapping, decoded, decoded_sum, keeps, model }, gains)
}
