//! What this machine is and has.

use std::collections::BTreeMap;

use super::error::Error;
use crate::error::Failure;

/// Processor cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Starts the pool that all computations share.
///
/// # Errors
/// When the system has no threads left.
pub(crate) fn start_threads(threads: usize) -> Result<(), Failure> {
    let built = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    built.map_err(|error| Error::Threads { threads, reason: error.to_string() }.into())
}

/// Bytes of memory that are free for use: the smaller of what the system and the control group
/// leave. `None` where the system does not tell.
pub(crate) fn available_memory() -> Option<u64> {
    let system = meminfo("MemAvailable");
    [system, group_memory()].into_iter().flatten().min()
}

/// Bytes of memory of the machine.
pub(crate) fn total_memory() -> Option<u64> {
    meminfo("MemTotal")
}

fn meminfo(field: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// What a control group (a container, a Slurm job) leaves, version 2.
fn group_memory() -> Option<u64> {
    let number = |name: &str| -> Option<u64> {
        std::fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok()?.trim().parse().ok()
    };
    // `max` is no number: no limit
    Some(number("memory.max")?.saturating_sub(number("memory.current")?))
}

/// The processor's name.
pub(crate) fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// Vector instructions that the kernels can use.
#[cfg(target_arch = "x86_64")]
pub(crate) fn instructions() -> Vec<&'static str> {
    let found = [
        ("AVX2", std::arch::is_x86_feature_detected!("avx2")),
        ("FMA", std::arch::is_x86_feature_detected!("fma")),
        ("AVX-512", std::arch::is_x86_feature_detected!("avx512f")),
    ];
    found.into_iter().filter_map(|(name, has)| has.then_some(name)).collect()
}

/// Vector instructions that the kernels can use.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn instructions() -> Vec<&'static str> {
    if std::env::consts::ARCH == "aarch64" { vec!["NEON"] } else { Vec::new() }
}

/// Facts for records: they decide nothing, and nobody is recognised by them.
pub(crate) fn facts() -> BTreeMap<String, String> {
    let mut facts = BTreeMap::from([
        ("cores".to_owned(), cores().to_string()),
        ("instructions".to_owned(), instructions().join(", ")),
        ("processor".to_owned(), processor()),
        ("system".to_owned(), format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)),
    ]);
    if let Some(bytes) = total_memory() {
        facts.insert("memory".into(), super::text::bytes(bytes));
    }
    facts
}
