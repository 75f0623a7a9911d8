//! Orders that change processes and groups, for all ways in.
//!
//! An order is one request to the loop, or several in a sequence that users rely on. Each way in writes the outcome in its
//! own format: an XML-RPC result, JSON, or a sentence.

use crate::control::ask::{self, Applied, Updated};
use crate::control::request::{BulkStatus, Handle, Target, Wait};
use crate::model::fault::{Fault, FaultCode};
use crate::model::signal::Signal;

/// What is to be done to processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Starts processes.
    Start(Wait),
    /// Starts processes, whatever they depend on.
    StartAlone(Wait),
    /// Stops processes.
    Stop(Wait),
    /// Stops processes and, before them, all that depends on them.
    StopWithDependents(Wait),
    /// Stops processes, waits for their end, and starts them again.
    Restart(Wait),
    /// Sends a signal.
    Signal(Signal),
    /// Empties the log files.
    ClearLogs,
}

/// Carries out an order for one target. Returns a status for each of its processes; the status contains the fault if the
/// order failed for that process.
///
/// # Errors
/// BAD_NAME if there is no such target, SHUTDOWN_STATE if the daemon is shutting down.
pub async fn execute(handle: &Handle, order: Order, target: Target) -> Result<Vec<BulkStatus>, Fault> {
    let whom = target.clone();
    let applied = match order {
        Order::Start(wait) => handle.call(ask::Start(target, wait)).await,
        Order::StartAlone(wait) => handle.call(ask::StartAlone(target, wait)).await,
        Order::Stop(wait) => handle.call(ask::Stop(target, wait)).await,
        Order::StopWithDependents(wait) => handle.call(ask::StopWithDependents(target, wait)).await,
        Order::Restart(wait) => restart(handle, target, wait).await.map(|restarted| restarted.started),
        Order::Signal(signal) => handle.call(ask::Signal(target, signal)).await,
        Order::ClearLogs => handle.call(ask::ClearProcessLogs(target)).await,
    };
    match applied {
        Ok(Applied::Several(statuses)) => Ok(statuses),
        Ok(Applied::One) => Ok(vec![line(&whom, Ok(()))]),
        Err(fault) if matches!(fault.code, FaultCode::BadName | FaultCode::ShutdownState) => Err(fault),
        Err(fault) => Ok(vec![line(&whom, Err(fault))]),
    }
}

/// The status of a target as a whole, rather than of one of its processes.
pub fn line(target: &Target, outcome: Result<(), Fault>) -> BulkStatus {
    let all = || "*".to_string();
    let (group, name) = match target {
        Target::Name { namespec, .. } => {
            (namespec.group.clone(), namespec.process.clone().unwrap_or_else(all))
        }
        Target::Group(group) => (group.clone(), all()),
        Target::All => (all(), all()),
    };
    BulkStatus { name, group, outcome }
}

/// The result of a restart.
#[derive(Clone, Debug, PartialEq)]
pub struct Restarted {
    /// The result of stopping; `None` if the target was one process and it did not run.
    pub stopped: Option<Applied>,
    /// The result of starting.
    pub started: Applied,
}

/// Stops a process, a group or everything, waits until it has ended whatever `wait` says, and starts it again. `wait` says
/// whether to wait until it is RUNNING.
///
/// # Errors
/// The fault of stopping, but NOT_RUNNING is no error; or the fault of starting.
pub async fn restart(handle: &Handle, target: Target, wait: Wait) -> Result<Restarted, Fault> {
    let stopped = match handle.call(ask::Stop(target.clone(), Wait::Yes)).await {
        Ok(stopped) => Some(stopped),
        Err(fault) if fault.code == FaultCode::NotRunning => None,
        Err(fault) => return Err(fault),
    };
    let started = handle.call(ask::Start(target, wait)).await?;
    Ok(Restarted { stopped, started })
}

