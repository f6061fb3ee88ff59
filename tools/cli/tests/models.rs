//! `augur models`, and models in `convert`, `cd-values`, `inspect`, `verify` and `doctor`.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;
use common::{augur, command, files, finish, models, Ran, Scratch};
use serde_json::Value;
use std::path::Path;

/// A directory with `in.h5`, the model that forecasts it in `m.safetensors`, and the model's digest.
fn prepared() -> (Scratch, String) {
    let scratch = Scratch::new();
    models::sample(&scratch.file("in.h5"));
    let model = models::shifting("shift");
    std::fs::write(scratch.file("m.safetensors"), model.bytes()).unwrap();
    (scratch, model.digest().to_string())
}

fn run(scratch: &Scratch, arguments: &str) -> Ran {
    augur(scratch.path(), &arguments.split(' ').collect::<Vec<_>>())
}

/// A dataset's entry in what `inspect --json` says.
fn inspected(scratch: &Scratch, file: &str, path: &str) -> Value {
    let json = run(scratch, &format!("inspect {file} --chunks --json")).json();
    json["datasets"].as_array().unwrap().iter().find(|d| d["path"] == path).unwrap().clone()
}

fn embedded(scratch: &Scratch, file: &str) -> Vec<String> {
    let json = run(scratch, &format!("models list {file} --json")).json();
    let all = json["models"].as_array().unwrap();
    let inside = all.iter().filter(|m| m["role"] == "file");
    inside.map(|m| m["sha256"].as_str().unwrap_or("damaged").to_string()).collect()
}

#[test]
fn convert_puts_the_model_into_the_file_and_gains_by_it() {
    let (scratch, digest) = prepared();
    run(&scratch, "convert in.h5 plain.h5 --absolute 0.05").ok();
    let json =
        run(&scratch, "convert in.h5 out.h5 --absolute 0.05 --model m.safetensors --verify --json").json();
    assert_eq!(json["datasets"][0]["model"], digest);
    assert_eq!(json["datasets"][0]["chunks_with_model"], 1);
    assert_eq!(embedded(&scratch, "out.h5"), std::slice::from_ref(&digest), "once for both datasets");
    // Nothing but the file itself is left.
    std::fs::remove_file(scratch.file("m.safetensors")).unwrap();
    for path in ["/u", "/group/v"] {
        let (plain, learned) = (inspected(&scratch, "plain.h5", path), inspected(&scratch, "out.h5", path));
        let ratio = |v: &Value| v["ratio"].as_f64().unwrap();
        assert!(ratio(&learned) > 1.3 * ratio(&plain), "{learned} {plain}");
        assert_eq!(learned["augur"]["preset"], "learned");
        let uses = learned["augur"]["models"].as_array().unwrap();
        let by: Vec<&str> = uses.iter().map(|u| u["by"].as_str().unwrap()).collect();
        assert_eq!(by, ["cd_values", "attribute", "chunks"]);
        assert!(uses
            .iter()
            .all(|u| u["sha256"] == digest && u["found"] == format!("/_augur/models/{digest}")));
    }
    run(&scratch, "verify in.h5 out.h5").ok();
    let text = run(&scratch, "inspect out.h5").ok();
    assert!(text.contains("this file") && text.contains("shift, one convolution, small"), "{text}");
}

#[test]
fn a_model_that_gains_nothing_is_told() {
    let (scratch, digest) = prepared();
    {
        let file = files::create(&scratch.file("still.h5"));
        // Noise, of which nothing can be forecast.
        let mut state = 1u64;
        let noise = |wave: f32| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            wave + (state >> 40) as f32 / (1u64 << 24) as f32
        };
        let values: Vec<f32> = files::wave(files::SHAPE).into_iter().map(noise).collect();
        files::floats(file.id.0, c"u", &files::Plan::contiguous(&files::SHAPE), &values);
    }
    let text = run(&scratch, "convert still.h5 out.h5 --absolute 0.001 --model m.safetensors").ok();
    assert!(
        text.contains(&format!("sha256:{digest}, which 0 of 1 chunks need: it gains nothing here")),
        "{text}"
    );
    // Nothing but the model and its attribute is between both.
    run(&scratch, "convert still.h5 plain.h5 --absolute 0.001").ok();
    let stored = |file| inspected(&scratch, file, "/u")["stored_bytes"].as_u64().unwrap();
    assert_eq!(stored("out.h5"), stored("plain.h5"));
}

