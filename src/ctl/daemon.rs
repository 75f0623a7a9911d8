//! The daemon as the commands see it: one method for each call that they make.

use crate::ctl::graph::Node;
use crate::ctl::life::HealthLine;
use crate::ctl::programs::{Enabled, Number, Scaled};
use crate::ctl::records::{self, BulkLine, Configured, GroupChange, Process, Reread};
use crate::model::stream::Stream;
use crate::rpc::client::{CallError, Client, Pending, Tick, http};
use crate::rpc::wire::Value;

/// A connection to one daemon.
pub(crate) struct Daemon {
    pub client: Client,
    /// The `serverurl` as it was given, but for a password in it.
    pub url: String,
}

type Answer<T> = Result<T, CallError>;

impl Daemon {
    /// The version of the API, `3.0` for everything Supervisor released.
    pub(crate) fn api_version(&mut self) -> Answer<String> {
        records::text(&self.call("supervisor.getVersion", vec![])?)
    }

    pub(crate) fn supervisor_version(&mut self) -> Answer<String> {
        records::text(&self.call("supervisor.getSupervisorVersion", vec![])?)
    }

    pub(crate) fn pid(&mut self) -> Answer<i64> {
        records::integer(&self.call("supervisor.getPID", vec![])?)
    }

    pub(crate) fn process_info(&mut self, name: &str) -> Answer<Process> {
        Process::read(&self.call("supervisor.getProcessInfo", vec![text(name)])?)
    }

    /// Every process, by group and name.
    pub(crate) fn all_process_info(&mut self) -> Answer<Vec<Process>> {
        let answer = self.call("supervisor.getAllProcessInfo", vec![])?;
        records::array(&answer)?.iter().map(Process::read).collect()
    }

    /// Every process of the configuration last read.
    pub(crate) fn all_config_info(&mut self) -> Answer<Vec<Configured>> {
        let answer = self.call("supervisor.getAllConfigInfo", vec![])?;
        records::array(&answer)?.iter().map(Configured::read).collect()
    }

    /// How every process is, by group and name.
    pub(crate) fn health(&mut self) -> Answer<Vec<HealthLine>> {
        let answer = self.call("supervisord.getHealth", vec![])?;
        records::array(&answer)?.iter().map(HealthLine::read).collect()
    }

    /// Who depends on whom; of one process or group (`group:*`), those that hang together with it.
    pub(crate) fn dependencies(&mut self, name: Option<&str>) -> Answer<Vec<Node>> {
        let answer = self.call("supervisord.getDependencies", name.map(text).into_iter().collect())?;
        records::array(&answer)?.iter().map(Node::read).collect()
    }

    /// What Supervisor does not know of processes, or of one: a struct for each whose configuration asks for it.
    pub(crate) fn lives(&mut self, name: Option<&str>) -> Answer<Vec<Value>> {
        match self.call("supervisord.getLife", name.map(text).into_iter().collect())? {
            Value::Array(lives) => Ok(lives),
            _ => Err(CallError::Unexpected("getLife did not answer a list".into())),
        }
    }

    /// Whether a process is a job: EXITED is success for it. False where the daemon knows nothing of jobs.
    pub(crate) fn is_job(&mut self, name: &str) -> bool {
        let lives = self.lives(Some(name)).unwrap_or_default();
        lives.iter().any(|life| records::Members::of(life).is_ok_and(|members| members.flag("oneshot")))
    }

    /// The included files that the daemon left out when it last read its configuration, each with what is wrong in it. None
    /// from a daemon that leaves none out.
    pub(crate) fn skipped_files(&mut self) -> Vec<String> {
        let answer = self.call("supervisord.getSkippedFiles", vec![]);
        answer.and_then(|answer| records::texts(&answer)).unwrap_or_default()
    }

    pub(crate) fn reload_config(&mut self) -> Answer<Reread> {
        Reread::read(&self.call("supervisor.reloadConfig", vec![])?)
    }

    /// Reads the configuration again and makes these groups what it says, all of them if there is none; with `plan_only`
    /// only tells what that would do.
    pub(crate) fn update_groups(
        &mut self,
        groups: &[String],
        plan_only: bool,
        tick: Tick<'_>,
    ) -> Answer<Vec<GroupChange>> {
        let groups = Value::Array(groups.iter().map(|group| text(group)).collect());
        let arguments = vec![groups, Value::Boolean(plan_only)];
        let answer = self.client.call("supervisord.updateGroups", arguments, Some(tick))?;
        records::array(&answer)?.iter().map(GroupChange::read).collect()
    }

    /// What an update would do.
    pub(crate) fn preview_update(&mut self) -> Answer<Vec<GroupChange>> {
        let answer = self.call("supervisord.previewUpdate", vec![])?;
        records::array(&answer)?.iter().map(GroupChange::read).collect()
    }

    /// Lets a process or group have what the configuration says by now, from the next start on.
    pub(crate) fn take_configuration(&mut self, name: &str) -> Answer<()> {
        self.call("supervisord.takeConfiguration", vec![text(name)]).map(drop)
    }

    /// Gives programs other numbers of processes, `web=8`, `web=+2` or `web=-1` each.
    pub(crate) fn scale(&mut self, orders: &[&str], save: bool, tick: Tick<'_>) -> Answer<Scaled> {
        let orders = Value::Array(orders.iter().map(|order| text(order)).collect());
        Scaled::read(&self.client.call(
            "supervisord.scale",
            vec![orders, Value::Boolean(save)],
            Some(tick),
        )?)
    }

