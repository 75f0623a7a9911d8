//! What clients ask for, and the answers.
//!
//! [`policy`] decides what a request leads to, by rules that look at the table and change nothing. [`orders`] and
//! [`changes`] carry it out, [`views`] answers what is only asked. An order that waits leaves a [`waiters::Waiter`] with the
//! process. Each request comes with a client that takes its type of answer and no other; see [`crate::control::ask`].

pub mod changes;
pub mod description;
pub mod early_answers;
pub mod enable;
pub mod life_view;
pub mod live_view;
pub mod orders;
pub mod policy;
#[cfg(test)]
mod policy_table;
pub mod scale;
pub mod views;
pub mod waiters;

use crate::config::ConfigSource;
use crate::control::ask::{self, Call};
use crate::control::request::{Client, Fact, Facts};
use crate::manager::daemon::Daemon;
use crate::manager::life::start::activity_source;
use crate::manager::requests::policy::{Order, Table, admit};
use crate::manager::requests::views::{history, readable_source};
use crate::model::fault::{Fault, FaultCode};
use crate::model::namespec;
use crate::sys::clock;

impl Daemon {
    /// Answers a request, now or when what it waits for has happened.
    pub fn handle(&mut self, call: Call) {
        match admit(self.life.state(), &call) {
            Ok(()) => self.carry_out(call),
            Err(fault) => self.answers.refuse(call, fault),
        }
        self.answer_clients();
    }