#[test]
fn convert_takes_the_models_that_attributes_name() {
    let (scratch, digest) = prepared();
    run(&scratch, "models embed m.safetensors in.h5 -d u").ok();
    {
        // Relative to the file that is read, not to the one that is made.
        std::fs::create_dir(scratch.file("elsewhere")).unwrap();
        let file = files::change(&scratch.file("in.h5"));
        files::text(&file, c"/group/v", c"augur_model", "m.safetensors");
    }
    run(&scratch, "convert in.h5 elsewhere/out.h5 --absolute 0.05 --model attribute").ok();
    assert_eq!(embedded(&scratch, "elsewhere/out.h5"), std::slice::from_ref(&digest));
    for path in ["/u", "/group/v"] {
        let uses = inspected(&scratch, "elsewhere/out.h5", path)["augur"]["models"].clone();
        let by: Vec<&str> = uses.as_array().unwrap().iter().map(|u| u["by"].as_str().unwrap()).collect();
        assert_eq!(by, ["attribute", "chunks"], "{path}");
        assert_eq!(uses[1]["named"], format!("sha256:{digest}"));
    }
    run(&scratch, "verify in.h5 elsewhere/out.h5").ok();
}

#[test]
fn datasets_that_name_no_model_are_balanced() {
    let (scratch, digest) = prepared();
    run(&scratch, "models embed m.safetensors in.h5 -d u").ok();
    let strict = run(&scratch, "convert in.h5 out.h5 --absolute 0.05 --model attribute --strict");
    strict.fails(2, &["/group/v", "--strict"]);
    let ran = run(&scratch, "convert in.h5 out.h5 --absolute 0.05 --model attribute");
    assert_eq!(ran.err, "", "nothing to warn about");
    assert!(ran.ok().contains("/group/v names no model"));
    let preset = |path| inspected(&scratch, "out.h5", path)["augur"]["preset"].clone();
    assert_eq!((preset("/u"), preset("/group/v")), ("learned".into(), "balanced".into()));
    assert_eq!(
        inspected(&scratch, "out.h5", "/u")["augur"]["models"][1]["named"],
        format!("sha256:{digest}")
    );
    // What is no name at all is refused, with the attribute.
    {
        let file = files::change(&scratch.file("in.h5"));
        files::number_at(&file, c"/group/v", c"augur_model", 7);
    }
    let failed = run(&scratch, "convert in.h5 no.h5 --absolute 0.05 --model attribute");
    failed.fails(2, &["/group/v", "attribute augur_model", "it is empty"]);
    assert!(run(&scratch, "models list in.h5").ok().contains("in.h5:/_augur"));
}

