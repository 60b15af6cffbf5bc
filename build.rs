//! With the feature `cuda`: compiles the kernels under `src/nn/cuda` to PTX. Otherwise nothing.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const KERNELS: &str = "src/nn/cuda";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    println!("cargo:rerun-if-changed={KERNELS}");
    for name in ["NVCC", "CUDA_HOME", "CUDA_COMPUTE_CAP"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    if let Err(problem) = compile_all() {
        println!("cargo:error=CUDA kernels: {problem}");
        println!("cargo:error=bench/cuda/build-cuda.sh brings the compiler that this needs");
        std::process::exit(1);
    }
}

fn compile_all() -> Result<(), String> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);
    let entries = fs::read_dir(KERNELS).map_err(|error| format!("{KERNELS}: {error}"))?;
    for entry in entries {
        let path = entry.map_err(|error| format!("{KERNELS}: {error}"))?.path();
        if path.extension().is_some_and(|extension| extension == "cu") {
            compile(&path, &out)?;
        }
    }
    Ok(())
}

/// PTX for the general architecture, so that later chips run it too. No contraction into fused
/// multiply-adds: elementwise results stay those of the CPU.
fn compile(source: &Path, out: &Path) -> Result<(), String> {
    let nvcc = env::var("NVCC")
        .or_else(|_| env::var("CUDA_HOME").map(|home| format!("{home}/bin/nvcc")))
        .unwrap_or_else(|_| "nvcc".into());
    let capability = env::var("CUDA_COMPUTE_CAP").unwrap_or_else(|_| "80".into());
    let target = out.join(source.file_name().ok_or("no name")?).with_extension("ptx");
    let status = Command::new(&nvcc)
        .args(["-O3", "-std=c++17", "--fmad=false", "--ptx", &format!("-arch=compute_{capability}")])
        .arg(source)
        .arg("-o")
        .arg(target)
        .status()
        .map_err(|error| format!("{nvcc}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{}: {nvcc} gave {status}", source.display())) }
}
