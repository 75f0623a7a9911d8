//! The rules for requests as a table: what each leads to, given one process in every state.

use super::policy::{Decision, Members, Next, Order, Table, after_start, after_stop, decide};
use super::waiters::Wants;
use crate::control::request::{Request, Target, Wait};
use crate::core::process::{Process, State};
use crate::core::sample;
use crate::manager::processes::{Proc, ProcessManager};
use crate::model::config::{FcgiAddress, FcgiSocket, GroupConfig, GroupKind, ProcessConfig};
use crate::model::fault::{Fault, FaultCode};
use crate::model::signal::Signal;
use crate::model::state::{ProcessState, SupervisorState};
use crate::model::stream::Stream;
use crate::model::time::Monotonic;
use std::sync::Arc;

const LATER: Monotonic = Monotonic(9);

/// A process, and the place that its priority gives it.
type Row = (&'static str, State, i64);

/// Its members are configured in another order than their priorities ask for.
fn every_state() -> Vec<Row> {
    vec![
        ("running", State::Running { pid: 2 }, 5),
        ("stopped", State::Stopped, 1),
        ("starting", State::Starting { pid: Some(3), up_at: LATER }, 3),
        // Nobody has created its program so far.
        ("spawning", State::Starting { pid: None, up_at: LATER }, 4),
        ("backoff", State::Backoff { retry_at: LATER }, 6),
        ("stopping", State::Stopping { pid: 4, kill_at: LATER, start_after: false, then: 0 }, 7),
        ("exited", State::Exited { start_at: None }, 2),
        ("pausing", State::Exited { start_at: Some(LATER) }, 8),
        ("fatal", State::Fatal, 9),
        ("unknown", State::Unknown { pid: 5 }, 10),
    ]
}

fn group(name: &str, priority: i64, rows: &[Row]) -> Arc<GroupConfig> {
    let process = |(name, _, priority): &Row| {
        let address = FcgiAddress::Tcp { host: String::new(), port: 1 };
        let fcgi_socket = name.starts_with("fcgi").then_some(FcgiSocket { address, backlog: None });
        let (name, priority) = ((*name).into(), *priority);
        Arc::new(ProcessConfig { name, priority, fcgi_socket, ..sample::config() })
    };
    let processes = rows.iter().map(process).collect();
    Arc::new(GroupConfig { name: name.into(), priority, kind: GroupKind::Group, processes })
}

/// Groups that are active, and one more that is only configured.
fn table() -> (ProcessManager, Vec<Arc<GroupConfig>>) {
    let rest = vec![("rest", State::Stopped, 999)];
    let fcgi = vec![("fcgi", State::Running { pid: 6 }, 999)];
    let mut procs = ProcessManager::default();
    let mut configured = Vec::new();
    for (name, priority, rows) in [("g", 2, every_state()), ("rest", 1, rest), ("fcgi", 3, fcgi)] {
        let config = group(name, priority, &rows);
        let (mut members, mut states) = (Vec::new(), Vec::new());
        for (process, (_, state, _)) in config.processes.iter().zip(rows) {
            let proc = Proc::new(Arc::clone(process), &config, Default::default());
            members.push((procs.unused_slot().unwrap(), proc));
            states.push(state);
        }
        let slots: Vec<_> = members.iter().map(|(slot, _)| *slot).collect();
        procs.add_group(Arc::clone(&config), members);
        for (slot, state) in slots.into_iter().zip(states) {
            procs.replace(slot, Process { state, ..Process::default() });
        }
        configured.push(config);
    }
    configured.push(group("new", 4, &[("new", State::Stopped, 999)]));
    (procs, configured)
}

/// A decision in words.
fn shown(procs: &ProcessManager, decision: Result<Decision<'_>, Fault>) -> String {
    let name = |slot| procs.proc(slot).unwrap().namespec();
    let members = |members: Members<'_>| match members {
        Members::One { slot, sent } => format!("one {} as '{sent}'", name(slot)),
        Members::Several(members) => {
            let each = members.into_iter().map(|member| match member.refused {
                Some(fault) => format!("{} ({fault})", name(member.slot)),
                None => name(member.slot),
            });
            each.collect::<Vec<_>>().join(", ")
        }
    };
    match decision {
        Err(fault) => fault.to_string(),
        Ok(Decision::Answer) => "answer".to_string(),
        Ok(Decision::AnswerAbout(slot)) => format!("answer about {}", name(slot)),
        Ok(Decision::Order(Order::Start, those, _)) => format!("start {}", members(those)),
        Ok(Decision::Order(Order::Stop, those, _)) => format!("stop {}", members(those)),
        Ok(Decision::Signal(those, signal)) => format!("send {signal} to {}", members(those)),
        Ok(Decision::AddGroup(group)) => format!("add {}", group.name),
        Ok(Decision::RemoveGroup(group)) => format!("remove {group}"),
        Ok(Decision::RemoveMember { group, name }) => format!("remove {name} of {group}"),
        Ok(Decision::ClearLogs(those)) => format!("clear {}", members(those)),
        Ok(Decision::SendStdin { slot, sent, bytes }) => {
            format!("send {} bytes to {} as '{sent}'", bytes.len(), name(slot))
        }
        Ok(Decision::Upgrade(binary)) => format!("upgrade to {binary:?}"),
    }
}

