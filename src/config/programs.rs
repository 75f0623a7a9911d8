//! The keys that `[program:x]`, `[eventlistener:x]` and `[fcgi-program:x]` share, and the processes that they define.

use crate::config::confinement;
use crate::config::environment;
use crate::config::fcgi;
use crate::config::overrides::{self, Autostart};
use crate::config::resources;
use crate::config::schema;
use crate::config::section::{Context, Extra, MAX_PROCESSES, Section};
use crate::config::stop_reach;
use crate::config::streams::{self, STDERR, STDOUT, Shared};
use crate::config::supervision;
use crate::config::text::{repr, strip};
use crate::config::values::{self, Parsed, Read, Reading};
use crate::model::config::{
    Autorestart, Credential, EnvironmentFile, EnvironmentSources, FcgiAddress, FcgiSocket, Inherit,
    ProcessConfig, StopScope, StreamConfig, User,
};
use crate::model::confinement::Confinement;
use crate::model::resources::Resources;
use crate::model::signal::Signal;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Reads the processes of a section, sorted by name.
///
/// `global` is the `[supervisord] environment` that lies under the program's own.
pub(super) fn read(
    context: &Context<'_>,
    name: &str,
    group_name: &str,
    global: &BTreeMap<String, String>,
    fcgi_socket: Option<FcgiSocket>,
) -> Vec<Arc<ProcessConfig>> {
    let Some(program_name) = section_name(context, name) else { return Vec::new() };
    let program_name = program_name.as_str();
    let extra = Extra {
        program_name: Some(program_name),
        group_name: Some(group_name),
        host_node_name: Some(&context.surroundings.host_node_name),
        ..Extra::default()
    };
    let section = context.section(name).with(extra);
    let mut shared = SharedKeys::read(&section);
    overrides::scale(&section, &mut shared.numprocs, program_name, group_name);
    if !context.count_processes(shared.numprocs) {
        section.error(
            Some("numprocs"),
            format!("all programs together have more than {MAX_PROCESSES} processes"),
        );
        return Vec::new();
    }
    let numbers = shared.numprocs_start..shared.numprocs_start + shared.numprocs;
    let mut processes: Vec<Arc<ProcessConfig>> = numbers
        .filter_map(|number| process(&section, &shared, number, program_name, global, &fcgi_socket))
        .map(|process| overrides::with_autostart(context, process, group_name))
        .map(Arc::new)
        .collect();
    processes.sort_by(|a, b| a.name.cmp(&b.name));
    processes
}

/// The `x` of `[program:x]`, if it may be one; otherwise the error is noted.
pub(super) fn section_name(context: &Context<'_>, section: &str) -> Option<String> {
    let (_, name) = section.split_once(':')?;
    let view = context.section(section);
    match values::name(name).and_then(|name| values::fits(&name.value).map(|()| name)) {
        Ok(Reading { value, doubt }) => {
            doubt.into_iter().for_each(|doubt| view.doubt_about_name(doubt));
            Some(value)
        }
        Err(text) => {
            view.error(None, text);
            None
        }
    }
}

/// What all processes of a section have in common.
struct SharedKeys {
    priority: i64,
    autostart: Autostart,
    autorestart: Autorestart,
    startsecs: Duration,
    startretries: u32,
    stopsignals: (Signal, Vec<Signal>),
    stopwaitsecs: Duration,
    stop_reach: StopReach,
    exitcodes: Vec<u8>,
    redirect_stderr: bool,
    numprocs: i64,
    numprocs_start: i64,
    stdout: Shared,
    stderr: Shared,
    serverurl: Option<String>,
    user: Option<User>,
    umask: Option<u32>,
    sockets: Vec<FcgiAddress>,
    essential: bool,
    environment_sources: EnvironmentSources,
    credentials: Vec<Credential>,
    supplementary_groups: Vec<u32>,
    resources: Resources,
    confinement: Confinement,
    life: supervision::Shared,
    /// `%(program_name)s` unless the file says otherwise.
    has_process_name: bool,
}