    /// How many processes programs have, all of them if there is no name.
    pub(crate) fn programs(&mut self, names: &[&str]) -> Answer<Vec<Number>> {
        let names = Value::Array(names.iter().map(|name| text(name)).collect());
        let answer = self.call("supervisord.getPrograms", vec![names])?;
        records::array(&answer)?.iter().map(Number::read).collect()
    }

    /// Lets processes start with the daemon, or not.
    pub(crate) fn set_enabled(&mut self, names: &[String], starts: bool) -> Answer<Enabled> {
        let names = Value::Array(names.iter().map(|name| text(name)).collect());
        let method = if starts { "supervisord.enable" } else { "supervisord.disable" };
        Enabled::read(&self.call(method, vec![names])?)
    }

    pub(crate) fn add_process_group(&mut self, group: &str) -> Answer<()> {
        self.call("supervisor.addProcessGroup", vec![text(group)]).map(drop)
    }

    pub(crate) fn remove_process_group(&mut self, group: &str) -> Answer<()> {
        self.call("supervisor.removeProcessGroup", vec![text(group)]).map(drop)
    }

    /// Stops every process of a group and waits for it.
    pub(crate) fn stop_process_group(&mut self, group: &str, tick: Tick<'_>) -> Answer<Vec<BulkLine>> {
        bulk(&self.client.call("supervisor.stopProcessGroup", vec![text(group)], Some(tick))?)
    }

    pub(crate) fn shutdown(&mut self) -> Answer<()> {
        self.call("supervisor.shutdown", vec![]).map(drop)
    }

    pub(crate) fn restart(&mut self) -> Answer<()> {
        self.call("supervisor.restart", vec![]).map(drop)
    }

    /// The last `n_bytes` of a process's log if `offset` is negative, else everything from there.
    pub(crate) fn read_process_log(&mut self, name: &str, stream: Stream, offset: i64) -> Answer<String> {
        let method = match stream {
            Stream::Stdout => "supervisor.readProcessStdoutLog",
            Stream::Stderr => "supervisor.readProcessStderrLog",
        };
        records::text(&self.call(method, vec![text(name), integer(offset), Value::Integer(0)])?)
    }

    /// The same of the daemon's own log.
    pub(crate) fn read_main_log(&mut self, offset: i64) -> Answer<String> {
        records::text(&self.call("supervisor.readLog", vec![integer(offset), Value::Integer(0)])?)
    }

    pub(crate) fn send_process_stdin(&mut self, name: &str, line: &str) -> Answer<()> {
        self.call("supervisor.sendProcessStdin", vec![text(name), text(line)]).map(drop)
    }

    /// The names of all methods, sorted.
    pub(crate) fn list_methods(&mut self) -> Answer<Vec<String>> {
        let mut names = records::texts(&self.call("system.listMethods", vec![])?)?;
        names.sort();
        Ok(names)
    }

    /// Follows a process's log from its last kilobyte on.
    pub(crate) fn follow_process_log(&self, name: &str, stream: Stream) -> Answer<http::Stream> {
        self.client.stream(&process_log_path(name, stream))
    }

    /// Follows the daemon's own log.
    pub(crate) fn follow_main_log(&self) -> Answer<http::Stream> {
        self.client.stream(MAIN_LOG_PATH)
    }

    /// A call whose result the caller reads itself.
    pub(crate) fn call(&mut self, method: &str, params: Vec<Value>) -> Answer<Value> {
        self.client.call(method, params, None)
    }

    /// A call on a connection of its own, not waited for.
    pub(crate) fn post(&self, method: &str, params: Vec<Value>) -> Answer<Pending> {
        self.client.post(method, params)
    }
}

/// Where the daemon's own log can be followed.
pub(crate) const MAIN_LOG_PATH: &str = "/mainlogtail";

/// Where the log of a process can be followed.
pub(crate) fn process_log_path(name: &str, stream: Stream) -> String {
    format!("/logtail/{}/{}", percent_encode(name), stream.name())
}

/// Writes bytes that a path cannot hold as `%XX`. The colon of namespecs may stand in a path.
fn percent_encode(name: &str) -> String {
    let mut path = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b'@' => {
                path.push(byte.into())
            }
            other => path.push_str(&format!("%{other:02X}")),
        }
    }
    path
}

/// The answer of a call about several processes.
///
/// # Errors
/// [`CallError::Unexpected`] if it is something else.
pub(crate) fn bulk(answer: &Value) -> Answer<Vec<BulkLine>> {
    records::array(answer)?.iter().map(BulkLine::read).collect()
}

pub(crate) fn text(text: &str) -> Value {
    Value::String(text.to_string())
}

/// A number, in the wider type only if it needs that: not every daemon reads it.
fn integer(number: i64) -> Value {
    i32::try_from(number).map_or(Value::Long(number), Value::Integer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_in_paths() {
        assert_eq!(process_log_path("grp:a_0", Stream::Stderr), "/logtail/grp:a_0/stderr");
        assert_eq!(process_log_path("a b/ü", Stream::Stdout), "/logtail/a%20b%2F%C3%BC/stdout");
    }
}
