//! The rules for requests as a table: what each request leads to, given one process in every state.

use super::policy::{Members, Next, Removal, Table, admit, after_start, after_stop};
use super::waiters::Wants;
use crate::control::ask::{self, Ask, Call, RemoteCommEvent};
use crate::control::request::{Client, Target, Wait};
use crate::core::process::{After, NEVER, Process, State};
use crate::core::sample;
use crate::manager::processes::{Proc, ProcessManager, SlotId};
use crate::model::config::{FcgiAddress, FcgiSocket, GroupConfig, GroupKind, ProcessConfig, SourceFiles};
use crate::model::fault::{Fault, FaultCode};
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
        ("running", State::Running { pid: 2, until: NEVER }, 5),
        ("stopped", State::Stopped, 1),
        ("starting", State::Starting { pid: Some(3), up_at: LATER, is_ready: false }, 3),
        // Nobody has created its program so far.
        ("spawning", State::Starting { pid: None, up_at: LATER, is_ready: false }, 4),
        ("backoff", State::Backoff { retry_at: LATER }, 6),
        ("stopping", State::Stopping { pid: 4, kill_at: LATER, after: After::Rest, then: 0 }, 7),
        ("exited", State::Exited { start_at: None }, 2),
        ("pausing", State::Exited { start_at: Some(LATER) }, 8),
        ("fatal", State::Fatal { retry_at: None }, 9),
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
    Arc::new(GroupConfig {
        name: name.into(),
        priority,
        kind: GroupKind::Group,
        processes,
        files: SourceFiles::default(),
    })
}

/// Groups that are active, and one more that is only configured.
fn table() -> (ProcessManager, Vec<Arc<GroupConfig>>) {
    let rest = vec![("rest", State::Stopped, 999)];
    let fcgi = vec![("fcgi", State::Running { pid: 6, until: NEVER }, 999)];
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

/// Decisions in words.
struct Words<'a>(Table<'a>);

impl Words<'_> {
    fn name(&self, slot: SlotId) -> String {
        self.0.procs.proc(slot).unwrap().namespec()
    }

    fn members(&self, members: Result<Members<'_>, Fault>) -> String {
        match members {
            Err(fault) => fault.to_string(),
            Ok(Members::One { slot, sent }) => format!("one {} as '{sent}'", self.name(slot)),
            Ok(Members::Several(members)) => {
                let each = members.into_iter().map(|member| match member.refused {
                    Some(fault) => format!("{} ({fault})", self.name(member.slot)),
                    None => self.name(member.slot),
                });
                each.collect::<Vec<_>>().join(", ")
            }
        }
    }

    fn removal(&self, removal: Result<Removal<'_>, Fault>) -> String {
        match removal {
            Err(fault) => fault.to_string(),
            Ok(Removal::Group(group)) => format!("group {group}"),
            Ok(Removal::Member { group, name }) => format!("{name} of {group}"),
        }
    }
}

