//! The `pifi-probe` program: everything it does lives in the library's `cli`.

fn main() -> std::process::ExitCode {
    pifi_probe::cli::main()
}