impl SharedKeys {
    /// Reads them in Supervisor's order, so that the first error is the one Supervisor shows.
    fn read(section: &Section<'_>) -> SharedKeys {
        let priority = section.get("priority", values::any_integer).unwrap_or(schema::PROGRAM_PRIORITY);
        let autostart = section.get_or_default("autostart", overrides::autostart);
        let autorestart = section.get_or_default("autorestart", values::autorestart);
        let startsecs = section.understand_or_default("startsecs", values::seconds);
        let startretries = section.understand_or_default("startretries", values::tries);
        let stopsignals = section.understand_or_default("stopsignal", values::stop_signals);
        let stopwaitsecs = section.understand_or_default("stopwaitsecs", values::seconds);
        let stop_reach = StopReach::read(section);
        let exitcodes = section.get_or_default("exitcodes", values::exit_codes);
        let redirect_stderr = section.get_or_default("redirect_stderr", values::boolean);
        let numprocs = section.understand_or_default("numprocs", numprocs);
        let numprocs_start = section.get_or_default("numprocs_start", values::any_integer);
        let stdout = streams::read_shared(section, &STDOUT);
        let stderr = streams::read_shared(section, &STDERR);
        let serverurl = section.text_or_default("serverurl").into_owned();
        let is_own = !strip(&serverurl).eq_ignore_ascii_case("auto") && !serverurl.is_empty();
        let serverurl = is_own.then_some(serverurl);
        let user = section.get("user", |text| section.context.users.user_of_program(text));
        let umask = section.understand("umask", values::umask);
        let has_process_name = check_process_name(section, numprocs);
        stop_reach.check(section);
        let sockets = fcgi::read_sockets(section, user.as_ref());
        let essential = section.get_or_default("essential", values::boolean);
        let environment_sources = environment_sources(section);
        let life = supervision::Shared::read(section, autorestart);
        SharedKeys {
            priority,
            autostart,
            autorestart,
            startsecs,
            startretries,
            stopsignals,
            stopwaitsecs,
            stop_reach,
            exitcodes,
            redirect_stderr,
            numprocs,
            // Far from the limits of the type, wherever it starts.
            numprocs_start: numprocs_start.clamp(-(1 << 53), 1 << 53),
            stdout,
            stderr,
            serverurl,
            user,
            umask,
            sockets,
            essential,
            resources: resources::read(section),
            credentials: credentials(section),
            supplementary_groups: section
                .get_or_default("supplementary_groups", |text| groups(section, text)),
            confinement: confinement::read(section),
            environment_sources,
            life,
            has_process_name,
        }
    }
}

/// `stopasgroup`, `killasgroup` and `stop_scope`.
#[derive(Clone, Copy)]
struct StopReach {
    stopasgroup: bool,
    killasgroup: bool,
    scope: Option<StopScope>,
}

impl StopReach {
    /// Without `stop_scope` the other two say it. With it, `stopasgroup=false` still keeps stop signals to the process.
    fn read(section: &Section<'_>) -> StopReach {
        let written = stop_reach::nearest(section);
        let is_wide = written.scope.is_some_and(|scope| scope != StopScope::Process);
        let default = || section.default("stopasgroup", values::boolean);
        let stopasgroup = written.stopasgroup.unwrap_or_else(|| is_wide || default());
        let killasgroup = written.killasgroup.unwrap_or(stopasgroup || is_wide);
        StopReach { stopasgroup, killasgroup, scope: written.scope }
    }

    fn check(self, section: &Section<'_>) {
        let contradiction = match self.scope {
            None => None,
            Some(StopScope::Process) if self.stopasgroup => Some("stopasgroup=true"),
            Some(StopScope::Process) => self.killasgroup.then_some("killasgroup=true"),
            Some(_) => (!self.killasgroup).then_some("killasgroup=false"),
        };
        if let (Some(scope), Some(other)) = (self.scope, contradiction) {
            let word = scope.word();
            let text = format!("stop_scope={word} and {other} contradict each other: leave one of them out");
            return section.error(Some("stop_scope"), text);
        }
        if self.stopasgroup && !self.killasgroup {
            let text = "Cannot set stopasgroup=true and killasgroup=false".to_string();
            section.error(Some("killasgroup"), text);
        }
    }
}