#[track_caller]
fn check(state: SupervisorState, rows: Vec<(Request, &str)>) {
    let (procs, configured) = table();
    for (request, expected) in rows {
        let table = Table { state, procs: &procs, configured: &configured };
        assert_eq!(shown(&procs, decide(table, &request)), expected, "{request:?}");
    }
}

#[test]
fn orders_and_what_stands_in_their_way() {
    let start = |target: &str| Request::Start(Target::parse(target), Wait::Yes);
    let stop = |target: &str| Request::Stop(Target::parse(target), Wait::Yes);
    let send = |target: &str| Request::Signal(Target::parse(target), Signal::HUP);
    let group = || Target::Group("g".to_string());
    check(
        SupervisorState::Running,
        vec![
            (start("g:stopped"), "start one g:stopped as 'g:stopped'"),
            (start("g:exited"), "start one g:exited as 'g:exited'"),
            (start("g:pausing"), "start one g:pausing as 'g:pausing'"),
            (start("g:fatal"), "start one g:fatal as 'g:fatal'"),
            (start("g:stopping"), "start one g:stopping as 'g:stopping'"),
            (start("g:running"), "ALREADY_STARTED: g:running"),
            (start("g:starting"), "ALREADY_STARTED: g:starting"),
            (start("g:spawning"), "ALREADY_STARTED: g:spawning"),
            (start("g:backoff"), "ALREADY_STARTED: g:backoff"),
            (start("g:unknown"), "FAILED: g:unknown is in an unknown process state"),
            (start("rest"), "start one rest as 'rest'"),
            (start("running"), "BAD_NAME: running"),
            (start("g:no"), "BAD_NAME: g:no"),
            (start("no:*"), "BAD_NAME: no:*"),
            (stop("g:running"), "stop one g:running as 'g:running'"),
            (stop("g:spawning"), "stop one g:spawning as 'g:spawning'"),
            (stop("g:backoff"), "stop one g:backoff as 'g:backoff'"),
            (stop("g:stopping"), "stop one g:stopping as 'g:stopping'"),
            (stop("g:pausing"), "stop one g:pausing as 'g:pausing'"),
            (stop("g:stopped"), "NOT_RUNNING: g:stopped"),
            (stop("g:exited"), "NOT_RUNNING: g:exited"),
            (stop("g:fatal"), "NOT_RUNNING: g:fatal"),
            (send("g:running"), "send SIGHUP to one g:running as 'g:running'"),
            (send("g:stopping"), "send SIGHUP to one g:stopping as 'g:stopping'"),
            (send("g:spawning"), "NOT_RUNNING: g:spawning"),
            (send("g:backoff"), "NOT_RUNNING: g:backoff"),
            (send("g:unknown"), "NOT_RUNNING: g:unknown"),
            // Several: in the order of their priorities, stopped the other way round, and only those it applies to.
            (
                start("g:*"),
                "start g:stopped, g:exited, g:stopping, g:pausing, g:fatal, \
                 g:unknown (FAILED: g:unknown is in an unknown process state)",
            ),
            (
                Request::Start(Target::All, Wait::No),
                "start rest, g:stopped, g:exited, g:stopping, g:pausing, g:fatal, \
                 g:unknown (FAILED: g:unknown is in an unknown process state)",
            ),
            (
                Request::Stop(group(), Wait::No),
                "stop g:pausing, g:stopping, g:backoff, g:running, g:spawning, g:starting",
            ),
            (
                Request::Signal(group(), Signal::HUP),
                "send SIGHUP to g:starting, g:spawning (NOT_RUNNING: g:spawning), g:running, g:stopping",
            ),
            (Request::Stop(Target::Group("no".to_string()), Wait::No), "BAD_NAME: no"),
        ],
    );
}

