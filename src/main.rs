//! The binary: decides who it is to be and hands over.

fn main() -> std::process::ExitCode {
    supervisord::cli::main(std::env::args_os().collect())
}
