//! A training from request to model file.

use crate::autoencoder;
use crate::design::Design;
use crate::field::Field;
use crate::forecaster::{Plan, SIZES};
use crate::forecasting::Forecasting;
use crate::held_out::{self, Score};
use crate::integers::Integers;
use crate::recurrent::{self, Kind, MOST_CHANNELS};
use crate::request::{Message, Report, Request};
use crate::train::{Run, Schedule, Source, Task};
use augur_core::network::build::ModelBuilder;
use augur_core::network::Model;
use rand::rngs::StdRng;
use rand::SeedableRng;
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
/// Bits with the network, or its error, over those without it above which there is not.
pub const HOPELESS: f64 = 0.998;
/// Held-out frames that are looked at.
const LOOKS: i64 = 6;

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
    tch::manual_seed(request.seed as i64);
    let net = design.net(device);
    if let Some(path) = &request.init {
        let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
        Integers::read(&net.graph, design.name(), &bytes)
            .map_err(|e| format!("training cannot start from {}: {e}", path.display()))?
            .restore(&net);
    }
    let schedule = schedule(request, Schedule::of(&design), start);
    let task = Forecasting::new(&net, &design, &sources, &schedule)?;
    let look = || scores(&task, request);
    let run = Run { task: &task, schedule: &schedule };
    let watched = watched(&run, request, start, || nothing_gained(&look()), tell)?;
    let report = Report {
        operations: net.graph.operations(),
        parameters: net.graph.parameters(),
        scores: look(),
        ..watched
    };
    if report.end == Report::HOPELESS {
        return Ok((report, None));
    }
    let (bytes, _) = file(&task, request, report.steps)?;
    Ok((report, Some(bytes)))
}

/// Runs a training that is given up where it is hopeless, unless the user insists; what is not known here is empty in the
/// report.
///
/// # Errors
/// As [`Run::run`].
pub fn watched<T: Task>(
    run: &Run<T>,
    request: &Request,
    start: Instant,
    nothing_learnt: impl Fn() -> bool,
    mut tell: impl FnMut(&Message) -> bool,
) -> Result<Report, String> {
    let steps = run.schedule.steps;
    let (mut hopeless, mut done) = (false, 0);
    let probe = (!request.insist && request.init.is_none() && steps >= 2 * PROBE).then_some(PROBE);
    let ended = run.run(request.resume.as_deref(), |p| {
        done = p.step;
        hopeless = probe == Some(p.step) && nothing_learnt();
        let message = Message { step: p.step, steps, done: p.done, loss: p.loss, held_out: p.held_out };
        tell(&message) && !hopeless
    })?;
    Ok(Report {
        end: if hopeless { Report::HOPELESS } else { ended.end.name() },
        steps: done,
        best: ended.best,
        seconds_to_best: ended.seconds,
        operations: 0.0,
        parameters: 0,
        seconds: start.elapsed().as_secs_f64(),
        scores: vec![],
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

/// The model file after `steps`, and the model that the codec reads from it.
fn file(task: &Forecasting, request: &Request, steps: u64) -> Result<(Vec<u8>, Arc<Model>), String> {
    let graph = task.design.describe(task.net);
    let mut model = stated(request);
    model
        .metadata("architecture", task.design.words())
        .metadata("steps", steps.to_string())
        .metadata("size", request.size.as_str());
    let (bytes, model) = accepted(model.graph(task.design.name(), graph))?;
    Ok((bytes, Arc::new(model)))
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
    let Ok((_, model)) = file(task, request, 0) else { return vec![] };
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
    !scores.is_empty() && scores.iter().all(|s| s.bits_with > HOPELESS * s.bits_without)
}
