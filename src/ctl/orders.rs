//! The same action on many processes: what `start`, `stop`, `restart`, `signal` and `clear` have in common.
//!
//! Every name on the command line becomes one call. Calls about different processes run at the same time, so the
//! slowest one decides how long it takes. The lines are still printed in the order of the names.

use crate::ctl::daemon::{bulk, text};
use crate::ctl::dependents;
use crate::ctl::error::{CtlError, Outcome};
use crate::ctl::exit::Exit;
use crate::ctl::graph::Node;
use crate::ctl::names;
use crate::ctl::records::{BulkLine, Process};
use crate::ctl::session::Session;
use crate::ctl::tables::unsupported;
use crate::model::fault::FaultCode;
use crate::model::namespec::{self, Namespec};
use crate::model::state::ProcessState;
use crate::rpc::client::{CallError, Pending};
use crate::rpc::wire::Value;
use std::collections::{BTreeSet, HashSet, VecDeque};
use std::time::Duration;

/// How many calls may be under way at the same time. Each takes a connection.
const MAX_PARALLEL: usize = 100;

/// How often a process that somebody else starts is looked at.
const STARTING_POLL: Duration = Duration::from_millis(100);

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order<'a> {
    Start {
        /// Whether what it depends on is left as it is.
        alone: bool,
        /// Whether the answer comes when they run, or when jobs have ended.
        waits: bool,
    },
    /// The second half of a restart: that somebody else has started it meanwhile is what was wanted.
    StartAgain,
    Stop,
    /// The first half of a restart.
    StopToRestart,
    /// To stop them and, before them, all that depends on them.
    StopWithDependents,
    /// The signal as it was typed: the daemon decides whether it is one.
    Signal(&'a str),
    Clear,
}

/// To whom.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Whom {
    Process { name: String },
    Group { name: String },
    All,
}

impl Whom {
    /// The one way to write it: `name`, `group:name` or `group:*`.
    fn canonical(&self) -> String {
        match self {
            Whom::Process { name } => match Namespec::parse(name) {
                Namespec { group, process: Some(process) } => namespec::display(&group, &process),
                Namespec { group, process: None } => format!("{group}:*"),
            },
            Whom::Group { name } => format!("{name}:*"),
            Whom::All => "all".to_string(),
        }
    }
}

