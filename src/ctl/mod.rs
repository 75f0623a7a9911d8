<<<<<<< HEAD
//! The client: `supervisord ctl`, and the binary when it is called `supervisorctl`.
//!
//! Knows the daemon by its wire only and drives an original Supervisor as well. A [`session::Session`] is one run; a
//! line becomes one of the [`commands`], whose calls go through [`daemon::Daemon`] and whose output goes through
//! [`screen::Screen`]. Lines and exit statuses ([`exit::Exit`]) that scripts know are Supervisor's.

pub mod session;

pub mod commands;
pub mod orders;

pub mod names;
pub mod render;

pub mod daemon;
pub mod records;

pub mod error;
pub mod exit;
pub mod login;
pub mod reach;
pub mod screen;

use crate::ctl::error::CtlError;
use crate::ctl::exit::Exit;
use crate::ctl::session::Session;

/// Runs the words of a command line as one command. They are joined with blanks and split again, because scripts
/// pass `"signal HUP"` as one word.
pub fn run_words(session: &mut Session, words: &[String]) -> Exit {
    match session.run_line(&words.join(" ")) {
        Ok(()) => session.exit,
        Err(problem) => output_failed(&problem),
    }
}

/// The status for output that nobody takes. A reader that went away, like `head`, is no reason for a message.
fn output_failed(problem: &CtlError) -> Exit {
    match problem {
        CtlError::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::BROKEN_PIPE,
        problem => {
            eprintln!("error: {problem}");
            Exit::GENERIC
        }
    }
=======
//! ctl

/// Runs the client.
pub fn main(_args: crate::cli::CtlArgs) -> std::process::ExitCode {
    eprintln!("supervisord: the client is not built yet");
    std::process::ExitCode::from(2)
>>>>>>> config
}