#[track_caller]
fn check(rows: impl FnOnce(Table<'_>, &Words<'_>) -> Vec<(String, &'static str)>) {
    let (procs, configured) = table();
    let table = Table { state: SupervisorState::Running, procs: &procs, configured: &configured };
    for (number, (decision, expected)) in rows(table, &Words(table)).into_iter().enumerate() {
        assert_eq!(decision, expected, "row {number}");
    }
}

#[test]
fn orders_and_what_stands_in_their_way() {
    let group = |name: &str| Target::Group(name.to_string());
    check(|table, words| {
        let start_of = |target: Target| words.members(table.start(&target));
        let stop_of = |target: Target| words.members(table.stop(&target));
        let send_to = |target: Target| words.members(table.signal(&target));
        let start = |target: &str| start_of(Target::parse(target));
        let stop = |target: &str| stop_of(Target::parse(target));
        let send = |target: &str| send_to(Target::parse(target));
        vec![
            (start("g:stopped"), "one g:stopped as 'g:stopped'"),
            (start("g:exited"), "one g:exited as 'g:exited'"),
            (start("g:pausing"), "one g:pausing as 'g:pausing'"),
            (start("g:fatal"), "one g:fatal as 'g:fatal'"),
            (start("g:stopping"), "one g:stopping as 'g:stopping'"),
            (start("g:running"), "ALREADY_STARTED: g:running"),
            (start("g:starting"), "ALREADY_STARTED: g:starting"),
            (start("g:spawning"), "ALREADY_STARTED: g:spawning"),
            (start("g:backoff"), "ALREADY_STARTED: g:backoff"),
            (start("g:unknown"), "FAILED: g:unknown is in an unknown process state"),
            (start("rest"), "one rest as 'rest'"),
            (start("running"), "BAD_NAME: running"),
            (start("g:no"), "BAD_NAME: g:no"),
            (start("no:*"), "BAD_NAME: no:*"),
            (stop("g:running"), "one g:running as 'g:running'"),
            (stop("g:spawning"), "one g:spawning as 'g:spawning'"),
            (stop("g:backoff"), "one g:backoff as 'g:backoff'"),
            (stop("g:stopping"), "one g:stopping as 'g:stopping'"),
            (stop("g:pausing"), "one g:pausing as 'g:pausing'"),
            (stop("g:stopped"), "NOT_RUNNING: g:stopped"),
            (stop("g:exited"), "NOT_RUNNING: g:exited"),
            (stop("g:fatal"), "NOT_RUNNING: g:fatal"),
            (send("g:running"), "one g:running as 'g:running'"),
            (send("g:stopping"), "one g:stopping as 'g:stopping'"),
            (send("g:spawning"), "NOT_RUNNING: g:spawning"),
            (send("g:backoff"), "NOT_RUNNING: g:backoff"),
            (send("g:unknown"), "NOT_RUNNING: g:unknown"),
            // Several: in the order of their priorities, stopped the other way round, and only those it applies to.
            (
                start("g:*"),
                "g:stopped, g:exited, g:stopping, g:pausing, g:fatal, \
                 g:unknown (FAILED: g:unknown is in an unknown process state)",
            ),
            (
                start_of(Target::All),
                "rest, g:stopped, g:exited, g:stopping, g:pausing, g:fatal, \
                 g:unknown (FAILED: g:unknown is in an unknown process state)",
            ),
            (stop_of(group("g")), "g:pausing, g:stopping, g:backoff, g:running, g:spawning, g:starting"),
            (send_to(group("g")), "g:starting, g:spawning (NOT_RUNNING: g:spawning), g:running, g:stopping"),
            (stop_of(group("no")), "BAD_NAME: no"),
        ]
    });
}

#[test]
fn changes_and_what_stands_in_their_way() {
    check(|table, words| {
        let add = |name: &str| match table.add_group(name) {
            Ok(group) => group.name.to_string(),
            Err(fault) => fault.to_string(),
        };
        let stdin = |target: &str| match table.send_stdin(&Target::parse(target)) {
            Ok((slot, sent)) => format!("{} as '{sent}'", words.name(slot)),
            Err(fault) => fault.to_string(),
        };
        let remove_group = |name: &str| words.removal(table.remove_group(name));
        let remove_of = |target: Target| words.removal(table.remove(&target));
        let clear_of = |target: Target| words.members(table.clear_logs(&target));
        let remove = |target: &str| remove_of(Target::parse(target));
        let clear = |target: &str| clear_of(Target::parse(target));
        vec![
            (add("new"), "new"),
            (add("g"), "ALREADY_ADDED: g"),
            (add("no"), "BAD_NAME: no"),
            (remove_group("rest"), "group rest"),
            (remove_group("g"), "STILL_RUNNING: g"),
            (remove_group("new"), "BAD_NAME: new"),
            (remove("g:stopped"), "stopped of g"),
            (remove("g:pausing"), "pausing of g"),
            (remove("g:unknown"), "unknown of g"),
            (remove("g:running"), "STILL_RUNNING: g:running"),
            (remove("g:backoff"), "STILL_RUNNING: g:backoff"),
            (remove("g:stopping"), "STILL_RUNNING: g:stopping"),
            (remove("rest:*"), "group rest"),
            (remove("no:*"), "BAD_NAME: no"),
            (remove_of(Target::All), "INCORRECT_PARAMETERS"),
            (stdin("g:running"), "g:running as 'g:running'"),
            (stdin("g:starting"), "g:starting as 'g:starting'"),
            (stdin("g:stopping"), "NOT_RUNNING: g:stopping"),
            (stdin("fcgi"), "NO_FILE: fcgi"),
            (clear("g:fatal"), "one g:fatal as 'g:fatal'"),
            (clear("g:*"), "BAD_NAME: g:*"),
            (clear_of(Target::Group("rest".to_string())), "rest"),
        ]
    });
}

#[test]
fn on_the_way_down_questions_about_the_daemon_are_answered_and_nothing_else() {
    fn call<R: Ask>(request: R) -> Call {
        request.into_call(Client::channel().0)
    }
    let target = || Target::parse("g:running");
    let event = RemoteCommEvent { kind: String::new(), data: String::new() };
    let answered = [
        call(ask::State),
        call(ask::Pid),
        call(ask::Identification),
        call(ask::Overview(Target::All)),
        call(ask::Daemon),
        call(ask::Alive),
        call(ask::ResolveName("x".to_string())),
        call(ask::SendRemoteCommEvent(event)),
    ];
    let refused = [
        call(ask::ProcessInfo(target())),
        call(ask::AllProcessInfo),
        call(ask::Log(Some((target(), Stream::Stdout)))),
        call(ask::Stop(target(), Wait::No)),
        call(ask::Shutdown),
        call(ask::Restart),
        call(ask::ReloadConfig),
        call(ask::Upgrade(None)),
        call(ask::Keeper),
    ];
    for state in [SupervisorState::Shutdown, SupervisorState::Restarting] {
        for call in &answered {
            assert_eq!(admit(state, call), Ok(()), "{call:?}");
        }
        for call in &refused {
            assert_eq!(admit(state, call), Err(Fault::new(FaultCode::ShutdownState)), "{call:?}");
        }
    }
    for call in answered.iter().chain(&refused) {
        assert_eq!(admit(SupervisorState::Running, call), Ok(()), "{call:?}");
    }
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
        assert_eq!(after_start(state, "x", "", Wait::Yes), waiting, "{state}");
        assert_eq!(after_start(state, "x", "", Wait::No), not_waiting, "{state}");
    }
    let told = Next::Answer(Err(Fault::with(FaultCode::SpawnError, "x: Bad exit code 3")));
    assert_eq!(after_start(Backoff, "x", "Bad exit code 3", Wait::Yes), told);
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