#[test]
fn changes_and_what_stands_in_their_way() {
    let add = |name: &str| Request::AddProcessGroup(name.to_string());
    let remove_group = |name: &str| Request::RemoveProcessGroup(name.to_string());
    let remove = |target: &str| Request::RemoveProcess(Target::parse(target));
    let stdin = |target: &str| Request::SendProcessStdin(Target::parse(target), vec![0; 7]);
    let clear = |target: &str| Request::ClearProcessLogs(Target::parse(target));
    check(
        SupervisorState::Running,
        vec![
            (add("new"), "add new"),
            (add("g"), "ALREADY_ADDED: g"),
            (add("no"), "BAD_NAME: no"),
            (remove_group("rest"), "remove rest"),
            (remove_group("g"), "STILL_RUNNING: g"),
            (remove_group("new"), "BAD_NAME: new"),
            (remove("g:stopped"), "remove stopped of g"),
            (remove("g:pausing"), "remove pausing of g"),
            (remove("g:unknown"), "remove unknown of g"),
            (remove("g:running"), "STILL_RUNNING: g:running"),
            (remove("g:backoff"), "STILL_RUNNING: g:backoff"),
            (remove("g:stopping"), "STILL_RUNNING: g:stopping"),
            (remove("rest:*"), "remove rest"),
            (remove("no:*"), "BAD_NAME: no"),
            (Request::RemoveProcess(Target::All), "INCORRECT_PARAMETERS"),
            (stdin("g:running"), "send 7 bytes to g:running as 'g:running'"),
            (stdin("g:starting"), "send 7 bytes to g:starting as 'g:starting'"),
            (stdin("g:stopping"), "NOT_RUNNING: g:stopping"),
            (stdin("fcgi"), "NO_FILE: fcgi"),
            (clear("g:fatal"), "clear one g:fatal as 'g:fatal'"),
            (clear("g:*"), "BAD_NAME: g:*"),
            (Request::ClearProcessLogs(Target::Group("rest".to_string())), "clear rest"),
            (Request::Upgrade(None), "upgrade to None"),
        ],
    );
}

#[test]
fn on_the_way_down_questions_about_the_daemon_are_answered_and_nothing_else() {
    let target = || Target::parse("g:running");
    let refused = "SHUTDOWN_STATE";
    let rows = || {
        vec![
            (Request::State, "answer"),
            (Request::Pid, "answer"),
            (Request::Identification, "answer"),
            (Request::Overview(Target::All), "answer"),
            (Request::Daemon, "answer"),
            (Request::Alive, "answer"),
            (Request::ResolveName("x".to_string()), "answer"),
            (Request::SendRemoteCommEvent { kind: String::new(), data: String::new() }, "answer"),
            (Request::ProcessInfo(target()), refused),
            (Request::AllProcessInfo, refused),
            (Request::ProcessLog(target(), Stream::Stdout), refused),
            (Request::Stop(target(), Wait::No), refused),
            (Request::Shutdown, refused),
            (Request::Restart, refused),
            (Request::ReloadConfig, refused),
            (Request::Upgrade(None), refused),
            (Request::Keeper, refused),
        ]
    };
    check(SupervisorState::Shutdown, rows());
    check(SupervisorState::Restarting, rows());
    check(SupervisorState::Running, vec![(Request::ProcessInfo(target()), "answer about g:running")]);
}

#[test]
fn who_is_answered_at_once_and_who_waits() {
    use ProcessState::*;
    let spawn_error = || Next::Answer(Err(Fault::with(FaultCode::SpawnError, "x")));
    for (state, waiting, not_waiting) in [
        (Running, Next::Answer(Ok(())), Next::Answer(Ok(()))),
        (Starting, Next::Wait(Wants::Up), Next::Answer(Ok(()))),
        (Stopping, Next::Wait(Wants::UpAfterStop), Next::Answer(Ok(()))),
        (Backoff, spawn_error(), spawn_error()),
        (Exited, spawn_error(), spawn_error()),
        (Fatal, spawn_error(), spawn_error()),
        (Stopped, spawn_error(), spawn_error()),
        (Unknown, spawn_error(), spawn_error()),
    ] {
        assert_eq!(after_start(state, "x", Wait::Yes), waiting, "{state}");
        assert_eq!(after_start(state, "x", Wait::No), not_waiting, "{state}");
    }
    for (state, refused, waiting, not_waiting) in [
        (Stopping, "", Next::Wait(Wants::Down), Ok(())),
        (Stopped, "", Next::Answer(Ok(())), Ok(())),
        (Exited, "", Next::Answer(Ok(())), Ok(())),
    ] {
        assert_eq!(after_stop(state, "x", refused, Wait::Yes), waiting, "{state}");
        assert_eq!(after_stop(state, "x", refused, Wait::No), Next::Answer(not_waiting), "{state}");
    }
    for (refused, text) in
        [("", "unknown problem killing x"), ("not permitted", "unknown problem killing x: not permitted")]
    {
        let expected = Next::Answer(Err(Fault::with(FaultCode::Failed, text)));
        assert_eq!(after_stop(Unknown, "x", refused, Wait::Yes), expected);
    }
}