impl Order<'_> {
    /// The usual start.
    pub(crate) const START: Order<'static> = Order::Start { alone: false, waits: true };

    fn is_start(self) -> bool {
        matches!(self, Order::Start { .. } | Order::StartAgain)
    }

    fn is_stop(self) -> bool {
        matches!(self, Order::Stop | Order::StopToRestart | Order::StopWithDependents)
    }

    /// Whether Supervisor has no method for it.
    fn is_ours(self) -> bool {
        matches!(self, Order::Start { alone: true, .. } | Order::StopWithDependents)
    }

    /// The method and its arguments.
    fn call(self, whom: &Whom) -> (&'static str, Vec<Value>) {
        let named = match whom {
            Whom::Process { name } | Whom::Group { name } => Some(name.clone()),
            Whom::All => None,
        };
        // Our own methods have one name for a process and for a group.
        let spec = match whom {
            Whom::Group { name } => Some(format!("{name}:*")),
            _ => named.clone(),
        };
        let (method, name) = match (self, whom) {
            // `plan` names the groups.
            (Order::Start { alone: true, .. }, _) => ("supervisord.startProcessAlone", spec),
            (Order::StopWithDependents, Whom::Process { .. } | Whom::Group { .. }) => {
                ("supervisord.stopProcessWithDependents", spec)
            }
            (_, Whom::Process { .. }) if self.is_start() => ("supervisor.startProcess", named),
            (_, Whom::Group { .. }) if self.is_start() => ("supervisor.startProcessGroup", named),
            (_, Whom::All) if self.is_start() => ("supervisor.startAllProcesses", None),
            (_, Whom::Process { .. }) if self.is_stop() => ("supervisor.stopProcess", named),
            (_, Whom::Group { .. }) if self.is_stop() => ("supervisor.stopProcessGroup", named),
            (_, Whom::All) if self.is_stop() => ("supervisor.stopAllProcesses", None),
            (Order::Signal(_), Whom::Process { .. }) => ("supervisor.signalProcess", named),
            (Order::Signal(_), Whom::Group { .. }) => ("supervisor.signalProcessGroup", named),
            (Order::Signal(_), Whom::All) => ("supervisor.signalAllProcesses", None),
            // There is no call for a group: `plan` names its members.
            (_, Whom::Process { .. } | Whom::Group { .. }) => ("supervisor.clearProcessLogs", named),
            (_, Whom::All) => ("supervisor.clearAllProcessLogs", None),
        };
        let mut params: Vec<Value> = name.map(|name| text(&name)).into_iter().collect();
        match self {
            Order::Signal(signal) => params.push(text(signal)),
            Order::Start { waits: false, .. } => params.push(Value::Boolean(false)),
            _ => {}
        }
        (method, params)
    }

    /// The word for success.
    fn done(self) -> &'static str {
        match self {
            Order::Start { .. } | Order::StartAgain => "started",
            Order::Stop | Order::StopToRestart | Order::StopWithDependents => "stopped",
            Order::Signal(_) => "signalled",
            Order::Clear => "cleared",
        }
    }

    /// What a fault about `name` is called on the screen. The words are Supervisor's; what has none there shows its own
    /// text, and so does a start whose failure has a reason.
    fn wording(self, name: &str, code: i32, description: &str) -> String {
        let reason = description.strip_prefix(FaultCode::SpawnError.name());
        let reason = reason.and_then(|text| text.strip_prefix(": ")?.strip_prefix(name)?.strip_prefix(": "));
        let words = match FaultCode::from_code(code) {
            Some(FaultCode::BadName) => "no such process",
            Some(FaultCode::BadSignal) => "bad signal name",
            Some(FaultCode::NoFile) => "no such file",
            Some(FaultCode::NotExecutable) => "file is not executable",
            Some(FaultCode::AbnormalTermination) => "abnormal termination",
            Some(FaultCode::SpawnError) => reason.unwrap_or("spawn error"),
            Some(FaultCode::AlreadyStarted) => "already started",
            Some(FaultCode::NotRunning) => "not running",
            Some(FaultCode::Failed) if self == Order::Clear => "failed",
            _ => description,
        };
        words.to_string()
    }

    /// The status a fault leaves behind, if any.
    fn exit(self, code: i32, whom: &Whom) -> Option<Exit> {
        match (self, FaultCode::from_code(code)) {
            (_, Some(FaultCode::AlreadyStarted)) if self.is_start() => None,
            (_, Some(FaultCode::NotRunning)) if self.is_stop() => None,
            (_, Some(FaultCode::BadName)) if self.is_start() && matches!(whom, Whom::Group { .. }) => {
                Some(Exit::INVALID_ARGS)
            }
            (_, Some(FaultCode::AbnormalTermination | FaultCode::SpawnError | FaultCode::NotRunning)) => {
                Some(Exit::NOT_RUNNING)
            }
            _ => Some(Exit::GENERIC),
        }
    }
}

/// Carries out an order for names as they were typed, `all` among them or not, and prints a line for each process.
///
/// # Errors
/// A call that came to nothing; refusals are lines.
pub(crate) fn carry_out(session: &mut Session, order: Order<'_>, words: &[&str]) -> Outcome {
    if order != Order::StartAgain {
        session.not_stopped.clear();
    }
    let targets = plan(session, order, words)?;
    session.addressed = targets.iter().map(Whom::canonical).collect();
    if independent(&targets) {
        in_parallel(session, order, targets)
    } else {
        one_by_one(session, order, targets)
    }
}

/// Turns words into targets. Wildcards that match nothing are told here.
fn plan(session: &mut Session, order: Order<'_>, words: &[&str]) -> Result<Vec<Whom>, CtlError> {
    if words.contains(&"all") {
        return Ok(match order {
            // There is no call for all of them.
            Order::Start { alone: true, .. } => groups(session),
            _ => vec![Whom::All],
        });
    }
    let mut targets = Vec::new();
    for word in words {
        let Namespec { group, process } = Namespec::parse(word);
        if names::is_wildcard(word) {
            let matching = matching(session, word);
            if matching.is_empty() {
                no_match(session, word, Exit::GENERIC)?;
            }
            targets.extend(matching.into_iter().map(|name| Whom::Process { name }));
        } else if process.is_some() {
            targets.push(Whom::Process { name: word.to_string() });
        } else if order == Order::Clear {
            targets.extend(members(session, &group)?);
        } else {
            targets.push(Whom::Group { name: group });
        }
    }
    Ok(targets)
}