#[test]
fn tezip_does_with_a_model_and_without_one() {
    let (scratch, shifting) = prepared();
    let remembering = models::remembering();
    std::fs::write(scratch.file("r.safetensors"), remembering.bytes()).unwrap();
    let remembering = remembering.digest().to_string();
    let plain = run(&scratch, "convert in.h5 plain.h5 --absolute 0.2 --preset tezip --verify");
    assert!(plain.err.contains("predicted by the frame before alone"), "{}", plain.err);
    let text = plain.ok();
    assert!(!text.contains("balanced"), "{text}");
    for (preset, more) in [("tezip", " --window 12 --warm-up 2"), ("tezip+", "")] {
        for (file, digest) in [("m.safetensors", &shifting), ("r.safetensors", &remembering)] {
            let ran = run(
                &scratch,
                &format!("convert in.h5 out.h5 --force --absolute 0.2 --preset {preset} --model {file} --strict{more} --verify"),
            );
            assert_eq!(ran.err, "", "{preset} {file}");
            let text = ran.ok();
            assert!(text.contains("2 of 2 chunks need"), "{preset} {file}: {text}");
            for path in ["/u", "/group/v"] {
                let (before, with) =
                    (inspected(&scratch, "plain.h5", path), inspected(&scratch, "out.h5", path));
                assert_eq!(before["augur"]["preset"], "tezip");
                assert_eq!(with["augur"]["preset"], preset);
                let uses = with["augur"]["models"].as_array().unwrap();
                assert!(uses.len() == 3 && uses.iter().all(|u| u["sha256"] == **digest), "{uses:?}");
                let ratio = |v: &Value| v["ratio"].as_f64().unwrap();
                assert!(ratio(&with) > 1.2 * ratio(&before), "{preset} {file}: {with} {before}");
                let windows = &with["augur"]["windows"];
                match preset {
                    "tezip" => assert_eq!(
                        (windows["window"].as_u64(), windows["warm_up"].as_u64()),
                        (Some(12), Some(2))
                    ),
                    _ => assert!(windows.is_null()),
                }
            }
            run(&scratch, "verify in.h5 out.h5").ok();
        }
        let text = run(&scratch, "inspect out.h5").ok();
        let how =
            if preset == "tezip" { "tezip, key frame every 12 steps, warm-up 2 steps" } else { "tezip+" };
        assert!(text.contains(how) && text.contains("memory"), "{text}");
    }
}

#[test]
fn what_has_the_place_of_a_model_is_not_lost() {
    let scratch = Scratch::new();
    models::sample(&scratch.file("in.h5"));
    {
        let file = files::change(&scratch.file("in.h5"));
        files::floats(file.id.0, c"_augur", &files::Plan::contiguous(&[4]), &[1.0; 4]);
    }
    std::fs::write(scratch.file("m"), models::shifting("m").bytes()).unwrap();
    run(&scratch, "convert in.h5 out.h5 --absolute 0.05 --model m").fails(2, &["/_augur", "rename it first"]);
    assert!(!scratch.file("out.h5").exists());
    run(&scratch, "models embed m in.h5").fails(2, &["_augur is no group"]);
    run(&scratch, "models gc in.h5").ok();
    run(&scratch, "convert in.h5 out.h5 --absolute 0.05").ok();
    assert_eq!(files::read_floats(&files::open(&scratch.file("out.h5")), c"/_augur"), [1.0; 4]);
}

#[test]
fn models_in_the_source_stay_as_they_are() {
    let (scratch, digest) = prepared();
    let large = models::shifting(&"x".repeat(40_000));
    std::fs::write(scratch.file("large.safetensors"), large.bytes()).unwrap();
    run(&scratch, "models embed large.safetensors in.h5").ok();
    let text = run(&scratch, "convert in.h5 out.h5 --absolute 0.05 --model m.safetensors").ok();
    assert!(text.contains("(a model)"), "{text}");
    let mut held = embedded(&scratch, "out.h5");
    held.sort();
    let mut both = [large.digest().to_string(), digest];
    both.sort();
    assert_eq!(held, both);
    let failed =
        run(&scratch, &format!("convert in.h5 no.h5 --absolute 1 -d _augur/models/{}", large.digest()));
    failed.fails(2, &["cannot be compressed: a model"]);
}

