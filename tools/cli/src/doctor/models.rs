//! Which models this environment finds.

use crate::models::find::{self, Filed, Folder};
use augur_filter::models::store;
use serde_json::{json, Value};

/// What is known of each folder that is searched, for people.
pub fn lines() -> Vec<String> {
    let folders = find::folders();
    let mut lines = Vec::new();
    if !folders.iter().any(|f| !f.is_store) {
        lines.push(format!("{}: not set", store::PATH_VARIABLE));
    }
    for folder in folders {
        let role = if folder.is_store { "model store" } else { store::PATH_VARIABLE };
        let place = format!("{role}: {}", folder.path.display());
        let Some(files) = folder.files() else {
            lines.push(format!("{place} (does not exist)"));
            continue;
        };
        let good = files.iter().filter(|f| f.model.is_ok()).count();
        lines.push(format!("{place} ({good} {})", if good == 1 { "model" } else { "models" }));
        lines.extend(files.iter().map(|f| format!("  {}", file_text(f))));
    }
    lines
}

fn file_text(file: &Filed) -> String {
    let name = file.path.file_name().unwrap_or_default().to_string_lossy();
    match &file.model {
        Ok(model) => {
            let title = crate::models::show::title(model);
            format!("{}: {title}", &model.digest().to_string()[..16])
        }
        Err(problem) => format!("{name} DOES NOT COUNT: {problem}"),
    }
}

/// The same for programs.
pub fn json() -> Value {
    find::folders().iter().map(folder_json).collect()
}

fn folder_json(folder: &Folder) -> Value {
    let files = folder.files();
    json!({
        "path": folder.path.display().to_string(),
        "role": folder.role(),
        "exists": files.is_some(),
        "files": files.unwrap_or_default().iter().map(|f| json!({
            "path": f.path.display().to_string(),
            "sha256": f.model.as_ref().ok().map(|m| m.digest().to_string()),
            "problem": f.model.as_ref().err(),
        })).collect::<Vec<_>>(),
    })
}