/// All groups there are.
fn groups(session: &mut Session) -> Vec<Whom> {
    let processes = session.known_processes();
    let groups: BTreeSet<&str> = processes.iter().map(|process| process.group.as_str()).collect();
    groups.into_iter().map(|group| Whom::Group { name: group.to_string() }).collect()
}

/// The names a wildcard means.
pub(crate) fn matching(session: &mut Session, word: &str) -> Vec<String> {
    names::matching(word, session.known_processes()).into_iter().map(Process::namespec).collect()
}

/// Tells that a wildcard matches nothing, and what may have been meant.
///
/// # Errors
/// If nobody reads the output any more.
pub(crate) fn no_match(session: &mut Session, word: &str, exit: Exit) -> Outcome {
    session.complain(&format!("{word}: ERROR (no matching process)"), exit)?;
    suggest(session, word);
    Ok(())
}

/// Tells on standard error what may have been meant by a name.
pub(crate) fn suggest(session: &mut Session, word: &str) {
    if let Some(group) = inactive_group(session, word) {
        return session.screen.hint(&format!("  {word} is configured but not active: update {group}"));
    }
    // A name that exists can be wrong where it stands: a group where one process is asked for.
    if let Some(name) = names::suggestion(word, session.known_processes()).filter(|name| name != word) {
        session.screen.hint(&format!("  did you mean {name}?"));
    }
}

/// The group that a name stands for in the configuration last read, if it is not active: `reread` has found it, and
/// nobody has added it.
fn inactive_group(session: &mut Session, word: &str) -> Option<String> {
    let wanted = Namespec::parse(word);
    let configured = session.daemon.all_config_info().unwrap_or_default().into_iter();
    let mut of_group = configured.filter(|process| process.group == wanted.group && !process.inuse);
    let found = of_group.find(|process| wanted.process.as_ref().is_none_or(|name| *name == process.name));
    found.map(|process| process.group)
}

fn members(session: &mut Session, group: &str) -> Result<Vec<Whom>, CtlError> {
    let members: Vec<Whom> = session
        .known_processes()
        .iter()
        .filter(|process| process.group == group)
        .map(|process| Whom::Process { name: process.namespec() })
        .collect();
    if members.is_empty() {
        session.complain(&format!("{group}: ERROR (no such group)"), Exit::GENERIC)?;
        suggest(session, &format!("{group}:*"));
    }
    Ok(members)
}

/// Whether no two targets have a process in common, so that their order does not matter.
fn independent(targets: &[Whom]) -> bool {
    let mut processes = HashSet::new();
    let mut groups = HashSet::new();
    let mut whole_groups = HashSet::new();
    for target in targets {
        match target {
            Whom::Process { name } => {
                let Namespec { group, process } = Namespec::parse(name);
                if !processes.insert((group.clone(), process)) || whole_groups.contains(&group) {
                    return false;
                }
                groups.insert(group);
            }
            Whom::Group { name } => {
                if !whole_groups.insert(name.clone()) || groups.contains(name) {
                    return false;
                }
            }
            Whom::All => return targets.len() == 1,
        }
    }
    true
}

fn one_by_one(session: &mut Session, order: Order<'_>, targets: Vec<Whom>) -> Outcome {
    for whom in targets {
        in_parallel(session, order, vec![whom])?;
    }
    Ok(())
}

