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

/// The C++ compiler that builds the stand-in; says so where it cannot be built.
#[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
fn compiler() -> Option<String> {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "g++".into());
    if Command::new(&compiler).arg("--version").output().is_err() {
        eprintln!("skipped: no C++ compiler `{compiler}`");
        return None;
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        eprintln!("skipped: the stand-in is for x86-64 Linux");
        return None;
    }
    Some(compiler)
}

/// Builds the stand-in for a driver into a folder, plain or the one that counts.
fn build(traffic: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let script = root().join("bench/cuda/emulate/build.sh");
    let built = Command::new("bash").arg(script).arg(folder.path()).env("TRAFFIC", traffic).output();
    succeeded(&built.expect("bash runs"));
    folder
}

fn succeeded(output: &std::process::Output) {
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
}

#[test]
fn kernels_compile_for_the_host() {
    if compiler().is_some() {
        assert!(build("0").path().join("libcublas.so.13").exists());
    }
}

/// y += x over 1000 numbers, and a product `[8, 16]` of `[8, 4]` and `[4, 16]`, both of which begin at x.
const COUNTED: &str = r#"
#include <cstddef>
#include <cstdint>
extern "C" {
int cuMemAllocAsync(uint64_t *, size_t, void *);
int cuModuleGetFunction(void **, void *, const char *);
int cuLaunchKernel(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **, void **);
int cublasGemmEx(void *, int, int, int, int, int, const void *, const void *, int, int, const void *, int, int, const void *,
    void *, int, int, int, int);
}
int main() {
    uint64_t x = 0, y = 0, n = 1000;
    void *kernel = nullptr, *arguments[] = {&x, &y, &n};
    float one = 1.0f, zero = 0.0f;
    if (cuMemAllocAsync(&x, 4 * n, nullptr) || cuMemAllocAsync(&y, 4 * n, nullptr)) return 1;
    if (cuModuleGetFunction(&kernel, nullptr, "residual_add")) return 2;
    if (cuLaunchKernel(kernel, 2, 1, 1, 256, 1, 1, 0, nullptr, arguments, nullptr)) return 3;
    return cublasGemmEx(nullptr, 0, 0, 8, 16, 4, &one, (void *)x, 0, 8, (void *)x, 0, 4, &zero, (void *)y, 0, 8, 0, 0);
}
"#;

#[test]
fn every_sector_counts_once_a_launch() {
    let Some(compiler) = compiler() else { return };
    let folder = build("1");
    let [source, program, sums] = ["main.cpp", "main", "sums.tsv"].map(|name| folder.path().join(name));
    std::fs::write(&source, COUNTED).expect("the folder is ours");
    let mut compile = Command::new(compiler);
    compile.arg(&source).arg("-o").arg(&program).arg("-L").arg(folder.path()).arg("-l:libcuda.so.1");
    succeeded(&compile.output().expect("a compiler"));
    let run =
        Command::new(&program).env("LD_LIBRARY_PATH", folder.path()).env("EMULATED_TRAFFIC", &sums).output();
    succeeded(&run.expect("the program was built"));
    let sums = std::fs::read_to_string(sums).expect("the sums of the run");
    let expected = ["product, f32\t1\t256\t512\t1024", "residual_add\t1\t8000\t4000\t0"];
    assert_eq!(sums.lines().collect::<Vec<_>>(), expected);
}
