//! The binary: decides which part of the program this process is, and calls it.

use std::process::ExitCode;
use supervisord::keeper::run::Kept;

fn main() -> ExitCode {
    supervisord::keeper::guard::begin();
    // Executed by itself, to be one of the daemon's two processes.
    let kept = supervisord::keeper::boot::run_if_keeper();
    if let Some(Kept::Ended(status)) = kept {
        return ExitCode::from(status);
    }
    if let Some(status) = supervisord::manager::run_if_manager() {
        return ExitCode::from(status);
    }
    if kept == Some(Kept::Manager) {
        // Its keeper has ended meanwhile.
        return ExitCode::FAILURE;
    }
    supervisord::cli::main(std::env::args_os().collect())
}