fn environment_sources(section: &Section<'_>) -> EnvironmentSources {
    let absolute = |file: EnvironmentFile| EnvironmentFile {
        path: section.context.surroundings.absolute(&file.path),
        ..file
    };
    let files: Vec<EnvironmentFile> = section.get_or_default("environment_file", environment_files);
    EnvironmentSources {
        environment_file: files.into_iter().map(absolute).collect(),
        below_files: Vec::new(),
        environment_inherit: section.get_or_default("environment_inherit", inherit),
        user_environment: section.get_or_default("user_environment", values::boolean),
    }
}

/// `/etc/app.env, -/etc/opt.env`.
fn environment_files(text: &str) -> Parsed<Vec<EnvironmentFile>> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(environment_file).collect()
}

/// One of them, perhaps behind a `-`.
fn environment_file(word: &str) -> Parsed<EnvironmentFile> {
    let (path, may_be_missing) = match word.strip_prefix('-') {
        Some(path) => (path.trim(), true),
        None => (word, false),
    };
    if path.is_empty() {
        return Err(format!("{} names no file", repr(word)));
    }
    Ok(EnvironmentFile { path: path.into(), may_be_missing })
}

/// So many credentials a program may have.
const MOST_CREDENTIALS: usize = 64;

/// The longest name of one (NAME_MAX, limits.h).
const LONGEST_NAME: usize = 255;

/// Every `credential.NAME` of a section, by name.
fn credentials(section: &Section<'_>) -> Vec<Credential> {
    let mut keys = section.context.document.keys_for(section.name);
    keys.retain(|key| key.starts_with(schema::CREDENTIAL));
    if keys.len() > MOST_CREDENTIALS {
        section.error(
            None,
            format!("it has {} credentials, and at most {MOST_CREDENTIALS} are possible", keys.len()),
        );
    }
    let credential = |key: &str| {
        let name = &key[schema::CREDENTIAL.len()..];
        section.ok(key, credential_name(name))?;
        let file = section.get(key, environment_file)?;
        let path = section.context.surroundings.absolute(&file.path);
        Some(Credential { name: name.to_string(), path, may_be_missing: file.may_be_missing })
    };
    keys.into_iter().filter_map(credential).collect()
}

/// It becomes the name of a file.
fn credential_name(name: &str) -> Parsed<()> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.starts_with('.') || name.len() > LONGEST_NAME || !name.chars().all(is_plain) {
        return Err(format!(
            "{} is no name for a credential: letters, digits, '.', '_' and '-' are possible, with no '.' in front",
            repr(name)
        ));
    }
    Ok(())
}

/// `adm, 1234`: names or numbers of groups.
fn groups(section: &Section<'_>, text: &str) -> Parsed<Vec<u32>> {
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    let mut groups: Vec<u32> =
        words.map(|word| section.context.users.group_of_program(word)).collect::<Parsed<_>>()?;
    groups.sort_unstable();
    groups.dedup();
    Ok(groups)
}

/// `all`, `none`, or a list of names and patterns.
fn inherit(text: &str) -> Parsed<Inherit> {
    let words: Vec<&str> = text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    match words.as_slice() {
        ["all"] => Ok(Inherit::All),
        ["none"] => Ok(Inherit::None),
        [] => Err(format!("{} is none of all, none, and names separated by commas", repr(text))),
        words => match words.iter().find(|word| word.contains(['=', ' ', '\t', '$', '%'])) {
            Some(word) => Err(format!("{} is no name of a variable, and no pattern with *", repr(word))),
            None => Ok(Inherit::Some(words.iter().map(|word| word.to_string()).collect())),
        },
    }
}

fn numprocs(text: &str) -> Read<i64> {
    match values::any_integer(text)? {
        ..0 => Ok(Reading::doubtful(0, values::understood(text, "0, so there is no process"))),
        number if number > MAX_PROCESSES => Err(format!("{number} is above upper bound ({MAX_PROCESSES})")),
        number => Ok(Reading::plain(number)),
    }
}

/// Checks the unexpanded `process_name`; whether there is one.
fn check_process_name(section: &Section<'_>, numprocs: i64) -> bool {
    let raw = section.raw("process_name").map(|value| value.text);
    if let Some(raw) = raw {
        section.sure("process_name", values::name(raw));
    }
    if numprocs > 1 && !raw.is_some_and(|raw| raw.contains("%(process_num)")) {
        let text = "%(process_num) must be present within process_name when numprocs > 1";
        section.error(Some("process_name"), text.to_string());
    }
    raw.is_some()
}