#[test]
fn a_missing_model_is_named_and_one_in_the_store_is_found() {
    let (scratch, digest) = prepared();
    run(&scratch, "convert in.h5 out.h5 --absolute 0.05 --model m.safetensors").ok();
    {
        let file = files::change(&scratch.file("out.h5"));
        files::unlink(&file, c"/_augur");
    }
    let text = run(&scratch, "inspect out.h5").ok();
    assert!(text.contains("NOT FOUND"), "{text}");
    let ran = run(&scratch, "verify in.h5 out.h5");
    assert!(ran.out.contains(&digest) && ran.out.contains("AUGUR_MODEL_PATH"), "{}", ran.out);
    ran.fails(2, &["2 of 2 datasets could not be compared"]);
    run(&scratch, "models add m.safetensors").ok();
    run(&scratch, "verify in.h5 out.h5").ok();
    let place = inspected(&scratch, "out.h5", "/u")["augur"]["models"][0]["found"].clone();
    assert!(place.as_str().unwrap().ends_with(&format!("store/{digest}.safetensors")), "{place}");
    // By another way to the same end.
    run(&scratch, &format!("models remove {}", &digest[..12])).ok();
    run(&scratch, "verify in.h5 out.h5").fails(2, &["could not be compared"]);
    let arguments = ["verify", "in.h5", "out.h5"];
    finish(command(scratch.path()).env("AUGUR_MODEL_PATH", scratch.path()).args(arguments)).ok();
    run(&scratch, "models embed m.safetensors out.h5").ok();
    run(&scratch, "verify in.h5 out.h5").ok();
}

#[test]
fn a_model_says_what_it_is() {
    let (scratch, digest) = prepared();
    let json = run(&scratch, "models show m.safetensors --json").json();
    assert_eq!(json["sha256"], digest);
    assert_eq!(json["metadata"]["architecture"], "one convolution");
    assert_eq!(json["metadata"]["data"][0]["name"], "wind.h5:/u");
    let graph = &json["graphs"][0];
    assert_eq!(graph["name"], "forecaster");
    assert_eq!(graph["keys"]["frames"], 2);
    assert_eq!(graph["multiply_adds_per_point"], 189.0);
    assert_eq!(graph["layers"][1]["weight"], serde_json::json!([1, 3, 7, 9]));
    assert_eq!(graph["bytes"], 189 + 4 + 4 + 1);
    let text = run(&scratch, "models show m.safetensors").ok();
    for part in
        ["wind.h5:/u (sha256:00ff)", "CC0-1.0", "conv2d 7x9", "189.0 multiply-adds per point", &digest]
    {
        assert!(text.contains(part), "{part} expected in\n{text}");
    }
    run(&scratch, "models show gone").fails(2, &["gone: no such file"]);
    run(&scratch, "models show in.h5").fails(2, &["in.h5 holds no model"]);
    std::fs::write(scratch.file("bad"), &models::shifting("x").bytes()[..300]).unwrap();
    run(&scratch, "models show bad").fails(2, &["bad is no model"]);
    run(&scratch, &format!("models show {}", &digest[..10]))
        .fails(2, &["no model whose SHA-256 begins with", "AUGUR_MODEL_PATH", "store"]);
}

#[test]
fn embedding_twice_changes_nothing_and_extracting_gives_the_same_bytes() {
    let (scratch, digest) = prepared();
    let json = run(&scratch, "models embed m.safetensors in.h5 -d group/* --json").json();
    assert_eq!((&json["new"], &json["datasets"][0]), (&true.into(), &"/group/v".into()));
    let size = || std::fs::metadata(scratch.file("in.h5")).unwrap().len();
    let before = size();
    assert_eq!(run(&scratch, "models embed m.safetensors in.h5 --json").json()["new"], false);
    assert_eq!(size(), before);
    run(&scratch, "models embed m.safetensors in.h5 -d w").fails(2, &["no dataset of in.h5 matches \"w\""]);
    // The file itself tells what a few digits mean.
    run(&scratch, &format!("models embed {} in.h5 -d u", &digest[..8])).ok();
    run(&scratch, "models extract in.h5 -o again").ok();
    let original = std::fs::read(scratch.file("m.safetensors")).unwrap();
    assert_eq!(std::fs::read(scratch.file("again")).unwrap(), original);
    run(&scratch, "models extract in.h5 -o again").fails(2, &["again exists", "--force"]);
    run(&scratch, "models extract in.h5 -o again --force").ok();
    run(&scratch, "models extract in.h5 ffffffff").fails(2, &["holds no model that begins with ffffffff"]);
    // A large one is compressed where that helps.
    let large = models::shifting(&"y".repeat(30_000));
    std::fs::write(scratch.file("large"), large.bytes()).unwrap();
    run(&scratch, "models embed large in.h5").ok();
    let json = run(&scratch, "models list in.h5 --json").json();
    let entry = json["models"].as_array().unwrap().iter().find(|m| m["sha256"] == large.digest().to_string());
    assert!(entry.unwrap()["stored_bytes"].as_u64().unwrap() < 2_000, "{json}");
    run(&scratch, "models extract in.h5").fails(2, &["holds several models"]);
    run(&scratch, &format!("models extract in.h5 {}", large.digest())).ok();
    let name = format!("{}.safetensors", large.digest());
    assert_eq!(std::fs::read(scratch.file(&name)).unwrap(), large.bytes());
}

