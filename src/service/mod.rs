//! `supervisord service`: the daemon as a service of systemd.
//!
//! [`mod@unit`] makes the text of the unit. This module writes it and tells systemd. It never touches a unit that somebody
//! else wrote or changed. If a step fails, it undoes the steps before.

pub(crate) mod unit;

use crate::config::args::{CtlArgs, DaemonArgs, ServiceAction, ServiceArgs};
use crate::config::{self, CtlConfig, Surroundings};
use crate::files::{open, replace};
use crate::model::config::{ActivityLog, Config};
use crate::model::visible::for_stream;
use std::collections::{BTreeMap, HashSet};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;
use unit::{Author, Facts};

/// Where the administrator's units lie.
const UNIT_DIRECTORY: &str = "/etc/systemd/system";
/// Where others put theirs, which the administrator's would hide.
const OTHER_DIRECTORIES: [&str; 4] = [
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// Exists while systemd is the init system (sd_booted(3)).
const BOOTED: &str = "/run/systemd/system";
/// The search path of a service, unless somebody told systemd another one.
const SERVICE_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// More than any unit needs.
const UNIT_MOST: u64 = 1 << 20;
const UNIT_MODE: u32 = 0o644;

/// Why something was not done, to follow `Error: `.
type Failure = String;

/// Does what the command line asks for, and says so line by line.
pub(crate) fn main(args: &ServiceArgs) -> ExitCode {
    let service = Service::new(args);
    let done =
        service.refusal(&Machine::of_this_process()).map_or(Ok(()), Err).and_then(|()| match args.action {
            ServiceAction::Install => service.install(args).map(|()| 0),
            ServiceAction::Uninstall => service.uninstall().map(|()| 0),
            ServiceAction::Start => service.order("start", "started").map(|()| 0),
            ServiceAction::Stop => service.order("stop", "stopped").map(|()| 0),
            ServiceAction::Status => service.status(),
        });
    ExitCode::from(done.unwrap_or_else(|text| {
        let stderr = io::stderr();
        let line = for_stream(&stderr, &format!("Error: {text}\n")).into_owned();
        let _ = (&stderr).write_all(line.as_bytes());
        1
    }))
}

/// What the machine has, for deciding whether anything can be done.
struct Machine {
    is_root: bool,
    runs_systemd: bool,
    has_systemctl: bool,
}

impl Machine {
    fn of_this_process() -> Machine {
        let path = std::env::var_os("PATH").unwrap_or_default();
        Machine {
            is_root: nix::unistd::getuid().is_root(),
            runs_systemd: Path::new(BOOTED).is_dir(),
            has_systemctl: std::env::split_paths(&path)
                .any(|directory| directory.join("systemctl").is_file()),
        }
    }
}

/// The unit that the command line is about.
struct Service {
    action: ServiceAction,
    /// With its `.service`.
    name: String,
    directory: PathBuf,
    /// Whether the directory is the one that systemd looks in first.
    is_usual: bool,
}

impl Service {
    fn new(args: &ServiceArgs) -> Service {
        let name = args.name.as_deref().unwrap_or("supervisord");
        let directory =
            Surroundings::of_this_process().absolute(args.unit_dir.as_deref().unwrap_or(UNIT_DIRECTORY));
        Service {
            action: args.action,
            name: format!("{}.service", name.strip_suffix(".service").unwrap_or(name)),
            is_usual: args.unit_dir.is_none(),
            directory,
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.join(&self.name)
    }

    /// Why nothing can be done here. Whoever names a directory prepares a unit for another machine, or an image.
    fn refusal(&self, machine: &Machine) -> Option<Failure> {
        let changes_files = matches!(self.action, ServiceAction::Install | ServiceAction::Uninstall);
        if !machine.has_systemctl || self.is_usual && !machine.runs_systemd {
            return Some(
                "systemd does not run here, and no other init system is supported; start supervisord from \
                         the one that runs"
                    .to_string(),
            );
        }
        if changes_files && self.is_usual && !machine.is_root {
            return Some(format!("only root can write {}; run this with sudo", self.path().display()));
        }
        None
    }

    fn install(&self, args: &ServiceArgs) -> Result<(), Failure> {
        let (facts, config) = facts(args)?;
        let path = self.path();
        let before = self.read()?;
        match before.as_deref().map(unit::author) {
            None => self.refuse_to_hide()?,
            Some(Author::Us) => {}
            Some(author) => return Err(self.not_ours(author)),
        }
        let text = unit::text(&facts);
        if before.as_deref() == Some(&text) {
            say(&format!("{} is up to date", path.display()));
        } else {
            write(&path, &text)?;
            let what = if before.is_some() { "replaced" } else { "wrote" };
            say(&format!("{what} {}", path.display()));
        }
        let enabled = systemctl(&["daemon-reload"]).and_then(|()| systemctl(&["enable", &self.named()]));
        if let Err(problem) = enabled {
            return Err(format!("{problem}; {}", self.take_back(before.as_deref(), &text)));
        }
        say(&format!("enabled {}: it starts with the machine", self.name));
        if let ActivityLog::File(log) = &config.supervisord.logfile {
            say(&format!(
                "its activity log is {}, its pidfile {}",
                log.display(),
                config.supervisord.pidfile.display()
            ));
        }
        if !facts.is_controllable {
            say("systemctl reload will not work: the configuration has no server that the client can use");
        }
        let options = if args.name.is_some() {
            format!(" --name {}", self.name.trim_end_matches(".service"))
        } else {
            String::new()
        };
        say(&format!("to start it now: supervisord service start{options}"));
        Ok(())
    }

    /// Puts back what was there before. Says what stands now.
    fn take_back(&self, before: Option<&str>, text: &str) -> String {
        let path = self.path();
        let taken_back = match before {
            Some(before) if before == text => return "the unit is as it was".to_string(),
            Some(before) => write(&path, before),
            None => {
                // Links that were made are no use without the unit.
                let _ = systemctl(&["disable", &self.name]);
                remove(&path)
            }
        };
        if let Err(problem) = taken_back {
            return format!("the new unit is still there: {problem}");
        }
        let what = if before.is_some() { "the former unit is back" } else { "the unit was removed again" };
        // If systemd did not listen before, it may not now.
        match systemctl(&["daemon-reload"]) {
            Ok(()) => what.to_string(),
            Err(_) => {
                format!("{what}; systemd may still know the new one until systemctl daemon-reload succeeds")
            }
        }
    }

    fn uninstall(&self) -> Result<(), Failure> {
        let path = self.path();
        let text = self.read()?;
        let text =
            text.ok_or_else(|| format!("{} is not installed: {} does not exist", self.name, path.display()))?;
        match unit::author(&text) {
            Author::Us => {}
            author => return Err(self.not_ours(author)),
        }
        systemctl(&["disable", "--now", &self.name])
            .map_err(|problem| format!("{problem}; {} is still there", path.display()))?;
        say(&format!("stopped and disabled {}", self.name));
        if unit::leaves_programs(&text) {
            say("programs that it left running go on (exitkillall=false)");
        }
        remove(&path)?;
        say(&format!("removed {}", path.display()));
        systemctl(&["daemon-reload"]).map_err(|problem| {
            format!(
                "{problem}; the unit is removed, but systemd knows it until systemctl daemon-reload succeeds"
            )
        })
    }

    fn order(&self, verb: &str, done: &str) -> Result<(), Failure> {
        systemctl(&[verb, &self.name])?;
        say(&format!("{done} {}", self.name));
        Ok(())
    }

    /// Lets systemctl print, and hands on its exit status.
    fn status(&self) -> Result<u8, Failure> {
        let status = Command::new("systemctl").args(["--no-pager", "status", &self.name]).status();
        let status = status.map_err(|error| format!("cannot run systemctl: {error}"))?;
        Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
    }

    /// How systemctl finds the unit.
    fn named(&self) -> String {
        if self.is_usual { self.name.clone() } else { self.path().display().to_string() }
    }

    /// The unit that is there.
    fn read(&self) -> Result<Option<String>, Failure> {
        let path = self.path();
        let cannot = |error: io::Error| format!("cannot read {}: {error}", path.display());
        let file = match open::to_read(&path) {
            Ok(Some((file, _))) => file,
            // A device, such as the /dev/null of a masked unit: not ours.
            Ok(None) => return Ok(Some(String::new())),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(cannot(error)),
        };
        let mut bytes = Vec::new();
        file.take(UNIT_MOST).read_to_end(&mut bytes).map_err(cannot)?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn not_ours(&self, author: Author) -> Failure {
        let path = self.path();
        let path = path.display();
        match author {
            Author::Changed => format!(
                "somebody has changed {path} since \"service install\" wrote it, so it stays as it is. Move the changes to \
                 a drop-in (systemctl edit {}), remove the file, and try again",
                self.name
            ),
            Author::Us | Author::Other => format!(
                "{path} was not written by \"service install\", so it stays as it is. Use another name (--name NAME), or \
                 remove the file yourself"
            ),
        }
    }

    /// Fails if a package has a unit of that name.
    fn refuse_to_hide(&self) -> Result<(), Failure> {
        let others = OTHER_DIRECTORIES.iter().map(|directory| Path::new(directory).join(&self.name));
        match others.into_iter().find(|path| *path != self.path() && path.exists()) {
            Some(other) => Err(format!(
                "{} exists, and a unit of the same name in {} would hide it. Use another name (--name NAME)",
                other.display(),
                self.directory.display()
            )),
            None => Ok(()),
        }
    }
}

/// What the unit has to say, and the configuration as the service will read it.
fn facts(args: &ServiceArgs) -> Result<(Facts, Config), Failure> {
    let here = Surroundings::of_this_process();
    let configuration = match &args.configuration {
        Some(name) => PathBuf::from(name),
        None => config::search(&here)
            .map_err(|error| error.to_string())?
            .ok_or("no configuration file was found: name one with -c")?,
    };
    let configuration = path_text(&here.absolute(configuration))?;
    let env_file = args.env_file.as_ref().map(|file| path_text(&here.absolute(file))).transpose()?;
    let binary = binary(&args.progname, &here)?;
    let surroundings = of_the_service(&here, env_file.as_deref())?;
    let daemon = DaemonArgs {
        configuration: Some(configuration.clone()),
        env_file: env_file.clone(),
        nodaemon: true,
        ..DaemonArgs::default()
    };
    let config = config::load(&daemon, &surroundings).map_err(|errors| {
        let place = errors.first().place().map(|place| format!(" (at {place})")).unwrap_or_default();
        format!(
            "the service could not start: {errors}{place}. A service has no variables of this shell and no current \
             directory; set what it needs with --env-file"
        )
    })?;
    for doubt in config::trust::doubts_of(Path::new(&binary), Path::new(&binary), &mut HashSet::new()) {
        say(&format!("warning: {binary}: {doubt}"));
    }
    let client = CtlArgs { configuration: Some(configuration.clone()), ..CtlArgs::default() };
    let client = config::load_ctl(&client, &surroundings).ok();
    let facts = Facts {
        binary,
        configuration,
        env_file,
        programs_end_with_it: config.supervisord.exitkillall,
        stop: longest_stop(&config),
        minfds: config.supervisord.minfds,
        is_controllable: client.is_some_and(|client| is_controllable(&config, &client)),
    };
    Ok((facts, config))
}

/// What a service finds around it: nothing of the shell that installs it.
fn of_the_service(here: &Surroundings, env_file: Option<&str>) -> Result<Surroundings, Failure> {
    let mut environment = BTreeMap::from([("PATH".to_string(), SERVICE_PATH.to_string())]);
    if let Some(file) = env_file {
        let variables = config::env_file::read(Path::new(file));
        environment.extend(variables.map_err(|error| format!("cannot read --env-file {file}: {error}"))?);
    }
    Ok(Surroundings { environment, current_dir: PathBuf::from("/"), ..here.clone() })
}

/// The name by which the program was called, if it is this one, so that a link to the current release goes into the unit
/// and not what it leads to today.
fn binary(progname: &str, here: &Surroundings) -> Result<String, Failure> {
    let path = here.environment.get("PATH").map(String::as_str).unwrap_or_default();
    let called: Vec<PathBuf> = if progname.contains('/') {
        vec![here.absolute(progname)]
    } else {
        std::env::split_paths(path).map(|directory| here.absolute(directory.join(progname))).collect()
    };
    let real = here.executable.canonicalize().map_err(|error| {
        format!("cannot find this program's own file {}: {error}", here.executable.display())
    })?;
    let is_this = |path: &PathBuf| path.canonicalize().is_ok_and(|found| found == real);
    path_text(&called.into_iter().find(is_this).unwrap_or(real))
}

fn path_text(path: &Path) -> Result<String, Failure> {
    let text = path.to_string_lossy();
    if unit::fits(&text) {
        return Ok(text.into_owned());
    }
    Err(format!("{text:?} cannot be used in a unit: it has control characters or bytes that are not UTF-8"))
}

/// How long stopping everything may take: groups of one priority end together, one priority after the other.
fn longest_stop(config: &Config) -> Duration {
    let mut phases: BTreeMap<i64, Duration> = BTreeMap::new();
    for group in &config.groups {
        let each = group.processes.iter().map(|process| {
            let n_signals = u32::try_from(process.stopsignal_then.len() + 1).unwrap_or(u32::MAX);
            process.stopwaitsecs.saturating_mul(n_signals)
        });
        let longest = each.max().unwrap_or_default();
        let phase = phases.entry(group.priority).or_default();
        *phase = longest.max(*phase);
    }
    phases.into_values().fold(Duration::ZERO, Duration::saturating_add)
}

/// Whether the client gets in with what its configuration says.
fn is_controllable(config: &Config, client: &CtlConfig) -> bool {
    let needs_login = config.http_servers.iter().any(|server| server.credentials.is_some());
    !config.http_servers.is_empty() && (!needs_login || client.password.is_some())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    replace::replace(path, text.as_bytes(), UNIT_MODE)
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn remove(path: &Path) -> Result<(), Failure> {
    let is_ours =
        |bytes: &[u8]| std::str::from_utf8(bytes).is_ok_and(|text| unit::author(text) == Author::Us);
    replace::remove(path, UNIT_MOST, is_ours)
        .map_err(|error| format!("cannot remove {}: {error}", path.display()))
}

/// Runs systemctl to its end without showing what it prints.
///
/// # Errors
/// It failed: with what it said.
fn systemctl(words: &[&str]) -> Result<(), Failure> {
    let output = Command::new("systemctl").args(words).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cannot run systemctl: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let said = if said.is_empty() { output.status.to_string() } else { said.join("; ") };
    Err(format!("systemctl {} failed: {said}", words.join(" ")))
}

/// Prints a line. The work goes on even if nobody reads it.
fn say(text: &str) {
    let stdout = io::stdout();
    let line = for_stream(&stdout, &format!("{text}\n")).into_owned();
    let _ = (&stdout).write_all(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_can_do_what() {
        let machine = |is_root, runs_systemd, has_systemctl| Machine { is_root, runs_systemd, has_systemctl };
        let service = |action, unit_dir: Option<&str>| {
            Service::new(&ServiceArgs {
                action,
                unit_dir: unit_dir.map(str::to_string),
                ..ServiceArgs::default()
            })
        };
        let (root, nobody) = (machine(true, true, true), machine(false, true, true));
        for (action, unit_dir, machine, refused) in [
            (ServiceAction::Install, None, &root, ""),
            (
                ServiceAction::Install,
                None,
                &nobody,
                "only root can write /etc/systemd/system/supervisord.service",
            ),
            (ServiceAction::Uninstall, None, &nobody, "only root"),
            (ServiceAction::Start, None, &nobody, ""),
            (ServiceAction::Start, None, &machine(true, false, true), "systemd does not run here"),
            (ServiceAction::Install, Some("/x"), &machine(false, false, true), ""),
            (ServiceAction::Install, Some("/x"), &machine(true, true, false), "systemd does not run here"),
        ] {
            let text = service(action, unit_dir).refusal(machine).unwrap_or_default();
            assert!(text.starts_with(refused) && text.is_empty() == refused.is_empty(), "{action:?}: {text}");
        }
    }
}
