//! A daemon without programs: a listener in front of a loop that answers from a table.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use supervisord::config::Reread;
use supervisord::config::update::{GroupAction, GroupPlan, UpdatePlan};
use supervisord::control::ask::{self, Applied, Call, Updated};
use supervisord::control::programs::{Enabled, Kept, Scaled, ScaledProgram, Scaling};
use supervisord::control::request::{BulkStatus, Client, Handle, Outbox, ProcessInfo, Target, Wait};
use supervisord::http::net::listen::{self, Listener};
use supervisord::http::{self, Context, Limits};
use supervisord::log::source::LogSource;
use supervisord::model::config::{Credentials, HttpAddress, HttpServerConfig, Owner};
use supervisord::model::fault::{Fault, FaultCode};
use supervisord::model::state::{ProcessState, SupervisorState};
use supervisord::model::stream::Stream;
use supervisord::rt::{self, Task, Timer};

/// The programs `a`, `b` and the group `g` of `x` and `y`; only what a test of the HTTP side can see.
pub struct Daemon {
    pub dir: tempfile::TempDir,
    pub context: Context,
    /// What was asked, each as `Stop(…)`.
    pub requests: Arc<Mutex<Vec<String>>>,
    /// While this is set, nobody who starts something is answered.
    pub holds_starts: Arc<AtomicBool>,
    servers: Vec<Task<()>>,
}

/// What a daemon with so many processes knows about them.
#[allow(dead_code)]
pub fn processes(n_processes: usize) -> Vec<ProcessInfo> {
    Programs { n_extra: n_processes, ..Programs::default() }.all()
}

#[derive(Default)]
pub struct Programs {
    /// Whether each runs, by namespec.
    running: BTreeMap<String, bool>,
    n_extra: usize,
    dir: PathBuf,
}

impl Daemon {
    pub fn new() -> Daemon {
        Daemon::with_processes(0)
    }

    /// A daemon that has this many more processes, named `pN`.
    pub fn with_processes(n_extra: usize) -> Daemon {
        Daemon::with_limits(n_extra, Limits::default())
    }

    /// A daemon with another kind of patience.
    pub fn with_limits(n_extra: usize, limits: Limits) -> Daemon {
        let dir = tempfile::tempdir().unwrap();
        let (handle, calls) = Handle::channel();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let programs = Programs {
            running: [("a", true), ("b", false), ("g:x", true), ("g:y", false)]
                .map(|(name, running)| (name.to_string(), running))
                .into(),
            n_extra,
            dir: dir.path().to_path_buf(),
        };
        let holds_starts = Arc::new(AtomicBool::new(false));
        rt::spawn(answer_all(calls, programs, requests.clone(), Arc::clone(&holds_starts))).detach();
        let context = Context::with_limits(handle, &["supervisor".to_string()], "4.3.0", limits);
        Daemon { dir, context, requests, holds_starts, servers: Vec::new() }
    }

    pub fn credentials() -> Credentials {
        Credentials { username: "user".into(), password: "123".into() }
    }

    /// Listens on a free port of the loopback interface.
    pub fn on_tcp(&mut self, credentials: Option<Credentials>) -> SocketAddr {
        let config = HttpServerConfig {
            section: "inet_http_server".into(),
            address: HttpAddress::Inet { host: "127.0.0.1".into(), port: 0 },
            credentials,
            legacy_get_actions: false,
            allowed_hosts: Vec::new(),
        };
        let listener = listen::open(&config).unwrap();
        let address = rustix::net::getsockname(listener.as_fd()).unwrap();
        self.serve(listener, &config);
        address.try_into().unwrap()
    }

    /// Listens on a unix socket.
    pub fn on_unix(&mut self, credentials: Option<Credentials>) -> PathBuf {
        let file = self.dir.path().join("supervisor.sock");
        let config = HttpServerConfig {
            section: "unix_http_server".into(),
            address: HttpAddress::Unix { file: file.clone(), chmod: 0o700, chown: Owner::default() },
            credentials,
            legacy_get_actions: false,
            allowed_hosts: Vec::new(),
        };
        self.serve(listen::open(&config).unwrap(), &config);
        file
    }

    fn serve(&mut self, listener: Listener, config: &HttpServerConfig) {
        self.servers.push(http::serve(listener, config, self.context.clone()));
    }

    /// The stdout log of a process.
    pub fn log_of(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.log"))
    }

