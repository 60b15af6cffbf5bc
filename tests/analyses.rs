//! The analyses that ship with the program: every file parses, its values can be, its models and
//! tasks exist, and each has a demo variant and says what it asks.

use std::path::{Path, PathBuf};

use pifi_probe::data;
use pifi_probe::hub::ModelName;
use pifi_probe::sweep::collection::{Collection, Kind};

fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("analyses");
    let entries = std::fs::read_dir(&root).expect("the analyses can be listed");
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    assert!(folders.len() >= 11, "{folders:?}");
    folders
}

#[test]
fn every_analysis_declares_studies_that_can_be() {
    for folder in folders() {
        let path = folder.join("study.toml");
        let text = std::fs::read_to_string(&path).expect("it has a study.toml");
        assert!(
            text.starts_with("# ") && text.lines().next().is_some_and(|line| line.ends_with('?')),
            "{path:?}"
        );
        for demo in [false, true] {
            let collection =
                Collection::from_toml(&text, &path, demo).unwrap_or_else(|error| panic!("{error}"));
            for member in collection.members {
                let mut tasks = member.study.eval.clone();
                match &member.kind {
                    Kind::Transfer { train_on } => tasks.extend(train_on.iter().cloned()),
                    Kind::Layers { screen, keep } => {
                        tasks.push(member.study.task.clone());
                        let rungs = pifi_probe::sweep::screen::rungs(&member.study, *screen, *keep, 32);
                        assert!(rungs.is_ok(), "{path:?} {}: {rungs:?}", member.name);
                    }
                }
                for task in tasks {
                    assert!(data::resolve(&task).is_ok(), "{path:?}: {task}");
                    assert!(!demo || task.starts_with("demo"), "the demo of {path:?} needs the task {task}");
                }
                for model in [&member.study.llm, &member.study.slm] {
                    assert!(ModelName::parse(model).is_ok(), "{path:?}: {model}");
                    assert!(!demo || model == "demo", "the demo of {path:?} needs {model}");
                }
                let checked = member.study.check();
                assert!(checked.is_ok(), "{path:?} {}: {checked:?}", member.name);
            }
        }
    }
}

#[test]
fn every_analysis_says_what_it_asks_and_what_would_falsify_it() {
    for folder in folders() {
        let text = std::fs::read_to_string(folder.join("README.md")).expect("it has a README");
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        for part in
            ["**Question.**", "**Command.**", "**Cost.**", "**Caveats.**", "**What would falsify it.**"]
        {
            assert!(text.contains(part), "{name} has no {part}");
        }
        assert!(text.contains(&format!("pifi-probe analyze analyses/{name}")), "{name}");
    }
}