/// Reads the configuration again and makes groups what it says: all of them, or only `only`. What stays the same is not
/// touched. Returns what was done.
///
/// # Errors
/// CANT_REREAD if the configuration is wrong, BAD_NAME if there is no group `only`; FAILED if a group could not be changed, and
/// the others have been.
pub async fn update(handle: &Handle, only: Option<&str>) -> Result<Updated, Fault> {
    let names = only.map(|group| vec![group.to_string()]);
    let updated = handle.call(ask::Update(names, false)).await?;
    match updated.problems.first() {
        Some((group, problem)) => Err(Fault::with(FaultCode::Failed, format!("{group}: {problem}"))),
        None => Ok(updated),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Reread;
    use crate::config::update::{GroupAction, GroupPlan, UpdatePlan};
    use crate::control::ask::{Ask, Call};
    use crate::control::request::{Client, Outbox};
    use async_channel::Receiver;
    use futures_lite::future::{block_on, zip};
    use std::fmt::Debug;

    /// What the loop is to answer, to a request of the kind that has such an answer.
    #[derive(Debug)]
    enum Answer {
        Applied(Applied),
        Updated(Updated),
    }

    /// What was asked, as text.
    fn text(request: &impl Debug) -> String {
        format!("{request:?}")
    }

    /// Answers one call, and says what it asked.
    fn answer(call: Call, outcome: Result<Answer, Fault>) -> String {
        fn give<R: Ask + Debug>(
            request: &R,
            client: Client<R::Answer>,
            outcome: Result<R::Answer, Fault>,
        ) -> String {
            let mut outbox = Outbox::default();
            client.answer(outcome, &mut outbox);
            outbox.send();
            text(request)
        }
        match (call, outcome) {
            (Call::Start(request, client), Ok(Answer::Applied(applied))) => {
                give(&request, client, Ok(applied))
            }
            (Call::Stop(request, client), Ok(Answer::Applied(applied))) => {
                give(&request, client, Ok(applied))
            }
            (Call::Update(request, client), Ok(Answer::Updated(updated))) => {
                give(&request, client, Ok(updated))
            }
            (Call::Update(request, client), Err(fault)) => give(&request, client, Err(fault)),
            (Call::Start(request, client), Err(fault)) => give(&request, client, Err(fault)),
            (Call::Stop(request, client), Err(fault)) => give(&request, client, Err(fault)),
            (call, outcome) => panic!("{outcome:?} was to be the answer to {call:?}"),
        }
    }

    /// Answers what is posted, one after the other, and says what that was.
    async fn answer_with(calls: Receiver<Call>, outcomes: Vec<Result<Answer, Fault>>) -> Vec<String> {
        let mut requests = Vec::new();
        for outcome in outcomes {
            requests.push(answer(calls.recv().await.unwrap(), outcome));
        }
        assert!(calls.try_recv().is_err(), "more was asked after {requests:?}");
        requests
    }

    /// What an order comes to, and what it asks, when the loop answers this.
    fn run<T>(
        order: impl AsyncFnOnce(&Handle) -> T,
        outcomes: Vec<Result<Answer, Fault>>,
    ) -> (T, Vec<String>) {
        let (handle, calls) = Handle::channel();
        // The door goes with the order, so that nobody waits for a question that does not come.
        let order = async move { order(&handle).await };
        block_on(zip(order, answer_with(calls, outcomes)))
    }

    fn fault(code: FaultCode) -> Fault {
        Fault::with(code, "a")
    }

    #[test]
    fn who_does_not_run_is_started_all_the_same_and_who_does_not_stop_is_not() {
        let target = || Target::parse("a");
        let stop = text(&ask::Stop(target(), Wait::Yes));
        let start = text(&ask::Start(target(), Wait::No));
        let one = || Ok(Answer::Applied(Applied::One));
        for (outcomes, expected, asked) in [
            (vec![one(), one()], Ok(true), vec![stop.clone(), start.clone()]),
            (vec![Err(fault(FaultCode::NotRunning)), one()], Ok(false), vec![stop.clone(), start.clone()]),
            (
                vec![one(), Err(fault(FaultCode::SpawnError))],
                Err(fault(FaultCode::SpawnError)),
                vec![stop.clone(), start],
            ),
            (vec![Err(fault(FaultCode::Failed))], Err(fault(FaultCode::Failed)), vec![stop]),
        ] {
            let (result, requests) = run(async |handle| restart(handle, target(), Wait::No).await, outcomes);
            assert_eq!(result.map(|restarted| restarted.stopped.is_some()), expected);
            assert_eq!(requests, asked);
        }
    }

    #[test]
    fn a_fault_of_the_target_is_an_error_and_one_of_a_process_a_line() {
        for (code, is_error) in [
            (FaultCode::BadName, true),
            (FaultCode::ShutdownState, true),
            (FaultCode::NotRunning, false),
            (FaultCode::SpawnError, false),
        ] {
            let stop = async |handle: &Handle| {
                execute(handle, Order::Stop(Wait::Yes), Target::Group("g".to_string())).await
            };
            let (result, _) = run(stop, vec![Err(fault(code))]);
            let line = BulkStatus { name: "*".into(), group: "g".into(), outcome: Err(fault(code)) };
            assert_eq!(result, if is_error { Err(fault(code)) } else { Ok(vec![line]) });
        }
    }

    #[test]
    fn an_update_tells_of_groups_as_a_reread_does() {
        let group = |name: &str, action| GroupPlan {
            name: name.into(),
            action,
            members: 1,
            keys: vec![],
            processes: vec![],
        };
        let plan = UpdatePlan {
            groups: vec![
                group("old", GroupAction::Remove),
                group("c", GroupAction::Change),
                group("pool", GroupAction::Replace),
                group("new", GroupAction::Add),
            ],
        };
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let found =
            Reread { added: names(&["new"]), changed: names(&["c", "pool"]), removed: names(&["old"]) };
        let done = Updated { plan: plan.clone(), problems: Vec::new() };
        let (result, requests) =
            run(async |handle| update(handle, None).await, vec![Ok(Answer::Updated(done))]);
        let result = result.map(|updated| updated.by_group());
        assert_eq!((result, requests), (Ok(found), vec![text(&ask::Update(None, false))]));

        let failed = Updated { plan, problems: vec![("new".to_string(), "no room".to_string())] };
        let (result, _) =
            run(async |handle| update(handle, Some("c")).await, vec![Ok(Answer::Updated(failed))]);
        assert_eq!(result, Err(Fault::with(FaultCode::Failed, "new: no room")));

        let unknown = Err(Fault::with(FaultCode::BadName, "a"));
        let (result, requests) = run(async |handle| update(handle, Some("a")).await, vec![unknown]);
        assert_eq!(result, Err(fault(FaultCode::BadName)));
        assert_eq!(requests, [text(&ask::Update(Some(names(&["a"])), false))]);
    }
}
