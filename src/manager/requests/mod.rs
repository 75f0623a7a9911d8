//! What clients ask for, and the answers.
//!
//! [`policy`] decides what a request leads to, by rules that look at the table and change nothing; [`orders`] and
//! [`changes`] carry it out, [`views`] answers what is only asked. An order that waits leaves a [`waiters::Waiter`] with the
//! process.

pub mod changes;
pub mod description;
pub mod early_answers;
pub mod live_view;
pub mod orders;
pub mod policy;
#[cfg(test)]
mod policy_table;
pub mod views;
pub mod waiters;

use crate::config::ConfigSource;
use crate::control::request::{Answer, Call, Fact, Outcome, Request};
use crate::manager::answers::Client;
use crate::manager::daemon::Daemon;
use crate::manager::life::start::activity_source;
use crate::manager::processes::SlotId;
use crate::manager::requests::policy::{Decision, Table, decide};
use crate::manager::requests::views::{history, readable_source};
use crate::model::fault::{Fault, FaultCode};
use crate::model::namespec;
use crate::sys::clock;
use std::path::Path;
use std::sync::Arc;

impl Daemon {
    /// Answers a request, now or when what it waits for has happened.
    pub fn handle(&mut self, call: Call) {
        let (request, client) = Client::of(call);
        self.carry_out(&request, client);
        self.answer_clients();
    }

    fn carry_out(&mut self, request: &Request, client: Client) {
        let outcome = match decide(self.table(), request) {
            Err(fault) => Err(fault),
            Ok(Decision::Order(order, members, wait)) => return self.order(order, members, wait, client),
            Ok(Decision::Signal(members, signal)) => return self.signal_request(members, signal, client),
            Ok(Decision::Upgrade(binary)) => {
                return self.begin_upgrade(binary.map(Path::to_path_buf), Some(client));
            }
            Ok(Decision::Answer) => self.answer(request),
            Ok(Decision::AnswerAbout(slot)) => self.answer_about(slot, request),
            Ok(Decision::AddGroup(group)) => self.add_request(&group),
            Ok(Decision::RemoveGroup(group)) => self.remove_request(group),
            Ok(Decision::RemoveMember { group, name }) => self.remove_member_request(group, name),
            Ok(Decision::ClearLogs(members)) => self.clear_logs_of(members),
            Ok(Decision::SendStdin { slot, sent, bytes }) => self.send_stdin(slot, sent, bytes),
        };
        self.answers.post(client, outcome);
    }

    /// What the rules for requests look at.
    pub fn table(&self) -> Table<'_> {
        Table { state: self.life.state(), procs: &self.procs, configured: &self.in_force.config().groups }
    }

    /// Everything that is answered at once and is not about one process.
    fn answer(&mut self, request: &Request) -> Outcome {
        match request {
            Request::State => Ok(Answer::State(self.life.state())),
            Request::Pid => Ok(Answer::Number(i64::from(self.link.keeper_pid()))),
            Request::Identification => {
                Ok(Answer::Text(self.in_force.config().supervisord.identifier.clone()))
            }
            Request::AllProcessInfo => Ok(Answer::Processes(self.all_process_info())),
            Request::Table(table) => Ok(Answer::Rows(self.rows(*table))),
            Request::AllConfigInfo => Ok(Answer::Configs(self.all_config_info())),
            Request::ReloadConfig => self.reload_config(),
            Request::Shutdown => {
                self.begin_shutdown();
                Ok(Answer::Done)
            }
            Request::Restart => {
                self.begin_restart().map_err(|problem| Fault::with(FaultCode::CantReread, problem))?;
                Ok(Answer::Done)
            }
            Request::MainLog => Ok(Answer::Log(activity_source(&self.in_force.config().supervisord.logfile))),
            Request::ResolveName(name) => {
                let names = self.procs.all().map(|(_, proc)| (&*proc.group, &*proc.config.name));
                let found = namespec::bearer(name, names);
                Ok(Answer::Text(found.unwrap_or_else(|| name.clone())))
            }
            Request::ClearLog => self.clear_log(),
            Request::SendRemoteCommEvent { kind, data } => {
                self.announce_remote(kind, data);
                Ok(Answer::Done)
            }
            Request::Keeper => Ok(Answer::Facts(vec![
                ("keeper_pid", Fact::Number(i64::from(self.link.keeper_pid()))),
                ("manager_pid", Fact::Number(i64::from(crate::sys::process::own_pid()))),
                ("manager_starts", Fact::Number(i64::from(self.link.manager_starts()))),
                ("manager_version", Fact::Text(crate::VERSION.to_string())),
                ("upgrade", Fact::Text(self.upgrade_state())),
            ])),
            Request::UpgradeState => Ok(Answer::Text(self.upgrade_state())),
            Request::ConfigProblem => Ok(Answer::Text(self.last_reread.problem().to_string())),
            Request::Overview(target) => Ok(Answer::Overview(Box::new(self.overview(target)?))),
            Request::Daemon => Ok(Answer::Overview(Box::new(self.overview_of_daemon()))),
            Request::Alive => Ok(Answer::Alive(self.alive())),
            Request::ConfigSource => Ok(Answer::ConfigSource(Box::new(ConfigSource {
                args: self.boot.args.clone(),
                surroundings: self.surroundings(),
                active: self.procs.groups().iter().map(|group| Arc::clone(&group.config)).collect(),
            }))),
            // The policy decides these otherwise.
            Request::Start(..)
            | Request::Stop(..)
            | Request::Signal(..)
            | Request::Upgrade(_)
            | Request::AddProcessGroup(_)
            | Request::RemoveProcessGroup(_)
            | Request::RemoveProcess(_)
            | Request::ClearProcessLogs(_)
            | Request::SendProcessStdin(..)
            | Request::ProcessInfo(_)
            | Request::ProcessLog(..)
            | Request::ProcessHistory(_) => Err(Fault::new(FaultCode::IncorrectParameters)),
        }
    }

    /// What is asked about one process.
    fn answer_about(&self, slot: SlotId, request: &Request) -> Outcome {
        let Some(proc) = self.procs.proc(slot) else { return Err(Fault::new(FaultCode::BadName)) };
        match request {
            Request::ProcessLog(_, stream) => Ok(Answer::Log(readable_source(proc, *stream))),
            Request::ProcessHistory(_) => Ok(Answer::Facts(history(proc, self.events.why_unknown(slot)))),
            _ => Ok(Answer::Process(Box::new(self.process_info(proc, clock::wall())))),
        }
    }
}
