//! A training from request to model file.

use crate::autoencoder;
use crate::correcting::Correcting;
use crate::corrector;
use crate::design::Design;
use crate::field::Field;
use crate::forecaster::{Plan, SIZES};
use crate::forecasting::Forecasting;
use crate::held_out::{self, Score};
use crate::integers::Integers;
use crate::net::Net;
use crate::recurrent::{self, Kind, MOST_CHANNELS};
use crate::request::{Corrected, Message, Part, Report, Request};
use crate::train::{End, Run, Schedule, Source, Task};
use augur_core::lessons::GRAPH;
use augur_core::network::build::{GraphBuilder, ModelBuilder};
use augur_core::network::Model;
use rand::rngs::StdRng;
use rand::SeedableRng;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tch::{Cuda, Device};

/// Frames of a field, as they come.
#[derive(Clone, Copy, Debug)]
pub struct Frames<'a> {
    /// Values in the order steps, levels, rows, columns, of a magnitude near 1; NaN where they are missing.
    pub values: &'a [f32],
    /// Steps, levels, rows, columns.
    pub size: [i64; 4],
    /// The first steps, which may be trained on; the others are held out.
    pub train: i64,
}

/// Steps after which it shows whether there is anything to learn.
const PROBE: u64 = 500;
/// Error of the network over that without it above which there is not.
pub const HOPELESS: f64 = 0.998;
/// The same of the bits: weights that are fitted once more save a little by themselves.
const SLIGHT: f64 = 0.98;
/// Held-out frames that are looked at.
const LOOKS: i64 = 6;
/// Bits with a corrector over those without above which it is not worth its weights.
const WORTH: f64 = 0.99;

/// What came of it: the report, and the model file where there is one.
pub type Outcome = (Report, Option<Vec<u8>>);

/// Trains. `tell` is called after each step and stops the run by `false`.
///
/// # Errors
/// What is wrong with the request, in words.
pub fn train(
    request: &Request,
    fields: &[Frames],
    tell: impl FnMut(&Message) -> bool,
) -> Result<Outcome, String> {
    let start = Instant::now();
    let device = device(request)?;
    tch::set_num_threads(request.threads.max(1) as i32);
    let (low, high) = request.bounds;
    if !(low > 0.0 && low <= high && high < 1.0) {
        return Err(format!("the bounds {low} to {high} are no rising shares of the range"));
    }
    if let Some(asked) = &request.autoencoder {
        return autoencoder::job::train(request, asked, fields, device, tell);
    }
    let design = design(request, fields)?;
    let sources = fields.iter().map(|f| source(f, &design, device)).collect::<Result<Vec<_>, _>>()?;
    let frames_alone = [Part::Forecaster];
    let parts = if matches!(design, Design::Frame(..)) { &request.parts[..] } else { &frames_alone };
    let mut tell = tell;
    let mut forecast = None;
    if parts.contains(&Part::Forecaster) {
        let share = if parts.contains(&Part::Corrector) { FORECASTER_TIME } else { 1.0 };
        let request = Request { max_seconds: request.max_seconds.map(|s| s * share), ..request.clone() };
        forecast = Some(forecaster(&request, &design, &sources, (device, start), &mut tell)?);
    }
    let stopped = matches!(&forecast, Some((report, _)) if report.end == End::Stopped.name());
    if parts.contains(&Part::Corrector) && !stopped {
        return corrected(request, &sources, (device, start), (&design, forecast), tell);
    }
    let (report, trained) = forecast.ok_or("there is nothing to train: name a forecaster or a corrector")?;
    let model = trained.map(|graph| accepted(&stating(request, &design, report.steps, vec![graph])));
    Ok((report, model.transpose()?.map(|(bytes, _)| bytes)))
}

/// Share of the time that is a forecaster's where a corrector comes after it.
const FORECASTER_TIME: f64 = 0.75;

