//! What this process has used of the machine, where the system tells (Linux).

use std::time::Duration;

/// Clock ticks a second in `/proc`, the same on every Linux.
const TICKS: u64 = 100;

/// Most bytes of memory that this process held at once.
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Time that all threads of this process spent on processors, in steps of 10 ms.
pub fn cpu_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // the name, in brackets, may hold spaces; user and system time are the 14th and 15th field
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1000 / TICKS))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn memory_is_counted_in_bytes_and_time_passes_while_numbers_are_added() {
        assert!(peak_memory().unwrap() > 1 << 20);
        let before = cpu_time().unwrap();
        let mut sum = 0.0_f64;
        while cpu_time().unwrap() < before + Duration::from_millis(20) {
            sum += (0..1000).map(f64::from).map(f64::sqrt).sum::<f64>();
        }
        assert!(sum > 0.0);
    }
}