/// One process. `None` if a key that it cannot be without is missing or wrong, which is noted.
fn process(
    section: &Section<'_>,
    shared: &SharedKeys,
    number: i64,
    program_name: &str,
    global: &BTreeMap<String, String>,
    fcgi_socket: &Option<FcgiSocket>,
) -> Option<ProcessConfig> {
    let numbered = Extra { process: Some((number, shared.numprocs)), ..section.extra };
    let section = section.with(numbered);
    let own = environment::merged(&section);
    let section = section.with(Extra { environment: Some(&own), ..numbered });

    let directory = section.text("directory").map(|text| PathBuf::from(&*text));
    let (stdout, stderr) = streams(&section, shared);
    let command = command(&section)?;
    let name = process_name(&section, shared, program_name)?;
    let own_life = shared.life.process(&section, &shared.sockets);
    let has_files = !shared.environment_sources.environment_file.is_empty();
    let of_daemon = global.keys().filter(|name| has_files && !own.contains_key(*name));
    let below_files: Vec<String> = of_daemon.cloned().collect();
    let mut environment = global.clone();
    environment.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
    Some(ProcessConfig {
        name: name.into(),
        command,
        priority: shared.priority,
        autostart: shared.autostart != Autostart::Never,
        autostart_last: shared.autostart == Autostart::Last,
        autorestart: shared.autorestart,
        startsecs: shared.startsecs,
        startretries: shared.startretries,
        exitcodes: shared.exitcodes.clone(),
        stopsignal: shared.stopsignals.0,
        stopsignal_then: shared.stopsignals.1.clone(),
        stopwaitsecs: shared.stopwaitsecs,
        stopasgroup: shared.stop_reach.stopasgroup,
        killasgroup: shared.stop_reach.killasgroup,
        stop_scope: shared.stop_reach.scope.filter(|scope| scope.is_wide()).unwrap_or_default(),
        user: shared.user.clone(),
        umask: shared.umask,
        directory,
        environment,
        serverurl: shared.serverurl.clone(),
        redirect_stderr: shared.redirect_stderr,
        stdout,
        stderr,
        fcgi_socket: fcgi_socket.clone(),
        sockets: shared.sockets.clone(),
        essential: shared.essential,
        program: program_name.into(),
        kind: shared.life.kind,
        max_runtime: shared.life.max_runtime,
        restart: shared.life.restart.clone(),
        dependencies: own_life.dependencies,
        readiness: own_life.readiness,
        health_check: own_life.health_check,
        watchdog: shared.life.watchdog,
        memory_limit: shared.life.memory_limit,
        resources: shared.resources.clone(),
        credentials: shared.credentials.clone(),
        supplementary_groups: shared.supplementary_groups.clone(),
        confinement: Box::new(shared.confinement.clone()),
        environment_sources: EnvironmentSources { below_files, ..shared.environment_sources.clone() },
        notify: shared.life.notify,
    })
}

fn streams(section: &Section<'_>, shared: &SharedKeys) -> (StreamConfig, StreamConfig) {
    let stdout = streams::read(section, &STDOUT, shared.stdout);
    let mut stderr = streams::read(section, &STDERR, shared.stderr);
    if shared.redirect_stderr {
        streams::redirect(section, &mut stderr);
    }
    (stdout, stderr)
}

fn command(section: &Section<'_>) -> Option<String> {
    if section.raw("command").is_none() {
        let text = format!("program section {} does not specify a command", section.name);
        section.error(None, text);
        return None;
    }
    section.text_of_command("command").map(|text| text.into_owned())
}

/// The expanded name. Supervisor checks it only before its expansion, so it may contain what no name should.
fn process_name(section: &Section<'_>, shared: &SharedKeys, program_name: &str) -> Option<String> {
    if !shared.has_process_name {
        return Some(program_name.to_string());
    }
    let text = section.text_of_process("process_name")?;
    let name = values::expanded_name(&text);
    section.sure("process_name", values::fits(&name.value).map(|()| name))
}
