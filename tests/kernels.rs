//! The CUDA kernels through a host compiler: they compile without a warning, and those that the library
//! launches are those that the sources hold. What they compute is tested by `tests/cuda` on the stand-in
//! for a driver (bench/cuda/emulate.sh), or on a GPU. Skipped, saying so, where no compiler is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Names after `before` in a text, up to the next character that no name has.
fn names_after(text: &str, before: &str) -> BTreeSet<String> {
    let name = |(at, _): (usize, &str)| -> String {
        let rest = &text[at + before.len()..];
        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    };
    text.match_indices(before).map(name).filter(|name| !name.is_empty()).collect()
}

fn files(folder: &Path, ending: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder of kernels") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == ending) {
            found.push((path.clone(), std::fs::read_to_string(&path).expect("a source file is text")));
        }
    }
    assert!(!found.is_empty());
    found
}

#[test]
fn every_kernel_that_is_launched_stands_in_a_source() {
    let folder = root().join("src/nn/cuda");
    let mut defined = BTreeSet::new();
    for (_, text) in files(&folder, "cu") {
        let text = text.replace("__launch_bounds__(256) ", "");
        defined.extend(names_after(&text, "extern \"C\" __global__ void "));
    }
    let mut listed = BTreeSet::new();
    for (path, text) in files(&folder, "rs") {
        if path.ends_with("gpu.rs") {
            let table = text.split("const MODULES").nth(1).and_then(|rest| rest.split("];").next());
            let names = names_after(table.expect("the list of kernels"), "\"");
            listed.extend(names.into_iter().filter(|name| defined.contains(name)));
        }
    }
    assert_eq!(defined, listed, "gpu.rs lists the kernels of the sources");
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn kernels_compile_for_the_host() {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "g++".into());
    if Command::new(&compiler).arg("--version").output().is_err() {
        eprintln!("skipped: no C++ compiler `{compiler}`");
        return;
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        eprintln!("skipped: the stand-in is for x86-64 Linux");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let built =
        Command::new("bash").arg(root().join("bench/cuda/emulate/build.sh")).arg(folder.path()).output();
    let built = built.expect("bash runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    assert!(folder.path().join("libcublas.so.13").exists());
}
