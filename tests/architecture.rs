//! Holds the house to its invariants: floors, file length, headers, where printing happens, and no
//! call that cuts a gradient.

use std::path::{Path, PathBuf};

/// Modules by floor; a file may name modules of lower floors, and its own. `models` and `data`
/// stand on one floor and never import each other, nor do `hub` and `nn`; `error` lies under all.
const FLOORS: [&[&str]; 12] = [
    &["error"],
    &["words"],
    &["seed", "device", "usage"],
    &["hub", "nn"],
    &["models", "data"],
    &["train", "represent"],
    &["runs"],
    &["sweep"],
    &["analysis"],
    &["verify"],
    &["report"],
    &["cli"],
];

/// Upward or sideways imports that the design allows by name, with the reason.
const EXCEPTIONS: [(&str, &str); 0] = [];

const LONGEST_FILE: usize = 500;

fn sources(root: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(root)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a source folder can be read") {
            let path = entry.expect("a folder entry can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source file is text");
                found.push((path, text));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty());
    found
}

fn module(path: &Path) -> String {
    let below = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).expect("below src");
    let first = below.components().next().expect("a file has a name").as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|names| names.contains(&module))
}

/// The code of a file without its tests and comments.
fn code(text: &str) -> String {
    let before_tests = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    before_tests.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// `crate::NAME` paths of a piece of code, grouped imports included.
fn imports(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut name = String::new();
            for letter in group.chars() {
                match letter {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => names.push(std::mem::take(&mut name)),
                    _ if depth == 0 => name.push(letter),
                    _ => {}
                }
            }
            names.push(name);
        } else {
            names.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    names.iter().map(|name| name.trim().split("::").next().unwrap_or("").to_owned()).collect()
}

#[test]
fn imports_go_down_the_floors() {
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        let from = module(&path);
        let Some(from_floor) = floor(&from) else { continue };
        for to in imports(&code(&text)) {
            let Some(to_floor) = floor(&to) else { continue };
            let allowed = to == from || to_floor < from_floor || EXCEPTIONS.contains(&(&from, &to));
            if !allowed {
                wrong.push(format!("{} imports crate::{to}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_module_has_a_floor() {
    for (path, _) in sources("src") {
        let name = module(&path);
        assert!(["lib", "main"].contains(&name.as_str()) || floor(&name).is_some(), "{name} has no floor");
    }
}

#[test]
fn files_open_with_a_header_and_stay_short() {
    for root in ["src", "tests"] {
        for (path, text) in sources(root) {
            assert!(text.starts_with("//! "), "{} does not open with `//!`", path.display());
            let lines = text.lines().count();
            assert!(lines <= LONGEST_FILE, "{} has {lines} lines", path.display());
        }
    }
}

#[test]
fn only_cli_prints_reads_the_environment_and_exits() {
    let words = ["println!", "print!(", "std::env::", "env::var", "process::exit", "dbg!"];
    for (path, text) in sources("src") {
        if ["cli", "main"].contains(&module(&path).as_str()) {
            continue;
        }
        let code = code(&text);
        for word in words {
            // `env!` and friends are resolved by the compiler
            let found = code.match_indices(word).any(|(at, _)| !code[..at].ends_with("write"));
            assert!(!found, "{} uses `{word}`", path.display());
        }
    }
}

#[test]
fn no_call_cuts_a_gradient() {
    let words = [
        "softmax_last_dim",
        "rotary_emb::rope",
        "candle_nn::LayerNorm",
        "candle_nn::RmsNorm",
        "candle_nn::layer_norm",
        "candle_nn::rms_norm",
        "candle_transformers",
    ];
    for (path, text) in sources("src") {
        for word in words {
            assert!(!code(&text).contains(word), "{} uses `{word}`", path.display());
        }
    }
}

#[test]
fn modules_keep_to_their_trade() {
    let file_access = ["std::fs", "File::", "std::net", "ureq::"];
    for (path, text) in sources("src") {
        let module = module(&path);
        if ["nn", "models", "train", "analysis"].contains(&module.as_str()) {
            for word in file_access {
                assert!(!code(&text).contains(word), "{} uses `{word}`", path.display());
            }
        }
        if module == "nn" {
            for family in ["llama", "Llama", "bert", "qwen", "gemma"] {
                // the type of cuBLAS's algorithms holds a family's name by accident
                let text = code(&text).to_lowercase().replace("gemmalgo", "");
                let named = text.contains(&family.to_lowercase());
                assert!(!named, "{} names `{family}`", path.display());
            }
        }
        if module == "data" {
            for word in ["candle", "Tensor"] {
                assert!(!code(&text).contains(word), "{} sees a tensor", path.display());
            }
        }
        if module == "hub" {
            assert!(!code(&text).contains("crate::models"), "{} builds a model", path.display());
        }
    }
}