/// A graph with its name.
type Named = (&'static str, GraphBuilder);

/// Trains the network that forecasts; no graph where that is hopeless.
fn forecaster(
    request: &Request,
    design: &Design,
    sources: &[Source],
    (device, start): (Device, Instant),
    tell: impl FnMut(&Message) -> bool,
) -> Result<(Report, Option<Named>), String> {
    tch::manual_seed(request.seed as i64);
    let net = design.net(device);
    if let Some(path) = &request.init {
        let bytes = read(path)?;
        Integers::read(&net.graph, design.name(), &bytes)
            .map_err(|e| format!("training cannot start from {}: {e}", path.display()))?
            .restore(&net);
    }
    let schedule = schedule(request, Schedule::of(design), start);
    let task = Forecasting::new(&net, design, sources, &schedule)?;
    let look = || scores(&task, request);
    let run = Run { task: &task, schedule: &schedule };
    let part = matches!(design, Design::Frame(..)).then_some(Part::Forecaster);
    let watched = watched(&run, request, part, start, || nothing_gained(&look()), tell)?;
    let report = Report {
        operations: net.graph.operations(),
        parameters: net.graph.parameters(),
        scores: look(),
        ..watched
    };
    let hopeless = report.end == Report::HOPELESS;
    let graph = (!hopeless).then(|| (design.name(), design.describe(&net)));
    Ok((report, graph))
}

/// The network that forecasts in the model to start from, as it is, if it has one.
fn given(request: &Request, design: &Design, device: Device) -> Result<Option<Named>, String> {
    let Some(path) = &request.init else { return Ok(None) };
    let bytes = read(path)?;
    let of = |e: String| format!("training cannot start from {}: {e}", path.display());
    let model = Model::from_bytes(&bytes).map_err(|e| of(e.to_string()))?;
    if model.graph(design.name()).is_none() {
        return Ok(None);
    }
    let net = design.net(device);
    Integers::read(&net.graph, design.name(), &bytes).map_err(of)?.restore(&net);
    Ok(Some((design.name(), design.describe(&net))))
}

/// Trains a corrector behind the network that was trained before it, or is given, and gives the model of both.
fn corrected(
    request: &Request,
    sources: &[Source],
    (device, start): (Device, Instant),
    (design, forecast): (&Design, Option<(Report, Option<Named>)>),
    tell: impl FnMut(&Message) -> bool,
) -> Result<Outcome, String> {
    let (before, forecaster) = match forecast {
        Some((report, graph)) => (Some(report), graph),
        None => (None, given(request, design, device)?),
    };
    let coded_with = match &forecaster {
        None => None,
        Some(graph) => Some(Arc::new(accepted(&stating(request, design, 0, vec![graph.clone()]))?.1)),
    };
    tch::manual_seed(request.seed as i64);
    let width = corrector::SIZES.iter().find(|s| s.0 == request.size).map(|s| s.1);
    let width = width.ok_or_else(|| format!("size \"{}\" is unknown for a corrector", request.size))?;
    let net = Net::new(corrector::graph(width), device);
    if let Some(path) = &request.init {
        // A model without a corrector is one to start a forecaster from.
        if let Ok(integers) = Integers::read(&net.graph, GRAPH, &read(path)?) {
            integers.restore(&net);
        }
    }
    // A state is of one network.
    let beside = |path: &PathBuf| match before {
        Some(_) => [path.as_os_str(), OsStr::new(".corrector")].into_iter().collect::<OsString>().into(),
        None => path.clone(),
    };
    let request = Request {
        steps: request.steps.map(|n| n * corrector::STEPS),
        checkpoint: request.checkpoint.as_ref().map(beside),
        resume: request.resume.as_ref().map(beside).filter(|path| before.is_none() || path.exists()),
        ..request.clone()
    };
    let schedule = schedule(&request, corrector::schedule(), start);
    let task = Correcting::new(&net, sources, &schedule, coded_with.as_ref(), device)?;
    let gained = |share: f64| task.bits().is_none_or(|(without, with)| with < share * without);
    let run = Run { task: &task, schedule: &schedule };
    let watched = watched(&run, &request, Some(Part::Corrector), start, || !gained(WORTH), tell)?;
    let kept = watched.end != Report::HOPELESS && (request.insist || gained(WORTH));
    let (bits_without, bits_with) = task.bits().unwrap_or_default();
    let corrector = Corrected {
        end: watched.end,
        steps: watched.steps,
        best: watched.best,
        operations: net.graph.operations(),
        parameters: net.graph.parameters(),
        bits_without,
        bits_with,
        kept,
    };
    let mut graphs: Vec<Named> = forecaster.into_iter().collect();
    if kept {
        graphs.push((GRAPH, Integers::of(&net).graph(GRAPH)));
    }
    let end = match &before {
        _ if graphs.is_empty() => Report::HOPELESS,
        Some(report) if report.end != Report::HOPELESS => report.end,
        // Something is in the model, if not what was just given up.
        _ if watched.end == Report::HOPELESS => End::Early.name(),
        _ => watched.end,
    };
    let seconds = watched.seconds;
    let mut report = Report { end, seconds, corrector: Some(corrector), ..before.unwrap_or(watched) };
    if kept {
        report.operations += corrector.operations;
        report.parameters += corrector.parameters;
    }
    if graphs.is_empty() {
        return Ok((report, None));
    }
    let (bytes, _) = accepted(&stating(&request, design, report.steps, graphs))?;
    Ok((report, Some(bytes)))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))
}

