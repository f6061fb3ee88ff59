//! `augur doctor`: can the HDF5 of this environment use the plugin, and if not, why and what helps?

mod hosts;
mod models;
mod plugin;

use crate::failure::{Failure, Result};
use crate::output;
use augur_core::Bound;
use augur_filter::Settings;
use clap::Args;
use hosts::{Host, Trial};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Say whether the HDF5 programs and Python modules of this environment can use the plugin
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  augur doctor
  augur doctor --python ~/venv/bin/python
  augur doctor --json

Tried are h5repack and h5dump on PATH, and h5py and netCDF4 of the Python on PATH (or of those that
--python names): each writes and reads a small array through the plugin, in a process of its own.
The models that chunks are written and read with are looked for in the folders that are named.

Exit status: 0 when each works; 1 when one does not (the fix is printed); 2 when there is nothing to try.")]
pub struct Doctor {
    /// Python to look at instead of the one on PATH; repeatable
    #[arg(long, value_name = "PATH")]
    python: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is known of a host.
struct Finding {
    host: Host,
    trial: Trial,
    /// Directories that its HDF5 searches, and whether each holds the plugin.
    searched: Vec<(PathBuf, bool)>,
    /// Why it does not work.
    reason: Option<String>,
    /// Lines of which each was tried and helps.
    fixes: Vec<String>,
}

/// Tries every host.
///
/// # Errors
/// A host that cannot use the plugin (status 1); nothing to try (status 2).
pub fn run(options: &Doctor) -> Result<()> {
    let pythons = pythons(options)?;
    let mut hosts: Vec<Host> = hosts::on_path("h5repack").map(Host::Tools).into_iter().collect();
    for python in &pythons {
        for module in ["h5py", "netCDF4"] {
            hosts.push(Host::Python { python: python.clone(), module });
        }
    }
    let candidates = candidates(&pythons);
    let words = Settings::new(Bound::Absolute(hosts::BOUND)).to_words()?;
    let findings: Vec<Finding> = hosts.into_iter().map(|h| examine(h, &candidates, &words)).collect();
    let present = findings.iter().filter(|f| !f.trial.absent).count();
    report(options, &findings, &candidates);
    if present == 0 {
        return Err(Failure::new(
            "there is nothing to try: neither h5repack nor a Python with h5py or netCDF4 was found; \
             name a Python with --python",
        ));
    }
    let ill = findings.iter().filter(|f| !f.trial.absent && f.trial.problem.is_some()).count();
    if ill > 0 {
        return Err(Failure::broken(format!("{ill} of {present} cannot use the plugin")));
    }
    Ok(())
}

fn pythons(options: &Doctor) -> Result<Vec<PathBuf>> {
    if options.python.is_empty() {
        return Ok(hosts::on_path("python3").or_else(|| hosts::on_path("python")).into_iter().collect());
    }
    for python in &options.python {
        if !python.is_file() && hosts::on_path(&python.to_string_lossy()).is_none() {
            return Err(Failure::new(format!("--python {}: no such program", python.display())));
        }
    }
    Ok(options.python.clone())
}

/// Directories that hold the plugin, the best first: those that the user named, then those of this
/// installation.
fn candidates(pythons: &[PathBuf]) -> Vec<PathBuf> {
    let mut all = plugin::path_from_environment().unwrap_or_default();
    all.extend(plugin::beside_command());
    all.extend(pythons.iter().filter_map(|p| hosts::packaged_plugin(p)));
    let mut held: Vec<PathBuf> = Vec::new();
    for dir in all {
        if dir.join(plugin::FILE).is_file() && !held.contains(&dir) {
            held.push(dir);
        }
    }
    held
}

fn examine(host: Host, candidates: &[PathBuf], words: &[u32]) -> Finding {
    let trial = host.try_out(None, false, words);
    let path = trial.search_path.clone().or_else(plugin::path_from_environment).unwrap_or_default();
    let searched: Vec<(PathBuf, bool)> =
        path.into_iter().map(|d| (d.join(plugin::FILE).is_file(), d)).map(|(h, d)| (d, h)).collect();
    let mut finding = Finding { host, trial, searched, reason: None, fixes: Vec::new() };
    if finding.trial.absent || finding.trial.problem.is_none() {
        return finding;
    }
    finding.reason = Some(reason(&finding));
    finding.fixes = fixes(&finding, candidates, words);
    finding
}

/// Why the plugin cannot be used, as far as it can be told from outside.
fn reason(finding: &Finding) -> String {
    let problem = finding.trial.problem.clone().unwrap_or_default();
    if std::env::var("HDF5_PLUGIN_PRELOAD").is_ok_and(|v| v == "::") {
        return "HDF5_PLUGIN_PRELOAD is \"::\", which forbids all plugins".into();
    }
    let Some((dir, _)) = finding.searched.iter().find(|(_, holds)| *holds) else {
        let dirs: Vec<String> = finding.searched.iter().map(|(d, _)| d.display().to_string()).collect();
        let searched = match (dirs.is_empty(), std::env::var_os("HDF5_PLUGIN_PATH").is_some()) {
            (false, _) => dirs.join(", "),
            (true, true) => "HDF5_PLUGIN_PATH, which names no directory".into(),
            (true, false) => {
                "the directory that was compiled into this HDF5 (HDF5_PLUGIN_PATH is not set)".into()
            }
        };
        return format!("{} is not in {searched}", plugin::FILE);
    };
    match plugin::load(&dir.join(plugin::FILE)) {
        Err(e) => format!("{} cannot be loaded: {e}", dir.join(plugin::FILE).display()),
        Ok(()) => problem,
    }
}

/// Lines that make it work, the best first; each was tried.
fn fixes(finding: &Finding, candidates: &[PathBuf], words: &[u32]) -> Vec<String> {
    if std::env::var("HDF5_PLUGIN_PRELOAD").is_ok_and(|v| v == "::") {
        return vec!["unset HDF5_PLUGIN_PRELOAD".into()];
    }
    let helps = |dir: &&PathBuf| finding.host.try_out(Some(&export(dir).0), false, words).problem.is_none();
    let mut fixes: Vec<String> = candidates.iter().find(helps).map(|dir| export(dir).1).into_iter().collect();
    if let Host::Python { .. } = finding.host {
        if finding.host.try_out(None, true, words).problem.is_none() {
            fixes.push("import h5augur    # in Python, before the first file is opened".into());
        }
    }
    fixes
}

/// HDF5_PLUGIN_PATH with `dir` in front, as a value and as a line for the shell.
fn export(dir: &Path) -> (String, String) {
    let dir = dir.display().to_string();
    let quoted = if dir.contains([' ', '\'', '"', '$', '(', ')']) {
        format!("'{}'", dir.replace('\'', "'\\''"))
    } else {
        dir.clone()
    };
    match std::env::var("HDF5_PLUGIN_PATH") {
        Ok(now) if !now.is_empty() => {
            (format!("{dir}:{now}"), format!("export HDF5_PLUGIN_PATH={quoted}:$HDF5_PLUGIN_PATH"))
        }
        _ => (dir, format!("export HDF5_PLUGIN_PATH={quoted}")),
    }
}

fn report(options: &Doctor, findings: &[Finding], candidates: &[PathBuf]) {
    let checked: Vec<(&PathBuf, std::result::Result<(), String>)> =
        candidates.iter().map(|d| (d, plugin::load(&d.join(plugin::FILE)))).collect();
    if options.json {
        output::json(&json!({
            "hdf5_plugin_path": std::env::var("HDF5_PLUGIN_PATH").ok(),
            "plugins": checked.iter().map(|(dir, state)| json!({
                "path": dir.join(plugin::FILE).display().to_string(),
                "loads": state.is_ok(),
                "problem": state.as_ref().err(),
            })).collect::<Vec<_>>(),
            "models": models::json(),
            "hosts": findings.iter().map(finding_json).collect::<Vec<_>>(),
        }));
        return;
    }
    match std::env::var("HDF5_PLUGIN_PATH") {
        Ok(path) => println!("HDF5_PLUGIN_PATH: {path}"),
        Err(_) => println!("HDF5_PLUGIN_PATH: not set"),
    }
    for (dir, state) in &checked {
        let verdict = state.as_ref().map_or_else(|e| format!("does not load: {e}"), |()| "loads".into());
        println!("plugin: {} ({verdict})", dir.join(plugin::FILE).display());
    }
    if checked.is_empty() {
        println!("plugin: {} was found nowhere; build it (make build) or pip install h5augur", plugin::FILE);
    }
    for line in models::lines() {
        println!("{line}");
    }
    for f in findings {
        print_finding(f);
    }
}

fn print_finding(f: &Finding) {
    if f.trial.absent {
        println!("\n{}: not installed", f.host.name());
        return;
    }
    println!("\n{}: {}", f.host.name(), if f.trial.problem.is_none() { "works" } else { "DOES NOT WORK" });
    if let (Some(version), Host::Python { module, .. }) = (&f.trial.version, &f.host) {
        println!("  {module} {version}");
    }
    if let Some(version) = &f.trial.hdf5 {
        let library = f.trial.library.as_deref().map_or(String::new(), |l| format!(", {l}"));
        println!("  HDF5 {version}{library}");
    }
    for (dir, holds) in &f.searched {
        println!(
            "  searches {} ({})",
            dir.display(),
            if *holds { "has the plugin" } else { "has no plugin" }
        );
    }
    if let Some(problem) = &f.trial.problem {
        println!("  problem: {problem}");
    }
    if let Some(reason) = f.reason.as_ref().filter(|r| Some(*r) != f.trial.problem.as_ref()) {
        println!("  reason: {reason}");
    }
    if f.trial.problem.is_none() {
        return;
    }
    if f.fixes.is_empty() {
        println!("  no fix was found among the plugins that are here");
    } else {
        println!("  fix (tried, it helps):\n    {}", f.fixes.join("\n  or:\n    "));
    }
}

fn finding_json(f: &Finding) -> serde_json::Value {
    json!({
        "host": f.host.name(),
        "installed": !f.trial.absent,
        "works": !f.trial.absent && f.trial.problem.is_none(),
        "version": f.trial.version,
        "hdf5": f.trial.hdf5,
        "library": f.trial.library,
        "searches": f.searched.iter().map(|(d, h)| json!({
            "directory": d.display().to_string(), "has_plugin": h,
        })).collect::<Vec<_>>(),
        "problem": if f.trial.absent { None } else { f.trial.problem.clone() },
        "reason": f.reason,
        "fixes": f.fixes,
    })
}
