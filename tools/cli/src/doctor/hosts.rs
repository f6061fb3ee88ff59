//! The programs and modules whose HDF5 is tried, each in a process of its own.

use super::plugin;
use crate::failure::Result;
use crate::h5::{dataset, file};
use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A program that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// Error that the trial asks for.
pub const BOUND: f64 = 1e-3;

/// One HDF5 of this environment.
#[derive(Debug, Clone)]
pub enum Host {
    /// `h5repack` and `h5dump`, by the path of the former.
    Tools(PathBuf),
    /// A module of a Python.
    Python {
        /// The interpreter.
        python: PathBuf,
        /// `h5py` or `netCDF4`.
        module: &'static str,
    },
}

/// What a trial showed.
#[derive(Debug, Clone, Default)]
pub struct Trial {
    /// The program or module is not there.
    pub absent: bool,
    /// Its own version.
    pub version: Option<String>,
    /// Version of its HDF5.
    pub hdf5: Option<String>,
    /// File of its libhdf5.
    pub library: Option<String>,
    /// Where that looks for plugins, as it says itself.
    pub search_path: Option<Vec<PathBuf>>,
    /// What went wrong; `None` when writing and reading worked.
    pub problem: Option<String>,
}

impl Host {
    /// Name for people.
    pub fn name(&self) -> String {
        match self {
            Host::Tools(h5repack) => format!("h5repack ({})", h5repack.display()),
            Host::Python { python, module } => format!("{module} ({})", python.display()),
        }
    }

    /// Writes and reads a small array; `plugin_path` replaces HDF5_PLUGIN_PATH, `import` imports h5augur first.
    pub fn try_out(&self, plugin_path: Option<&str>, import: bool, words: &[u32]) -> Trial {
        match self {
            Host::Tools(h5repack) => tools(h5repack, plugin_path, words),
            Host::Python { python, module } => python_module(python, module, plugin_path, import, words),
        }
    }
}

/// The first program of this name on PATH.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|d| d.join(name)).find(|p| p.is_file())
}

/// Runs a program; its standard output, or what went wrong.
fn run(command: &mut Command, plugin_path: Option<&str>) -> std::result::Result<String, String> {
    if let Some(path) = plugin_path {
        command.env("HDF5_PLUGIN_PATH", path);
    }
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{name} does not start: {e}"))?;
    // Both pipes are emptied while the program runs, or it would wait for ever on a full one.
    let output = drain(child.stdout.take());
    let errors = drain(child.stderr.take());
    let started = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if started.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(5)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{name} did not end within {} s", PATIENCE.as_secs()));
            }
            Err(e) => return Err(format!("{name}: {e}")),
        }
    };
    let (output, errors) = (output.join().unwrap_or_default(), errors.join().unwrap_or_default());
    if !status.success() {
        let line = errors.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or("").trim().to_string();
        return Err(if line.is_empty() { format!("{name} ended with {status}") } else { line });
    }
    Ok(output)
}

/// Reads a pipe to its end beside the caller; what came before an error still counts.
fn drain(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    })
}

fn python_module(
    python: &Path,
    module: &'static str,
    plugin_path: Option<&str>,
    import: bool,
    words: &[u32],
) -> Trial {
    let mut command = Command::new(python);
    command.arg("-c").arg(include_str!("probe.py")).arg(module).arg(if import { "import" } else { "-" });
    command.args(words.iter().map(u32::to_string));
    let answer = match run(&mut command, plugin_path) {
        Ok(output) => output
            .lines()
            .find_map(|l| l.strip_prefix("AUGUR-PROBE "))
            .and_then(|l| serde_json::from_str::<Value>(l).ok())
            .ok_or_else(|| "the trial gave no answer".to_string()),
        Err(e) => Err(e),
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(problem) => return Trial { problem: Some(problem), ..Trial::default() },
    };
    let text = |key: &str| answer[key].as_str().map(str::to_string);
    let mut trial = Trial {
        version: text("version"),
        hdf5: text("hdf5"),
        library: text("library"),
        search_path: answer["search_path"]
            .as_array()
            .map(|dirs| dirs.iter().filter_map(|d| d.as_str()).map(PathBuf::from).collect()),
        ..Trial::default()
    };
    if let Some(missing) = text("missing") {
        trial.absent = missing == module || missing == "numpy";
        trial.problem = Some(format!("the module {missing} is not installed"));
    } else if let Some(problem) = text("problem") {
        trial.problem =
            Some(format!("{} failed: {problem}", text("step").unwrap_or_else(|| "starting".into())));
    } else {
        trial.problem = judge(answer["largest_error"].as_f64());
    }
    trial
}