/// Runs a training that is given up where it is hopeless, unless the user insists; what is not known here is empty in the
/// report.
///
/// # Errors
/// As [`Run::run`].
pub fn watched<T: Task>(
    run: &Run<T>,
    request: &Request,
    part: Option<Part>,
    start: Instant,
    nothing_learnt: impl Fn() -> bool,
    mut tell: impl FnMut(&Message) -> bool,
) -> Result<Report, String> {
    let steps = run.schedule.steps;
    let mut hopeless = false;
    // Points need more steps than frames, which have many of them.
    let probe = PROBE * if part == Some(Part::Corrector) { corrector::STEPS } else { 1 };
    let probe = (!request.insist && request.init.is_none() && steps >= 2 * probe).then_some(probe);
    let ended = run.run(request.resume.as_deref(), |p| {
        hopeless = probe == Some(p.step) && nothing_learnt();
        let message = Message { part, step: p.step, steps, done: p.done, loss: p.loss, held_out: p.held_out };
        tell(&message) && !hopeless
    })?;
    Ok(Report {
        end: if hopeless { Report::HOPELESS } else { ended.end.name() },
        steps: ended.steps,
        best: ended.best,
        seconds_to_best: ended.seconds,
        operations: 0.0,
        parameters: 0,
        seconds: start.elapsed().as_secs_f64(),
        scores: vec![],
        corrector: None,
        reconstruction: None,
    })
}

/// A model file with what the request says about it.
pub fn stated(request: &Request) -> ModelBuilder {
    let mut model = ModelBuilder::new();
    for (key, value) in &request.metadata {
        model.metadata(key, value.as_str());
    }
    model
}

/// The file, and the model that the codec reads from it.
///
/// # Errors
/// Why the codec would not take it.
pub fn accepted(model: &ModelBuilder) -> Result<(Vec<u8>, Model), String> {
    let bytes = model.to_bytes().map_err(|e| e.to_string())?;
    let model = Model::from_bytes(&bytes).map_err(|e| format!("the trained model is not accepted: {e}"))?;
    Ok((bytes, model))
}

/// How to train as the request says, and as `defaults` say where it says nothing.
pub fn schedule(request: &Request, defaults: Schedule, start: Instant) -> Schedule {
    let left = |s: f64| (s - start.elapsed().as_secs_f64()).clamp(1.0, 1e9);
    let samples = request.batch.unwrap_or(defaults.samples).max(1);
    Schedule {
        steps: request.steps.unwrap_or(defaults.steps),
        samples,
        // The noise of a gradient's mean falls with the root of the samples, which is what limits Adam's rate.
        rate: defaults.rate * (samples as f64 / defaults.samples as f64).sqrt(),
        bounds: request.bounds,
        seed: request.seed,
        most: request.max_seconds.map(|s| Duration::from_secs_f64(left(s))),
        checkpoint: request.checkpoint.clone(),
        loss: request.loss,
        ..defaults
    }
}

/// A model file of these graphs, after `steps`.
fn stating(request: &Request, design: &Design, steps: u64, graphs: Vec<Named>) -> ModelBuilder {
    let mut model = stated(request);
    let of = |(name, _): &Named| match *name {
        GRAPH => corrector::words(&request.size),
        _ => design.words(),
    };
    let words: Vec<String> = graphs.iter().map(of).collect();
    model
        .metadata("architecture", words.join("; "))
        .metadata("steps", steps.to_string())
        .metadata("size", request.size.as_str());
    for (name, graph) in graphs {
        model.graph(name, graph);
    }
    model
}

fn device(request: &Request) -> Result<Device, String> {
    match request.device.as_str() {
        "cpu" => Ok(Device::Cpu),
        "cuda" if Cuda::is_available() => Ok(Device::Cuda(0)),
        "cuda" => {
            Err("this libtorch finds no CUDA device: train with --device cpu, or name the libtorch of a \
                       PyTorch with CUDA in AUGUR_LIBTORCH"
                .into())
        }
        other => Err(format!("device \"{other}\" is unknown, expected cpu or cuda")),
    }
}