/// Posts the calls, as many at a time as may be, and prints the answers in the order of the targets.
fn in_parallel(session: &mut Session, order: Order<'_>, targets: Vec<Whom>) -> Outcome {
    let single = targets.len() == 1;
    let mut waiting: VecDeque<(Whom, Option<Pending>)> = VecDeque::new();
    let mut targets = targets.into_iter();
    loop {
        while waiting.len() < MAX_PARALLEL {
            let Some(whom) = targets.next() else { break };
            let (method, params) = order.call(&whom);
            // A single call goes over the connection that is open already.
            let pending = if single { None } else { session.daemon.post(method, params).ok() };
            waiting.push_back((whom, pending));
        }
        let Some((whom, pending)) = waiting.pop_front() else { return Ok(()) };
        let mut progress = session.screen.progress(describe(&whom, waiting.len()));
        let mut tick = || progress.tick();
        let posted = pending.map(|pending| pending.wait(Some(&mut tick)));
        // A daemon that has no room for so many calls at a time gets this one once more, alone.
        let answer = posted.filter(|answer| !answer.as_ref().is_err_and(CallError::was_not_heard));
        let answer = answer.unwrap_or_else(|| {
            let (method, params) = order.call(&whom);
            session.daemon.client.call(method, params, Some(&mut tick))
        });
        drop(progress);
        match meant(session, &whom, &answer) {
            Some(meant) => in_parallel(session, order, vec![meant])?,
            None => report(session, order, &whom, answer)?,
        }
    }
}

/// Whom a name means that the daemon does not know: see [`Session::bearer`].
fn meant(session: &mut Session, whom: &Whom, answer: &Result<Value, CallError>) -> Option<Whom> {
    match (whom, answer) {
        (Whom::Process { name }, Err(problem)) if problem.is_bad_name() => {
            session.bearer(name).map(|name| Whom::Process { name })
        }
        _ => None,
    }
}

/// What a progress line says is waited for.
fn describe(whom: &Whom, n_others: usize) -> String {
    let name = match whom {
        Whom::Process { name } => name.clone(),
        Whom::Group { name } => format!("{name}:*"),
        Whom::All => "all processes".to_string(),
    };
    if n_others == 0 { name } else { format!("{name} and {n_others} more") }
}

/// Prints what came of one call.
fn report(session: &mut Session, order: Order<'_>, whom: &Whom, answer: Result<Value, CallError>) -> Outcome {
    match (answer, whom) {
        // A process in a group of another name answers to `group:` as well; then the answer is a list.
        (Ok(answer @ Value::Array(_)), _) => report_bulk(session, order, whom, bulk(&answer)?),
        (Ok(_), Whom::Process { name } | Whom::Group { name }) => {
            print(session, order, whom, name, None)?;
            let on = left_behind(session, order, whom);
            dependents::tell_who_runs_on(session, &on, &whom.canonical())
        }
        (Ok(_), Whom::All) => Ok(()),
        (Err(CallError::Fault { code, .. }), Whom::Group { name }) if code == FaultCode::BadName.code() => {
            if let Some(exit) = order.exit(code, whom) {
                session.fail(exit);
            }
            session.screen.line(&format!("{name}: ERROR (no such group)"))?;
            suggest(session, &format!("{name}:*"));
            Ok(())
        }
        (Err(CallError::Fault { code, text }), Whom::Process { name } | Whom::Group { name })
            if code != FaultCode::ShutdownState.code() && code != FaultCode::UnknownMethod.code() =>
        {
            print(session, order, whom, name, Some((code, &text)))?;
            if code == FaultCode::BadName.code() {
                suggest(session, name);
            }
            Ok(())
        }
        (Err(problem), _) if order.is_ours() => Err(unsupported(problem)),
        (Err(problem), _) => Err(problem.into()),
    }
}

/// Prints what came of a call about several processes.
///
/// The daemon lists them as they were done. The last failure in that order decides what we leave with, as in
/// Supervisor; they are printed by name, because people compare outputs.
fn report_bulk(session: &mut Session, order: Order<'_>, whom: &Whom, mut lines: Vec<BulkLine>) -> Outcome {
    let last_failure = lines.iter().filter_map(|line| order.exit(line.fault()?.0, whom)).next_back();
    // Of dependents it matters who was stopped first.
    if order != Order::StopWithDependents {
        lines.sort_by(|a, b| (&a.group, &a.name).cmp(&(&b.group, &b.name)));
    }
    let on = left_behind(session, order, whom);
    for line in &lines {
        print(session, order, whom, &line.namespec(), line.fault())?;
        if line.fault().is_none() {
            dependents::tell_who_runs_on(session, &on, &line.namespec())?;
        }
    }
    if let Some(exit) = last_failure {
        session.fail(exit);
    }
    Ok(())
}