#[test]
fn the_store_takes_models_and_nothing_else() {
    let (scratch, digest) = prepared();
    run(&scratch, "models add in.h5").fails(2, &["in.h5 holds no model"]);
    run(&scratch, "models embed m.safetensors in.h5").ok();
    let path = run(&scratch, "models add in.h5 m.safetensors").ok();
    assert_eq!(path.lines().count(), 2);
    assert!(path.lines().all(|l| l.ends_with(&format!("store/{digest}.safetensors"))), "{path}");
    // A file under a wrong name, one that is cut off, and what a copy left that was interrupted.
    let store = scratch.file("store");
    let other = models::shifting("other");
    let wrong = "0".repeat(64);
    std::fs::write(store.join(format!("{wrong}.safetensors")), other.bytes()).unwrap();
    std::fs::write(store.join(format!("{}.safetensors", other.digest())), &other.bytes()[..400]).unwrap();
    std::fs::write(store.join(format!("{digest}.4194305.part")), b"half").unwrap();
    std::fs::write(store.join(format!("{digest}.{}.part", std::process::id())), b"half").unwrap();
    let text = run(&scratch, "models list").ok();
    assert_eq!(text.matches("DOES NOT COUNT").count(), 2, "{text}");
    assert!(text.contains("not its name"), "{text}");
    let count = |dir: &Path| std::fs::read_dir(dir).unwrap().count();
    let json = run(&scratch, "models gc --store --dry-run --json").json();
    assert_eq!((json["removed"].as_array().unwrap().len(), count(&store)), (3, 5), "{json}");
    run(&scratch, "models gc --store").ok();
    assert_eq!(count(&store), 2, "the model, and a copy that is still under way");
    run(&scratch, "models remove 00000000").fails(2, &["holds no model"]);
    run(&scratch, "models remove xyz").fails(2, &["is no SHA-256"]);
    run(&scratch, &format!("models remove sha256:{digest}")).ok();
    assert_eq!(run(&scratch, "models list --json").json()["models"], serde_json::json!([]));
}

#[test]
fn only_models_that_nothing_needs_are_removed_from_a_file() {
    let (scratch, digest) = prepared();
    run(&scratch, "convert in.h5 out.h5 --absolute 0.05 --model m.safetensors").ok();
    let other = models::shifting("other");
    std::fs::write(scratch.file("other"), other.bytes()).unwrap();
    run(&scratch, "models embed other out.h5").ok();
    {
        // Somebody's own, beside them.
        let file = files::change(&scratch.file("out.h5"));
        let plan = files::Plan::contiguous(&[4]);
        files::floats(file.id.0, c"/_augur/models/notes", &plan, &[2.0; 4]);
    }
    let text = run(&scratch, "models gc out.h5 --dry-run").ok();
    assert!(text.contains(&format!("would remove {}", other.digest())), "{text}");
    assert_eq!(embedded(&scratch, "out.h5").len(), 3);
    // Chunks alone hold on to it, too.
    {
        let file = files::change(&scratch.file("out.h5"));
        for path in [c"/u", c"/group/v"] {
            files::unset(&file, path, c"augur_model");
        }
    }
    let json = run(&scratch, "models gc out.h5 --json").json();
    assert_eq!(json["removed"][0]["what"], other.digest().to_string());
    assert_eq!(json["removed"].as_array().unwrap().len(), 1);
    assert_eq!(embedded(&scratch, "out.h5"), [digest, "damaged".into()]);
    run(&scratch, "verify in.h5 out.h5 -d u -d v").ok();
    // An attribute alone holds on to it.
    run(&scratch, "models embed other in.h5 -d u").ok();
    assert!(run(&scratch, "models gc in.h5").ok().contains("nothing to remove"));
    {
        let file = files::change(&scratch.file("in.h5"));
        files::unset(&file, c"/u", c"augur_model");
    }
    run(&scratch, "models gc in.h5").ok();
    assert!(!files::link_names(&files::open(&scratch.file("in.h5")), c"/").contains(&"_augur".to_string()));
}