    /// Stops accepting clients.
    pub fn stop_listening(&mut self) {
        for server in self.servers.drain(..) {
            rt::block_on(server.cancel());
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop_listening();
    }
}

async fn answer_all(
    calls: async_channel::Receiver<Call>,
    mut programs: Programs,
    requests: Arc<Mutex<Vec<String>>>,
    holds_starts: Arc<AtomicBool>,
) {
    while let Ok(call) = calls.recv().await {
        requests.lock().unwrap().push(format!("{call:?}"));
        match call {
            Call::Start(ask::Start(target, Wait::Yes), client) => {
                // Starting takes a while, and others are answered meanwhile.
                let outcome = programs.start(&target);
                let holds_starts = Arc::clone(&holds_starts);
                rt::spawn(async move {
                    while holds_starts.load(Ordering::Acquire) {
                        Timer::after(Duration::from_millis(1)).await;
                    }
                    Timer::after(Duration::from_millis(20)).await;
                    answer(client, outcome);
                })
                .detach();
            }
            call => programs.answer(call),
        }
    }
}

fn answer<T: 'static>(client: Client<T>, outcome: Result<T, Fault>) {
    let mut outbox = Outbox::default();
    client.answer(outcome, &mut outbox);
    outbox.send();
}

fn bad_name(sent: &str) -> Fault {
    Fault::with(FaultCode::BadName, sent)
}

impl Programs {
    fn start(&mut self, target: &Target) -> Result<Applied, Fault> {
        self.change(target, false, true, FaultCode::AlreadyStarted)
    }

    fn answer(&mut self, call: Call) {
        match call {
            Call::State(_, client) => answer(client, Ok(SupervisorState::Running)),
            Call::Pid(_, client) => answer(client, Ok(4711)),
            Call::Identification(_, client) => answer(client, Ok("supervisor".into())),
            Call::ProcessInfo(ask::ProcessInfo(target), client) => {
                answer(client, self.one(&target).map(|(group, name)| Box::new(self.info(&group, &name))));
            }
            Call::AllProcessInfo(_, client) => answer(client, Ok(Arc::new(self.all().into()))),
            Call::Table(_, client) => {
                answer(client, Ok(self.all().into_iter().map(|info| (info, Vec::new())).collect()));
            }
            Call::AllConfigInfo(_, client) => answer(client, Ok(Vec::new())),
            Call::Start(ask::Start(target, _), client) => answer(client, self.start(&target)),
            Call::StartAlone(ask::StartAlone(target, _), client) => answer(client, self.start(&target)),
            Call::StopWithDependents(ask::StopWithDependents(target, _), client)
            | Call::Stop(ask::Stop(target, _), client) => {
                answer(client, self.change(&target, true, false, FaultCode::NotRunning));
            }
            Call::Signal(ask::Signal(target, _), client) => {
                answer(client, self.change(&target, true, true, FaultCode::NotRunning));
            }
            Call::ReloadConfig(_, client) => {
                let (added, changed) = (vec!["new".into()], vec!["g".into()]);
                answer(client, Ok(Reread { added, changed, removed: Vec::new() }));
            }
            Call::TakeConfiguration(_, client) => answer(client, Ok(())),
            Call::Update(ask::Update(names, _), client) => {
                let group = |name: &str, action| GroupPlan {
                    name: name.into(),
                    action,
                    members: 1,
                    keys: Vec::new(),
                    processes: Vec::new(),
                };
                let mut groups = vec![group("g", GroupAction::Change), group("new", GroupAction::Add)];
                let names = names.unwrap_or_else(|| vec!["g".into(), "new".into()]);
                groups.retain(|group| names.contains(&group.name));
                let unknown = names.iter().find(|name| !groups.iter().any(|group| group.name == **name));
                answer(
                    client,
                    match unknown {
                        Some(name) => Err(bad_name(name)),
                        None => Ok(Updated { plan: UpdatePlan { groups }, problems: Vec::new() }),
                    },
                );
            }
            Call::Scale(ask::Scale(orders, _), client) => {
                let unknown = orders.iter().find(|order| order.name != "g");
                let program = |order: &Scaling| ScaledProgram {
                    program: order.name.clone(),
                    before: 1,
                    now: order.amount.of(1).unwrap_or_default(),
                    configured: 1,
                };
                let programs = orders.iter().map(program).collect();
                let scaled = Scaled { programs, updated: Updated::default(), kept: Kept::UntilEnd };
                answer(client, unknown.map_or(Ok(scaled), |order| Err(bad_name(&order.name))));
            }
            Call::SetEnabled(ask::SetEnabled(targets, starts), client) => {
                let names: Vec<String> = targets.iter().map(|target| target.to_string()).collect();
                let processes = names.clone();
                answer(client, Ok(Enabled { starts, names, processes, kept: Kept::Saved }));
            }
            Call::Programs(_, client) => answer(client, Ok(Vec::new())),
            Call::AddProcessGroup(ask::AddProcessGroup(name), client) => answer(
                client,
                match name.as_str() {
                    "new" | "g" => Ok(()),
                    _ => Err(bad_name(&name)),
                },
            ),
            Call::RemoveProcessGroup(ask::RemoveProcessGroup(name), client) => answer(
                client,
                match name.as_str() {
                    "a" => Err(Fault::with(FaultCode::StillRunning, "a")),
                    "g" | "b" => Ok(()),
                    _ => Err(bad_name(&name)),
                },
            ),
            Call::Log(ask::Log(None), client) => {
                answer(client, Ok(LogSource::File(self.dir.join("main.log"))));
            }
            Call::Log(ask::Log(Some((target, stream))), client) => {
                let source = |(_, name)| match stream {
                    Stream::Stdout => LogSource::File(self.dir.join(format!("{name}.log"))),
                    Stream::Stderr => LogSource::None,
                };
                answer(client, self.one(&target).map(source));
            }
            Call::RemoveProcess(ask::RemoveProcess(target), client)
            | Call::SendProcessStdin(ask::SendProcessStdin(target, _), client) => {
                answer(client, self.one(&target).map(drop));
            }
            Call::ClearProcessLogs(ask::ClearProcessLogs(target), client) => answer(
                client,
                match target {
                    Target::Name { .. } => self.one(&target).map(|_| Applied::One),
                    _ => Ok(Applied::Several(Vec::new())),
                },
            ),
            Call::Upgrade(_, client) => answer(client, Ok(String::new())),
            Call::UpgradeState(_, client) => answer(client, Ok(String::new())),
            Call::ConfigProblem(_, client) => answer(client, Ok(String::new())),
            Call::SkippedFiles(_, client) => answer(client, Ok(Vec::new())),
            Call::ResolveName(ask::ResolveName(name), client) => answer(client, Ok(name)),
            Call::ProcessHistory(_, client) => answer(client, Ok(Vec::new())),
            Call::Keeper(_, client) => answer(client, Ok(Vec::new())),
            Call::Shutdown(_, client) => answer(client, Ok(())),
            Call::Restart(_, client) => answer(client, Ok(())),
            Call::ClearLog(_, client) => answer(client, Ok(())),
            Call::SendRemoteCommEvent(_, client) => answer(client, Ok(())),
            Call::Run(_, client) => answer(client, Ok(Vec::new())),
            Call::Health(_, client) => answer(client, Ok(Vec::new())),
            Call::DependencyGraph(_, client) => answer(client, Ok(Vec::new())),
            call @ (Call::Overview(..) | Call::Daemon(..) | Call::Alive(..) | Call::ConfigSource(..)) => {
                let mut outbox = Outbox::default();
                call.refuse(Fault::new(FaultCode::Failed), &mut outbox);
                outbox.send();
            }
        }
    }

