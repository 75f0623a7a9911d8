//! The binary: decides who it is to be and hands over.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Executed by itself, to be one of the daemon's two processes.
    if let Some(status) = supervisord::keeper::boot::run_if_keeper() {
        return ExitCode::from(status);
    }
    if let Some(status) = supervisord::manager::run_if_manager() {
        return ExitCode::from(status);
    }
    supervisord::cli::main(std::env::args_os().collect())
}
