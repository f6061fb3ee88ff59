//! `augur models show`: everything that a model says about itself.

use super::layers::{self, Graph};
use super::{find, Located};
use crate::failure::Result;
use crate::output;
use augur_core::network::Model;
use clap::Args;
use serde_json::{json, Map, Value};
use std::path::PathBuf;

/// Say what a model is: provenance, layers, size and cost
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  augur models show wind.safetensors
  augur models show wind.h5
  augur models show 3f9c2a11 --in wind.h5

MODEL is a model file, an HDF5 file that holds one, or the first 8 or more digits of a SHA-256, which is
looked for in the files of --in, AUGUR_MODEL_PATH and the user's store.")]
pub struct Show {
    /// Model file, HDF5 file, or SHA-256
    #[arg(value_name = "MODEL")]
    model: String,
    /// HDF5 file in which to look for a SHA-256; repeatable
    #[arg(long = "in", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What the metadata say in this order; other keys follow.
const ORDER: [&str; 13] = [
    "name",
    "architecture",
    "size",
    "bound",
    "data",
    "proportion",
    "steps",
    "seed",
    "date",
    "augur",
    "license",
    "command",
    "init",
];

/// Prints the model.
///
/// # Errors
/// No such model, or one that is not valid.
pub fn run(options: &Show) -> Result<()> {
    let Located { model, place } = find::one(&options.model, &options.files)?;
    let graphs = layers::graphs(&model);
    if options.json {
        let metadata: Map<String, Value> = described(&model)
            .map(|(k, v)| (k.to_string(), serde_json::from_str(v).unwrap_or_else(|_| json!(v))))
            .collect();
        output::json(&json!({
            "sha256": model.digest().to_string(),
            "bytes": model.bytes().len(),
            "place": place,
            "metadata": metadata,
            "graphs": graphs.iter().map(Graph::json).collect::<Vec<_>>(),
        }));
        return Ok(());
    }
    println!("sha256: {}", model.digest());
    println!("found in: {place}");
    println!("bytes: {}", model.bytes().len());
    for (key, value) in described(&model) {
        println!("{}: {}", output::plain(key), readable(value));
    }
    for graph in &graphs {
        print_graph(graph);
    }
    Ok(())
}

/// Name, architecture and size of a model in a few words.
pub fn title(model: &Model) -> String {
    let said: Vec<&str> = ["name", "architecture", "size"]
        .iter()
        .filter_map(|k| Some(model.metadata().get(*k)?.as_str()))
        .collect();
    let text = if said.is_empty() { "-".to_string() } else { said.join(", ") };
    output::plain(&text)
}

/// The metadata for people, in a fixed order.
fn described(model: &Model) -> impl Iterator<Item = (&str, &str)> {
    let all = model.metadata();
    let known = ORDER.iter().filter_map(|key| all.get_key_value(*key));
    let other = all.iter().filter(|(key, _)| {
        !ORDER.contains(&key.as_str()) && !["format", "version", "graphs"].contains(&key.as_str())
    });
    let all = known.chain(other).map(|(k, v)| (k.as_str(), v.as_str()));
    all.filter(|(_, v)| !v.is_empty() && *v != "[]")
}

/// A value on one line, without characters that a terminal would obey; a list of data sets as people write it.
fn readable(value: &str) -> String {
    let sets: Vec<String> = serde_json::from_str::<Vec<Value>>(value)
        .unwrap_or_default()
        .iter()
        .filter_map(|set| {
            let name = set["name"].as_str()?;
            Some(match set["sha256"].as_str() {
                Some(digest) => format!("{name} (sha256:{digest})"),
                None => name.to_string(),
            })
        })
        .collect();
    let text = if sets.is_empty() { value.to_string() } else { sets.join(", ") };
    output::plain(&text)
}

fn print_graph(graph: &Graph) {
    println!(
        "\n{}: {} layers, {} multiply-adds per point, {} of weights",
        output::plain(&graph.name),
        graph.layers.len(),
        output::number(graph.macs()),
        output::bytes(graph.bytes() as u64)
    );
    for (key, value) in &graph.keys {
        println!("  {}: {value}", output::plain(key));
    }
    let rows: Vec<Vec<String>> = graph
        .layers
        .iter()
        .enumerate()
        .map(|(k, l)| {
            let list = |numbers: &[usize], with: &str| {
                numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(with)
            };
            vec![
                k.to_string(),
                output::plain(&l.what),
                list(&l.inputs, ","),
                l.shape(),
                output::plain(&l.element),
                list(&l.weight, " x "),
                if l.bytes == 0 { String::new() } else { l.bytes.to_string() },
                if l.macs == 0.0 { String::new() } else { output::number(l.macs) },
            ]
        })
        .collect();
    output::table(&["", "layer", "reads", "gives", "type", "weights", "bytes", "per point"], &rows);
}