/// What is asked for.
fn design(request: &Request, fields: &[Frames]) -> Result<Design, String> {
    let Some(kind) = request.architecture else {
        let mut plan = plan(&request.size)?;
        plan.levels = i64::from(fields.iter().any(|f| f.size[1] > 1));
        return Ok(Design::Frame(request.role, plan));
    };
    let first = fields.first().map_or(1, |f| f.size[1]);
    let same = fields.iter().all(|f| f.size[1] == first);
    let channels = request.channels.unwrap_or(if same && (2..=4).contains(&first) { first } else { 1 });
    if !(1..=MOST_CHANNELS).contains(&channels) {
        return Err(format!("{channels} levels together are not possible, 1 to {MOST_CHANNELS} are"));
    }
    if let Some(f) = fields.iter().find(|f| f.size[1] % channels != 0) {
        return Err(format!("{} levels cannot be forecast {channels} at a time", f.size[1]));
    }
    let planes = request.planes.unwrap_or(2);
    if !(1..=2).contains(&planes) {
        return Err(format!("{planes} planes are not possible: 1 (frames) or 2 (changes) are"));
    }
    let plan = recurrent::Plan::new(kind, &request.size, channels, planes);
    let plan = plan.ok_or_else(|| {
        let kind = if kind == Kind::PredNet { "prednet" } else { "convlstm" };
        format!("size \"{}\" is unknown for {kind}, expected small, medium or tezip", request.size)
    })?;
    let least = plan.multiple();
    if let Some([_, _, h, w]) = fields.iter().map(|f| f.size).find(|s| s[2] < least || s[3] < least) {
        return Err(format!(
            "frames of {h} x {w} points are too small for this network, {least} x {least} are needed"
        ));
    }
    Ok(Design::Recurrent(plan))
}

fn plan(size: &str) -> Result<Plan, String> {
    SIZES
        .iter()
        .find(|s| s.0 == size)
        .map(|s| s.1)
        .ok_or_else(|| format!("size \"{size}\" is unknown, expected small, medium or large"))
}

fn source(f: &Frames, design: &Design, device: Device) -> Result<Source, String> {
    let [steps, z, h, w] = f.size;
    if f.train <= design.frames() || f.train > steps || z < 1 || h < 4 || w < 4 {
        return Err(format!(
            "a field of {steps} steps ({} of them to train on) of {z} x {h} x {w} points is too small to train on",
            f.train
        ));
    }
    let field = Field::new(f.values, f.size, device);
    Ok(Source { field, train: 0..f.train, held_out: (f.train - design.frames()).max(0)..steps })
}

/// Scores at the least and the greatest bound and between, the mean over the fields.
fn scores(task: &Forecasting, request: &Request) -> Vec<Score> {
    let graph = (task.design.name(), task.design.describe(task.net));
    let Ok((_, model)) = accepted(&stating(request, task.design, 0, vec![graph])) else {
        return vec![];
    };
    let model = Arc::new(model);
    let (low, high) = request.bounds;
    let held_out: Vec<&Source> =
        task.sources.iter().filter(|s| s.held_out.end - s.held_out.start > task.design.frames()).collect();
    let mut rng = StdRng::seed_from_u64(request.seed);
    let at = |bound: f64, rng: &mut StdRng| {
        let of = |s: &&Source, rng: &mut StdRng| held_out::score(task, &model, s, LOOKS, bound, rng);
        let all: Vec<Score> = held_out.iter().map(|s| of(s, rng)).collect();
        let mean = |of: fn(&Score) -> f64| all.iter().map(of).sum::<f64>() / all.len() as f64;
        Score {
            bound,
            forecast: mean(|s| s.forecast),
            persistence: mean(|s| s.persistence),
            extrapolation: mean(|s| s.extrapolation),
            bits_without: mean(|s| s.bits_without),
            bits_with: mean(|s| s.bits_with),
            estimate: mean(|s| s.estimate),
            persistence_estimate: mean(|s| s.persistence_estimate),
        }
    };
    if held_out.is_empty() {
        return vec![];
    }
    [high, (low * high).sqrt(), low].into_iter().map(|b| at(b, &mut rng)).collect()
}

/// Whether the forecast saves bits nowhere.
fn nothing_gained(scores: &[Score]) -> bool {
    !scores.is_empty() && scores.iter().all(|s| s.bits_with > SLIGHT * s.bits_without)
}
