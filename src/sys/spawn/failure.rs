//! What is said of a child that could not become its program.

use crate::sys::confine::Step;
use crate::sys::errno::errno_name;
use crate::sys::settings::Setting;
use crate::sys::spawn::progress::Stage;
use crate::sys::spawn::{Program, UserChange, steps};
use std::fmt::Write as _;

/// A child that ended before it became its program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What it was doing.
    pub stage: Stage,
    /// Why that failed; see errno(3).
    pub errno: i32,
    /// It lacks the capability that this stage takes.
    pub lacks_capability: bool,
    /// In [`Stage::Settings`] and [`Stage::Confinement`]: the place of the setting or the step.
    pub setting: usize,
}

impl Failure {
    /// In Supervisor's words, for `spawnerr`: `couldn't chdir to /x: ENOENT`.
    pub fn describe(&self, program: &Program) -> String {
        self.parts(&Notes::new(program)).concat()
    }

    /// The same in pieces, for whoever must not allocate.
    pub(super) fn parts<'a>(&self, notes: &'a Notes) -> [&'a str; 4] {
        let whole = match self.stage {
            Stage::Cgroup => return ["couldn't enter its control group: ", errno_name(self.errno), "", ""],
            Stage::Descriptors => return ["couldn't take its descriptors: ", errno_name(self.errno), "", ""],
            Stage::Limits => return ["couldn't set its limits: ", errno_name(self.errno), "", ""],
            Stage::Settings => {
                let (text, lack) =
                    notes.settings.get(self.setting).map_or(("", ""), |(text, lack)| (&**text, *lack));
                return [text, errno_name(self.errno), if self.lacks_capability { lack } else { "" }, ""];
            }
            Stage::Confinement => {
                let (text, lack) =
                    notes.confinement.get(self.setting).map_or(("", ""), |(text, lack)| (&**text, *lack));
                return [text, errno_name(self.errno), if self.lacks_capability { lack } else { "" }, ""];
            }
            Stage::Directory => &notes.directory,
            Stage::Exec if self.errno == libc::EACCES => {
                return [&notes.exec, errno_name(self.errno), notes.exec_lack, ""];
            }
            Stage::Exec => &notes.exec,
            Stage::Impossible => {
                return [&notes.user, notes.impossible.as_deref().unwrap_or_default(), "", ""];
            }
            Stage::Groups | Stage::Group | Stage::User | Stage::Capabilities => &notes.user,
        };
        let call = match self.stage {
            Stage::Groups => "setgroups: ",
            Stage::Group => "setgid: ",
            Stage::User => "setuid: ",
            Stage::Capabilities => "its capabilities could not be dropped: ",
            _ => "",
        };
        let lack = if self.lacks_capability { self.stage.lack() } else { "" };
        [whole, call, errno_name(self.errno), lack]
    }
}

/// What the child may have to say, put together while there still is an allocator.
pub(super) struct Notes {
    user: String,
    impossible: Option<String>,
    directory: String,
    exec: String,
    /// Of each setting, and what stands behind the error if a capability is missing.
    settings: Vec<(String, &'static str)>,
    /// The same of each step of its confinement.
    confinement: Vec<(String, &'static str)>,
    /// What stands behind EACCES of the exec.
    exec_lack: &'static str,
}

impl Notes {
    pub(super) fn new(program: &Program) -> Notes {
        let mut user = String::new();
        let mut impossible = None;
        match &program.user {
            UserChange::Stay => {}
            UserChange::Become(identity) => {
                let _ = write!(user, "couldn't setuid to {}: ", identity.uid);
            }
            UserChange::Impossible { uid, why } => {
                let _ = write!(user, "couldn't setuid to {uid}: ");
                impossible = Some(why.clone());
            }
        }
        let directory = program.directory.as_ref().map(|path| path.to_string_lossy()).unwrap_or_default();
        Notes {
            user,
            impossible,
            directory: format!("couldn't chdir to {directory}: "),
            exec: format!("couldn't exec {}: ", program.written),
            settings: program.settings.iter().map(Setting::note).collect(),
            confinement: steps(program).iter().map(Step::note).collect(),
            exec_lack: match program.confine.as_ref().and_then(|confine| confine.ruleset.as_ref()) {
                Some(_) => {
                    " (what it executes, and the loader of that, must lie below a path of read_only_paths or \
                     read_write_paths)"
                }
                None => "",
            },
        }
    }
}