    /// What the rules for requests look at.
    pub fn table(&self) -> Table<'_> {
        Table { state: self.life.state(), procs: &self.procs, configured: &self.in_force.config().groups }
    }

    fn carry_out(&mut self, call: Call) {
        match call {
            // Orders, which may take a while.
            Call::Start(ask::Start(target, wait), client) => {
                let members = self.table().start(&target);
                self.order(Order::Start, members, wait, client);
            }
            Call::Stop(ask::Stop(target, wait), client) => {
                let members = self.table().stop(&target);
                self.order(Order::Stop, members, wait, client);
            }
            Call::StartAlone(ask::StartAlone(target, wait), client) => {
                let members = self.table().start_alone(&target);
                self.order(Order::StartAlone, members, wait, client);
            }
            Call::StopWithDependents(ask::StopWithDependents(target, wait), client) => {
                let members = self.table().stop(&target).map(|members| self.with_dependents(members));
                self.order(Order::Stop, members, wait, client);
            }
            Call::Run(ask::Run(target, arguments), client) => self.run_once(&target, &arguments, client),
            Call::Update(ask::Update(groups, plan_only), client) => {
                self.update_request(groups.as_deref(), plan_only, client);
            }
            Call::Scale(ask::Scale(orders, save), client) => self.scale_request(&orders, save, client),
            Call::SetEnabled(ask::SetEnabled(targets, starts), client) => {
                self.enable_request(&targets, starts, client);
            }
            Call::Programs(ask::Programs(names), client) => {
                self.answer(client, |daemon| daemon.program_numbers(&names));
            }
            Call::Upgrade(ask::Upgrade(binary), client) => self.begin_upgrade(binary, Some(client)),

            // Changes that are done at once.
            Call::Signal(ask::Signal(target, signal), client) => self.answer(client, |daemon| {
                let members = daemon.table().signal(&target)?;
                daemon.signal_members(members, signal)
            }),
            Call::TakeConfiguration(ask::TakeConfiguration(target), client) => {
                self.answer(client, |daemon| daemon.take_configuration(&target));
            }
            Call::AddProcessGroup(ask::AddProcessGroup(name), client) => self.answer(client, |daemon| {
                let group = daemon.table().add_group(&name)?;
                daemon.add_request(&group)
            }),
            Call::RemoveProcessGroup(ask::RemoveProcessGroup(name), client) => {
                self.answer(client, |daemon| {
                    let removal = daemon.table().remove_group(&name)?;
                    daemon.remove_request(removal);
                    Ok(())
                });
            }
            Call::RemoveProcess(ask::RemoveProcess(target), client) => self.answer(client, |daemon| {
                let removal = daemon.table().remove(&target)?;
                daemon.remove_request(removal);
                Ok(())
            }),
            Call::ClearProcessLogs(ask::ClearProcessLogs(target), client) => {
                self.answer(client, |daemon| {
                    let members = daemon.table().clear_logs(&target)?;
                    daemon.clear_logs_of(members)
                });
            }
            Call::SendProcessStdin(ask::SendProcessStdin(target, bytes), client) => {
                self.answer(client, |daemon| {
                    let (slot, sent) = daemon.table().send_stdin(&target)?;
                    daemon.send_stdin(slot, sent, &bytes)
                });
            }
            Call::SendRemoteCommEvent(ask::SendRemoteCommEvent(event), client) => {
                self.answer(client, |daemon| {
                    daemon.announce_remote(&event.kind, &event.data);
                    Ok(())
                });
            }
            Call::ClearLog(ask::ClearLog, client) => self.answer(client, |daemon| daemon.clear_log()),
            Call::ReloadConfig(ask::ReloadConfig, client) => {
                self.answer(client, Daemon::reload_config);
            }
            Call::Shutdown(ask::Shutdown, client) => self.answer(client, |daemon| {
                daemon.begin_shutdown();
                Ok(())
            }),
            Call::Restart(ask::Restart, client) => self.answer(client, |daemon| {
                daemon.begin_restart().map_err(|problem| Fault::with(FaultCode::CantReread, problem))
            }),

            // Questions about processes.
            Call::ProcessInfo(ask::ProcessInfo(target), client) => self.answer(client, |daemon| {
                let (_, proc) = daemon.table().one(&target)?;
                Ok(Box::new(daemon.process_info(proc, clock::wall())))
            }),
            Call::AllProcessInfo(ask::AllProcessInfo, client) => {
                self.answer(client, |daemon| Ok(daemon.all_process_info()));
            }
            Call::AllConfigInfo(ask::AllConfigInfo, client) => {
                self.answer(client, |daemon| Ok(daemon.all_config_info()));
            }
            Call::ProcessHistory(ask::ProcessHistory(target), client) => self.answer(client, |daemon| {
                let (slot, proc) = daemon.table().one(&target)?;
                let mut facts = history(proc, daemon.events.why_unknown(slot));
                facts.extend(daemon.life_facts(proc));
                Ok(facts)
            }),
            Call::Table(ask::Table(table), client) => self.answer(client, |daemon| Ok(daemon.rows(table))),
            Call::Log(ask::Log(log), client) => self.answer(client, |daemon| match log {
                Some((target, stream)) => Ok(readable_source(daemon.table().one(&target)?.1, stream)),
                None => Ok(activity_source(&daemon.in_force.config().supervisord.logfile)),
            }),
            Call::ResolveName(ask::ResolveName(name), client) => self.answer(client, |daemon| {
                let names = daemon.procs.all().map(|(_, proc)| (&*proc.group, &*proc.config.name));
                Ok(namespec::bearer(&name, names).unwrap_or(name))
            }),
            Call::Health(ask::Health(target), client) => {
                self.answer(client, |daemon| daemon.health(&target));
            }
            Call::DependencyGraph(ask::DependencyGraph(target), client) => {
                self.answer(client, |daemon| daemon.dependency_graph(&target));
            }
            Call::Alive(ask::Alive, client) => self.answer(client, |daemon| Ok(daemon.alive())),
            Call::Overview(ask::Overview(target), client) => {
                self.answer(client, |daemon| Ok(Box::new(daemon.overview(&target)?)));
            }

            // Questions about the daemon.
            Call::Daemon(ask::Daemon, client) => {
                self.answer(client, |daemon| Ok(Box::new(daemon.overview_of_daemon())));
            }
            Call::State(ask::State, client) => self.answer(client, |daemon| Ok(daemon.life.state())),
            Call::Pid(ask::Pid, client) => {
                self.answer(client, |daemon| Ok(i64::from(daemon.link.keeper_pid())));
            }
            Call::Identification(ask::Identification, client) => {
                self.answer(client, |daemon| Ok(daemon.in_force.config().supervisord.identifier.clone()))
            }
            Call::Keeper(ask::Keeper, client) => self.answer(client, |daemon| Ok(daemon.keeper_facts())),
            Call::UpgradeState(ask::UpgradeState, client) => {
                self.answer(client, |daemon| Ok(daemon.upgrade_state()));
            }
            Call::ConfigProblem(ask::ConfigProblem, client) => {
                self.answer(client, |daemon| Ok(daemon.last_reread.problem().to_string()));
            }
            Call::SkippedFiles(ask::SkippedFiles, client) => {
                self.answer(client, |daemon| Ok(daemon.skipped_files()));
            }
            Call::ConfigSource(ask::ConfigSource, client) => {
                self.answer(client, |daemon| Ok(Box::new(daemon.config_source())));
            }
        }
    }

    /// Does something for a client, and answers what came of it.
    fn answer<T: 'static>(&mut self, client: Client<T>, work: impl FnOnce(&mut Daemon) -> Result<T, Fault>) {
        let outcome = work(self);
        self.answers.post(client, outcome);
    }

    fn keeper_facts(&self) -> Facts {
        vec![
            ("keeper_pid", Fact::Number(i64::from(self.link.keeper_pid()))),
            ("manager_pid", Fact::Number(i64::from(crate::sys::process::own_pid()))),
            ("manager_starts", Fact::Number(i64::from(self.link.manager_starts()))),
            ("manager_version", Fact::Text(crate::VERSION.to_string())),
            ("commit", Fact::Text(crate::COMMIT.to_string())),
            ("supervisor_version", Fact::Text(crate::SUPERVISOR_VERSION.to_string())),
            ("upgrade", Fact::Text(self.upgrade_state())),
        ]
    }

    fn config_source(&self) -> ConfigSource {
        ConfigSource {
            args: self.boot.args.clone(),
            surroundings: self.surroundings(),
            active: self.active_configs(),
            overrides: self.in_force.overrides(),
        }
    }
}
