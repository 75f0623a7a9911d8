//! The manager: everything that decides and everything that is asynchronous.

pub mod rt;

/// Runs the daemon.
pub fn daemon_main(_args: crate::cli::DaemonArgs) -> std::process::ExitCode {
    eprintln!("supervisord: the daemon is not built yet");
    std::process::ExitCode::from(2)
}

/// x
pub fn run_if_manager() -> Option<u8> {
    None
}
