//! ctl

/// Runs the client.
pub fn main(_args: crate::cli::CtlArgs) -> std::process::ExitCode {
    eprintln!("supervisord: the client is not built yet");
    std::process::ExitCode::from(2)
}
