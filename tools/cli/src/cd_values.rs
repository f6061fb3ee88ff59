//! `augur cd-values`: the filter's parameters in the words of every tool that takes them.

use crate::failure::Result;
use crate::models::find;
use crate::options::{bound_json, bound_text, preset_text, windows_json, BoundOptions};
use crate::output;
use augur_filter::{Settings, FILTER_ID};
use clap::Args;

/// Print the filter parameters for h5repack, nccopy, CDL, h5py and C
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  augur cd-values --absolute 1e-3
  augur cd-values --relative 1e-4 --fill-value -999
  augur cd-values --pointwise-relative 0.01 --floor 1e-6 --json
  augur cd-values --absolute 0.01 --model wind.safetensors
  augur cd-values --relative 0.01 --preset tezip --window 8

With a model the words only name it. It must be found when chunks are written and read: in the file (augur models
embed), in a folder of AUGUR_MODEL_PATH, or in the user's store (augur models add).

Exit status: 0, or 2 when the options make no sense.")]
pub struct CdValues {
    #[command(flatten)]
    bound: BoundOptions,
    /// Name to put in the lines that need a variable's or dataset's name
    #[arg(long, value_name = "NAME", default_value = "var")]
    name: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the lines.
///
/// # Errors
/// Options that make no sense.
pub fn run(options: &CdValues) -> Result<()> {
    let model = options.bound.model().map(|text| find::prefix(text, &[])).transpose()?;
    let settings = options.bound.settings(model)?;
    let words = settings.to_words()?;
    // The threshold of key frames as the words hold it.
    let settings = Settings::from_words(&words)?;
    let name = &options.name;
    let commas = words.iter().map(u32::to_string).collect::<Vec<_>>();
    let (list, spaced) = (commas.join(","), commas.join(", "));
    let one_tuple = if words.len() == 1 { "," } else { "" };
    let n = words.len();
    let lines = [
        ("h5repack", format!("h5repack -f {name}:UD={FILTER_ID},0,{n},{list} IN OUT")),
        ("h5repack, all datasets", format!("h5repack -f UD={FILTER_ID},0,{n},{list} IN OUT")),
        ("nccopy", format!("nccopy -F '{name},{FILTER_ID},{list}' IN OUT")),
        ("CDL", format!("{name}:_Filter = \"{FILTER_ID},{list}\" ;")),
        ("h5py", format!("compression={FILTER_ID}, compression_opts=({spaced}{one_tuple})")),
        (
            "C",
            format!(
                "const unsigned cd[] = {{{}}}; H5Pset_filter(dcpl, {FILTER_ID}, H5Z_FLAG_MANDATORY, {n}, cd);",
                words.iter().map(|w| format!("{w}u")).collect::<Vec<_>>().join(", ")
            ),
        ),
    ];
    if options.json {
        output::json(&serde_json::json!({
            "filter": FILTER_ID,
            "cd_values": words,
            "preset": settings.preset.name(),
            "windows": windows_json(&settings),
            "model": settings.model.as_ref().map(find::half),
            "bound": bound_json(&settings.bound),
            "lines": {
                "h5repack": lines[0].1, "h5repack_all": lines[1].1, "nccopy": lines[2].1,
                "cdl": lines[3].1, "h5py": lines[4].1, "c": lines[5].1,
            },
        }));
        return Ok(());
    }
    let model = match &settings.model {
        Some(prefix) => format!(", model sha256:{}...", find::half(prefix)),
        None => String::new(),
    };
    println!("{}, preset {}{model}", bound_text(&settings.bound), preset_text(&settings));
    println!("cd_values: {}", commas.join(" "));
    for (tool, line) in lines {
        println!("\n{tool}:\n  {line}");
    }
    Ok(())
}