#[test]
fn nothing_is_removed_while_a_chunk_does_not_tell_what_it_needs() {
    let (scratch, _) = prepared();
    run(&scratch, "convert in.h5 out.h5 --absolute 0.05").ok();
    run(&scratch, "models embed m.safetensors out.h5").ok();
    let mut bytes = std::fs::read(scratch.file("out.h5")).unwrap();
    let start = bytes.windows(4).position(|w| w == b"\x89AGR").unwrap();
    bytes[start + 200] ^= 0x10;
    std::fs::write(scratch.file("bad.h5"), bytes).unwrap();
    run(&scratch, "models gc bad.h5").fails(2, &["bad.h5: nothing was removed", "chunk at [0, 0, 0]"]);
    assert_eq!(embedded(&scratch, "bad.h5").len(), 1);
}

#[test]
fn words_name_the_model() {
    let (scratch, digest) = prepared();
    let words = |ran: Ran| -> Vec<u32> {
        ran.json()["cd_values"].as_array().unwrap().iter().map(|w| w.as_u64().unwrap() as u32).collect()
    };
    let by_file = words(run(&scratch, "cd-values --absolute 1 --model m.safetensors --json"));
    let settings = augur_filter::Settings::from_words(&by_file).unwrap();
    assert_eq!(settings.preset, augur_core::Preset::Learned);
    assert_eq!(settings.model, Some(digest.parse::<augur_core::Digest>().unwrap().prefix()));
    // A whole digest needs no file.
    let arguments = format!("cd-values --absolute 1 --model sha256:{digest} --json");
    assert_eq!(words(run(&scratch, &arguments)), by_file);
    let strict = words(run(&scratch, "cd-values --absolute 1 --model attribute --strict --json"));
    assert_eq!(strict[0], 1 | 3 << 8 | 1 << 26);
    assert_eq!(strict.len(), 4);
    run(&scratch, "cd-values --absolute 1 --preset fast --model attribute")
        .fails(2, &["--preset fast uses no model"]);
    run(&scratch, "cd-values --absolute 1 --strict").fails(2, &["--strict is about models"]);
    run(&scratch, "cd-values --absolute 1 --model 0123456789")
        .fails(2, &["no model whose SHA-256 begins with"]);
}

#[test]
fn doctor_says_which_models_are_there() {
    let (scratch, digest) = prepared();
    run(&scratch, "models add m.safetensors").ok();
    let doctor = |arguments: &[&str]| {
        let folders = format!("{}:/no/such/folder", scratch.path().display());
        let mut command = command(scratch.path());
        finish(
            command
                .env("PATH", scratch.path())
                .env("AUGUR_MODEL_PATH", folders)
                .arg("doctor")
                .args(arguments),
        )
    };
    let ran = doctor(&[]);
    assert!(ran.out.contains("AUGUR_MODEL_PATH: /no/such/folder (does not exist)"), "{}", ran.out);
    assert_eq!(ran.out.matches("(1 model)").count(), 2, "{}", ran.out);
    let json: Value = serde_json::from_str(&doctor(&["--json"]).out).unwrap();
    assert_eq!(json["models"][2]["role"], "store");
    assert_eq!(json["models"][2]["files"][0]["sha256"], digest);
}
