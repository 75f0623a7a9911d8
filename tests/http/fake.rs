//! A daemon without programs: a listener in front of a loop that answers from a table.

use futures_lite::future;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use supervisord::config::Reread;
use supervisord::control::request::{
    Answer, BulkStatus, Call, Handle, Outcome, ProcessInfo, Request, Target, Wait,
};
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
    pub requests: Arc<Mutex<Vec<Request>>>,
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
        rt::spawn(answer_all(calls, programs, requests.clone())).detach();
        let context = Context::with_limits(handle, &["supervisor".to_string()], "4.3.0", limits);
        Daemon { dir, context, requests, servers: Vec::new() }
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
    requests: Arc<Mutex<Vec<Request>>>,
) {
    while let Ok(call) = calls.recv().await {
        requests.lock().unwrap().push(call.request.clone());
        let outcome = programs.answer(&call.request);
        if let Request::Start(_, Wait::Yes) = &call.request {
            // Starting takes a while, and others are answered meanwhile.
            let reply = call.reply;
            rt::spawn(async move {
                Timer::after(Duration::from_millis(20)).await;
                let _ = reply.send(outcome).await;
            })
            .detach();
        } else {
            let _ = future::poll_once(call.reply.send(outcome)).await;
        }
    }
}

fn bad_name(sent: &str) -> Fault {
    Fault::with(FaultCode::BadName, sent)
}

impl Programs {
    fn answer(&mut self, request: &Request) -> Outcome {
        match request {
            Request::State => Ok(Answer::State(SupervisorState::Running)),
            Request::Pid => Ok(Answer::Number(4711)),
            Request::Identification => Ok(Answer::Text("supervisor".into())),
            Request::ProcessInfo(target) => {
                let (group, name) = self.one(target)?;
                Ok(Answer::Process(Box::new(self.info(&group, &name))))
            }
            Request::AllProcessInfo | Request::Table(_) => Ok(Answer::Processes(Arc::new(self.all().into()))),
            Request::AllConfigInfo => Ok(Answer::Configs(Vec::new())),
            Request::Start(target, _) => self.change(target, false, true, FaultCode::AlreadyStarted),
            Request::Stop(target, _) => self.change(target, true, false, FaultCode::NotRunning),
            Request::Signal(target, _) => self.change(target, true, true, FaultCode::NotRunning),
            Request::ReloadConfig => Ok(Answer::Reread(Reread {
                added: vec!["new".into()],
                changed: vec!["g".into()],
                removed: Vec::new(),
            })),
            Request::AddProcessGroup(name) if name == "new" || name == "g" => Ok(Answer::Done),
            Request::AddProcessGroup(name) => Err(bad_name(name)),
            Request::RemoveProcessGroup(name) if name == "a" => {
                Err(Fault::with(FaultCode::StillRunning, "a"))
            }
            Request::RemoveProcessGroup(name) if name == "g" || name == "b" => Ok(Answer::Done),
            Request::RemoveProcessGroup(name) => Err(bad_name(name)),
            Request::MainLog => Ok(Answer::Log(LogSource::File(self.dir.join("main.log")))),
            Request::ProcessLog(target, stream) => {
                let (_, name) = self.one(target)?;
                Ok(Answer::Log(match stream {
                    Stream::Stdout => LogSource::File(self.dir.join(format!("{name}.log"))),
                    Stream::Stderr => LogSource::None,
                }))
            }
            Request::RemoveProcess(target)
            | Request::ClearProcessLogs(target @ Target::Name { .. })
            | Request::SendProcessStdin(target, _) => self.one(target).map(|_| Answer::Done),
            Request::ClearProcessLogs(_) => Ok(Answer::Bulk(Vec::new())),
            Request::Upgrade(_) | Request::UpgradeState | Request::ConfigProblem => {
                Ok(Answer::Text(String::new()))
            }
            Request::ResolveName(name) => Ok(Answer::Text(name.clone())),
            Request::ProcessHistory(_) | Request::Keeper => Ok(Answer::Facts(Vec::new())),
            Request::Overview(_) | Request::Daemon | Request::Alive | Request::ConfigSource => {
                Err(Fault::new(FaultCode::Failed))
            }
            Request::Shutdown
            | Request::Restart
            | Request::ClearLog
            | Request::SendRemoteCommEvent { .. } => Ok(Answer::Done),
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

    fn change(&mut self, target: &Target, from: bool, to: bool, wrong_state: FaultCode) -> Outcome {
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
                return Ok(Answer::Done);
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
        Ok(Answer::Bulk(statuses.collect()))
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