    fn split(name: &str) -> (String, String) {
        let (group, process) = name.split_once(':').unwrap_or((name, name));
        (group.to_string(), process.to_string())
    }

    fn one(&self, target: &Target) -> Result<(String, String), Fault> {
        let Target::Name { sent, namespec } = target else { return Err(bad_name("")) };
        let known = self.running.contains_key(&namespec.to_string());
        if known && namespec.process.is_some() { Ok(Self::split(sent)) } else { Err(bad_name(sent)) }
    }

    fn change(
        &mut self,
        target: &Target,
        from: bool,
        to: bool,
        wrong_state: FaultCode,
    ) -> Result<Applied, Fault> {
        let group = match target {
            Target::Name { namespec, .. } if namespec.process.is_none() => Some(namespec.group.clone()),
            Target::Group(group) => Some(group.clone()),
            Target::All => None,
            Target::Name { .. } => {
                let (group, name) = self.one(target)?;
                let spec = supervisord::model::namespec::display(&group, &name);
                // It was found just now.
                let running = self.running.get_mut(&spec).unwrap();
                if *running != from {
                    return Err(Fault::with(wrong_state, spec));
                }
                *running = to;
                return Ok(Applied::One);
            }
        };
        let members = self.running.iter_mut().filter(|(name, running)| {
            **running == from && group.as_ref().is_none_or(|group| Self::split(name).0 == *group)
        });
        let statuses = members.map(|(name, running)| {
            *running = to;
            let (group, name) = Self::split(name);
            BulkStatus { name, group, outcome: Ok(()) }
        });
        Ok(Applied::Several(statuses.collect()))
    }

    fn all(&self) -> Vec<ProcessInfo> {
        let own =
            self.running.keys().map(|name| Self::split(name)).map(|(group, name)| self.info(&group, &name));
        let extra = (0..self.n_extra).map(|n| format!("p{n}")).map(|name| self.info(&name, &name));
        own.chain(extra).collect()
    }

    fn info(&self, group: &str, name: &str) -> ProcessInfo {
        let spec = supervisord::model::namespec::display(group, name);
        let running = self.running.get(&spec).copied().unwrap_or(true);
        ProcessInfo {
            name: name.into(),
            group: group.into(),
            start: 1_795_000_000,
            stop: 0,
            now: 1_795_000_100,
            state: if running { ProcessState::Running } else { ProcessState::Stopped },
            spawnerr: String::new(),
            exitstatus: 0,
            stdout_logfile: self.dir.join(format!("{name}.log")).to_string_lossy().into_owned(),
            stderr_logfile: String::new(),
            pid: if running { 100 } else { 0 },
            description: if running { "pid 100, uptime 0:01:40".into() } else { "Not started".into() },
        }
    }
}