/// What hangs together with what a stop was about; empty for any other order.
fn left_behind(session: &mut Session, order: Order<'_>, whom: &Whom) -> Vec<Node> {
    match (order, whom) {
        (Order::Stop, Whom::Process { name }) => dependents::of(session, name),
        (Order::Stop, Whom::Group { name }) => dependents::of(session, &format!("{name}:*")),
        _ => Vec::new(),
    }
}

/// Prints the line of one process and remembers its status.
fn print(
    session: &mut Session,
    order: Order<'_>,
    whom: &Whom,
    name: &str,
    fault: Option<(i32, &str)>,
) -> Outcome {
    let Some((code, description)) = fault else {
        return Ok(session.screen.line(&format!("{name}: {}", order.done()))?);
    };
    match (order, FaultCode::from_code(code)) {
        (_, known) if order.is_stop() && known != Some(FaultCode::NotRunning) => {
            session.not_stopped.insert(name.to_string());
        }
        (Order::StartAgain, Some(FaultCode::AlreadyStarted)) if !session.not_stopped.contains(name) => {
            return join(session, name);
        }
        _ => {}
    }
    if let Some(exit) = order.exit(code, whom) {
        session.fail(exit);
    }
    // Supervisor prints a failed stop as the daemon says it.
    if order.is_stop() && code == FaultCode::Failed.code() {
        return Ok(session.screen.line(description)?);
    }
    Ok(session.screen.line(&format!("{name}: ERROR ({})", order.wording(name, code, description)))?)
}

/// Waits for the start that another client asked for, and reports its result as that of this client's request.
fn join(session: &mut Session, name: &str) -> Outcome {
    let mut process = session.daemon.process_info(name)?;
    // There is no call that waits for a start of others.
    while process.state == i64::from(ProcessState::Starting.code()) {
        std::thread::sleep(STARTING_POLL);
        process = session.daemon.process_info(name)?;
    }
    if is_up(session, &process) {
        return Ok(session.screen.line(&format!("{name}: started"))?);
    }
    session.complain(&format!("{name}: ERROR (abnormal termination)"), Exit::NOT_RUNNING)
}

/// Whether a process has come to where a start leads: it runs, or it is a job that is done.
pub(crate) fn is_up(session: &mut Session, process: &Process) -> bool {
    let is = |state: ProcessState| process.state == i64::from(state.code());
    let has_ended = is(ProcessState::Exited) && process.spawnerr.is_empty();
    is(ProcessState::Running) || (has_ended && session.daemon.is_job(&process.namespec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(name: &str) -> Whom {
        Whom::Process { name: name.into() }
    }

    fn group(name: &str) -> Whom {
        Whom::Group { name: name.into() }
    }

    #[test]
    fn targets_that_share_a_process_are_not_independent() {
        assert!(independent(&[process("a"), process("b"), process("g:a"), group("h")]));
        assert!(!independent(&[process("a"), process("a")]));
        assert!(!independent(&[process("a"), process("a:a")]));
        assert!(!independent(&[process("g:a"), group("g")]));
        assert!(!independent(&[group("g"), process("g:a")]));
        assert!(!independent(&[group("g"), group("g")]));
        assert!(independent(&[Whom::All]));
    }

    #[test]
    fn faults_leave_the_statuses_of_the_original() {
        for (order, code, whom, expected) in [
            (Order::START, 60, process("a"), None),
            (Order::Stop, 70, process("a"), None),
            (Order::Signal("HUP"), 70, process("a"), Some(Exit::NOT_RUNNING)),
            (Order::START, 10, process("a"), Some(Exit::GENERIC)),
            (Order::START, 10, group("a"), Some(Exit::INVALID_ARGS)),
            (Order::Stop, 10, group("a"), Some(Exit::GENERIC)),
            (Order::START, 50, process("a"), Some(Exit::NOT_RUNNING)),
            (Order::START, 40, Whom::All, Some(Exit::NOT_RUNNING)),
            (Order::START, 20, process("a"), Some(Exit::GENERIC)),
            (Order::Clear, 30, process("a"), Some(Exit::GENERIC)),
            (Order::START, 12345, process("a"), Some(Exit::GENERIC)),
        ] {
            assert_eq!(order.exit(code, &whom), expected, "{order:?} {code}");
        }
    }
}