fn judge(error: Option<f64>) -> Option<String> {
    match error {
        Some(e) if e <= BOUND => None,
        Some(e) => Some(format!("values came back with an error of {e}, at most {BOUND} was asked for")),
        None => Some("the values did not come back".into()),
    }
}

fn tools(h5repack: &Path, plugin_path: Option<&str>, words: &[u32]) -> Trial {
    let mut trial = Trial::default();
    if let Ok(text) = run(Command::new(h5repack).arg("--version"), None) {
        trial.hdf5 = text.split_whitespace().last().map(str::to_string);
        trial.version = trial.hdf5.clone();
    }
    trial.library = linked_library(h5repack);
    trial.problem = match tools_round_trip(h5repack, plugin_path, words) {
        Ok(problem) => problem,
        Err(e) => Some(e.to_string()),
    };
    trial
}

/// The libhdf5 that a program is linked with, as `ldd` tells.
fn linked_library(program: &Path) -> Option<String> {
    let text = run(Command::new("ldd").arg(program), None).ok()?;
    let line = text.lines().find(|l| l.trim_start().starts_with("libhdf5") && !l.contains("_hl"))?;
    let path = line.split("=>").nth(1)?.split_whitespace().next()?;
    Some(std::fs::canonicalize(path).map_or(path.to_string(), |p| p.display().to_string()))
}

/// h5repack compresses a file, h5dump reads it; the problem, if there was one.
fn tools_round_trip(h5repack: &Path, plugin_path: Option<&str>, words: &[u32]) -> Result<Option<String>> {
    let folder = Folder::new()?;
    let (plain, packed, raw) =
        (folder.0.join("plain.h5"), folder.0.join("packed.h5"), folder.0.join("values"));
    let shape = [16usize, 24, 24];
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|i: usize| {
            let (t, y, x) = (i / 576, i / 24 % 24, i % 24);
            (0.2 * t as f32 + 0.3 * y as f32 + 0.1 * x as f32).sin()
        })
        .collect();
    {
        let file = file::create(&plain)?;
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        dataset::write_floats(&file, c"x", &shape, &bytes)?;
        file::flush(&file)?;
    }
    let list: Vec<String> = words.iter().map(u32::to_string).collect();
    let filter = format!("x:UD={},0,{},{}", augur_filter::FILTER_ID, words.len(), list.join(","));
    let mut command = Command::new(h5repack);
    command.args(["-l", "x:CHUNK=16x24x24", "-f", &filter]).arg(&plain).arg(&packed);
    if let Err(e) = run(&mut command, plugin_path) {
        return Ok(Some(format!("writing failed: {e}")));
    }
    let written = file::open(&packed).and_then(|f| dataset::open(&f, c"x", None));
    let is_augur = |set: &dataset::Dataset| {
        crate::h5::pipeline::list(&set.dcpl).is_ok_and(|f| f.iter().any(|f| f.is_augur()))
    };
    if !written.as_ref().is_ok_and(is_augur) {
        return Ok(Some("writing failed: h5repack left the data uncompressed".into()));
    }
    drop(written);
    let h5dump = h5repack.with_file_name("h5dump");
    let mut command = Command::new(&h5dump);
    command.args(["-d", "x", "-b", "LE", "-o"]).arg(&raw).arg(&packed);
    if let Err(e) = run(&mut command, plugin_path) {
        return Ok(Some(format!("reading failed: {e}")));
    }
    let back = std::fs::read(&raw).unwrap_or_default();
    let error = (back.len() == 4 * values.len()).then(|| {
        let read = back.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        values.iter().zip(read).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max)
    });
    Ok(judge(error))
}

/// A directory for the trial's files, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("augur-doctor-{}", std::process::id()));
        let made = std::fs::create_dir_all(&path);
        made.map_err(|e| crate::failure::Failure::new(format!("{} cannot be created: {e}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Directory of the plugin that the Python package h5augur carries.
pub fn packaged_plugin(python: &Path) -> Option<PathBuf> {
    let text =
        run(Command::new(python).args(["-c", "import h5augur; print(h5augur.PLUGIN_PATH)"]), None).ok()?;
    let path = PathBuf::from(text.trim());
    path.join(plugin::FILE).is_file().then_some(path)
}
