//! Whose daemon, whose client: ours or the original's.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An implementation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The binary under test.
    Ours,
    /// Supervisor 4.3.0, from the virtual environment that `make prepare` installs.
    Original,
}

impl Side {
    /// The daemon, without arguments.
    pub fn daemon(self) -> Command {
        match self {
            Side::Ours => Command::new(env!("CARGO_BIN_EXE_supervisord")),
            Side::Original => Command::new(original("supervisord")),
        }
    }

    /// The client, without arguments. Both carry the name `supervisorctl`, which some messages quote.
    pub fn ctl(self) -> Command {
        match self {
            Side::Ours => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_supervisord"));
                command.arg0("supervisorctl");
                command
            }
            Side::Original => Command::new(original("supervisorctl")),
        }
    }

    /// Whom the end-to-end tests test: ours, unless the variable `UNDER_TEST` says `original`, which shows where a
    /// test asks for more than the original does.
    pub fn under_test() -> Side {
        match std::env::var("UNDER_TEST").as_deref() {
            Ok("original") => Side::Original,
            _ => Side::Ours,
        }
    }

    /// The interpreter that the original runs on, which can import it; `None` if it is not installed.
    pub fn python_of_original() -> Option<PathBuf> {
        Side::original_is_there().then(|| venv().join("bin/python"))
    }

    /// Whether the original is installed; benches do without it if not.
    pub fn original_is_there() -> bool {
        venv().join("bin/supervisord").exists()
    }
}

fn venv() -> PathBuf {
    std::env::var_os("SUPERVISOR_VENV")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv"), PathBuf::from)
}

fn original(name: &str) -> PathBuf {
    let path = venv().join("bin").join(name);
    assert!(path.exists(), "{} is missing: run `make prepare`, or set SUPERVISOR_VENV", path.display());
    path
}
