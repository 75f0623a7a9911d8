//! One app of an ecosystem file.

use super::logs;
use crate::config::command as config_command;
use crate::convert::import::{Imported, Names, command, environment, escaped, name};
use crate::convert::losses::Losses;
use crate::convert::procfile;
use crate::convert::tree::Node;
use std::collections::BTreeMap;
use std::time::Duration;

/// The interpreters that PM2 takes by the end of a script's name.
const INTERPRETERS: [(&str, &str); 12] = [
    (".js", "node"),
    (".cjs", "node"),
    (".mjs", "node"),
    (".ts", "bun"),
    (".tsx", "bun"),
    (".coffee", "coffee"),
    (".py", "python3"),
    (".rb", "ruby"),
    (".php", "php"),
    (".pl", "perl"),
    (".sh", "bash"),
    (".bash", "bash"),
];
/// The longest pause between restarts that grow.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// The time after which they begin anew.
const RESET: &str = "30s";
/// More copies than anybody means.
const MOST_INSTANCES: u32 = 10_000;

/// Makes a program of an app.
pub(super) fn import(
    node: &Node,
    number: usize,
    names: &mut Names,
    imported: &mut Imported,
    losses: &mut Losses,
) -> Result<(), String> {
    let Node::Map(pairs) = node else {
        return Err(format!("apps[{}] is a mapping of settings, and this is {}", number - 1, node.kind()));
    };
    let Some(script) = text(node, "script").filter(|script| !script.trim().is_empty()) else {
        return Err(format!("apps[{}] has no script", number - 1));
    };
    let file = script.split_whitespace().next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let written = text(node, "name").unwrap_or(stem);
    let own = names.own(&name(written));
    if own != written {
        losses.note(format!("apps[{}].name", number - 1), written, format!("it is called {own} here"));
    }
    let section = format!("program:{own}");
    let mut app = App { node, own, section, imported, losses };
    app.command(script)?;
    app.lives();
    app.instances();
    app.environment();
    app.user();
    logs::import(&mut app);
    for (key, value) in pairs.iter().filter(|(_, value)| *value != Node::Null) {
        app.rest(key, value);
    }
    Ok(())
}

/// A text or a number.
pub(super) fn text<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    node.get(key)?.scalar()
}

/// A program in the making.
pub(super) struct App<'a> {
    pub node: &'a Node,
    pub own: String,
    section: String,
    imported: &'a mut Imported,
    losses: &'a mut Losses,
}

impl App<'_> {
    pub(super) fn set(&mut self, key: &str, value: impl Into<String>) {
        self.imported.set(&self.section, key, value);
    }

    pub(super) fn lose(&mut self, key: &str, value: impl Into<String>, why: &str) {
        self.losses.note(format!("{} {key}", self.own), value, why);
    }

    fn command(&mut self, script: &str) -> Result<(), String> {
        let arguments = |key: &str| match self.node.get(key) {
            Some(Node::List(items)) => {
                Ok(items.iter().filter_map(Node::scalar).map(str::to_string).collect())
            }
            Some(other) => {
                let line = other.scalar().unwrap_or_default();
                let why = |why| format!("{} of {} cannot be split into words: {why}", key, self.own);
                config_command::split(line).map_err(why)
            }
            None => Ok(Vec::new()),
        };
        let args: Vec<String> = arguments("args")?;
        let mut for_interpreter: Vec<String> = arguments("interpreter_args")?;
        for_interpreter.extend(arguments("node_args")?);
        let written = text(self.node, "interpreter").or(text(self.node, "exec_interpreter"));
        let by_name = INTERPRETERS.iter().find(|(end, _)| script.ends_with(end)).map(|(_, name)| *name);
        let interpreter = match written {
            Some("none" | "") => None,
            Some(written) => Some(written),
            None => by_name,
        };
        let words: Vec<String> = match interpreter {
            Some(interpreter) => {
                let words = std::iter::once(interpreter.to_string()).chain(for_interpreter);
                words.chain([script.to_string()]).chain(args).collect()
            }
            None if script.contains(char::is_whitespace) => {
                let (words, is_in_front) = procfile::words(script);
                if is_in_front {
                    self.set("stopasgroup", "true");
                }
                words.into_iter().chain(args).collect()
            }
            None => std::iter::once(script.to_string()).chain(args).collect(),
        };
        self.set("command", command(&words));
        let directory = match text(self.node, "cwd") {
            Some(cwd) if cwd.starts_with('/') => escaped(cwd),
            Some(cwd) => format!("%(here)s/{}", escaped(cwd.trim_start_matches("./"))),
            None => "%(here)s".to_string(),
        };
        self.set("directory", directory.trim_end_matches("/.").to_string());
        Ok(())
    }

    /// How it comes back, and how it ends.
    fn lives(&mut self) {
        // PM2's own default.
        self.set("stopsignal", "INT");
        let reaches_all = self.node.get("treekill").and_then(Node::as_bool) != Some(false);
        self.set("stop_scope", if reaches_all { "tree" } else { "process" });
        let restarts = self.node.get("autorestart").and_then(Node::as_bool) != Some(false);
        self.set("autorestart", restarts.to_string());
        let uptime = self.time("min_uptime");
        match (restarts, uptime) {
            // What is not restarted is no failed start either, however soon it ends.
            (false, _) => self.set("startsecs", "0"),
            (true, Some(time)) => self.set("startsecs", crate::convert::units::seconds(time).to_string()),
            (true, None) => {}
        }
        if let Some(tries) = self.number("max_restarts") {
            self.set("startretries", tries.to_string());
        }
        if let Some(delay) = self.time("restart_delay").filter(|delay| !delay.is_zero()) {
            self.set("restart_delay", milliseconds(delay));
        }
        if let Some(delay) = self.time("exp_backoff_restart_delay").filter(|delay| !delay.is_zero()) {
            self.set("restart_delay", milliseconds(delay));
            self.set("restart_backoff", "exponential");
            // A pause that is longer from the beginning does not shrink.
            self.set("restart_delay_max", milliseconds(delay.max(LONGEST_PAUSE)));
            self.set("restart_reset", RESET);
        }
        if let Some(time) = self.time("kill_timeout") {
            self.set("stopwaitsecs", crate::convert::units::seconds(time).to_string());
        }
        if let Some(limit) = text(self.node, "max_memory_restart") {
            match size(limit) {
                Some(limit) => self.set("memory_limit", limit),
                None => self.lose("max_memory_restart", limit, "it is no size: write memory_limit by hand"),
            }
        }
        if let Some(codes) = self.node.get("stop_exit_codes") {
            let codes = match codes {
                Node::List(codes) => codes.iter().filter_map(Node::scalar).collect::<Vec<_>>().join(", "),
                one => one.scalar().unwrap_or_default().to_string(),
            };
            let is_code = |code: &str| code.trim().parse::<u8>().is_ok();
            match codes.split(',').all(is_code) {
                true => self.set("stay_down_exitcodes", codes),
                false => self.lose("stop_exit_codes", codes, "exit codes are numbers from 0 to 255"),
            }
        }
    }

    fn instances(&mut self) {
        let is_cluster = text(self.node, "exec_mode").is_some_and(|mode| mode.starts_with("cluster"));
        let written = text(self.node, "instances");
        let count = match written.map(|written| (written, written.parse::<u32>())) {
            None | Some((_, Ok(1))) => 1,
            Some((_, Ok(count))) if (1..=MOST_INSTANCES).contains(&count) => count,
            Some((written, _)) => {
                let why = "it means the number of processors: write numprocs, with process_name=%(program_name)s_%(process_num)d";
                self.lose("instances", written, why);
                1
            }
        };
        if count > 1 {
            self.set("numprocs", count.to_string());
            self.set("process_name", "%(program_name)s_%(process_num)d");
        }
        if is_cluster {
            let why = "processes do not share a port: give each its own, such as 3000 + NODE_APP_INSTANCE, or sockets=tcp://…, \
                       which hands all of them one";
            self.lose("exec_mode", "cluster", why);
        }
    }

    fn environment(&mut self) {
        let mut variables = BTreeMap::new();
        if let Some(Node::Map(pairs)) = self.node.get("env") {
            for (name, value) in pairs {
                let is_name =
                    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
                match value.scalar().filter(|_| is_name) {
                    Some(value) => {
                        variables.insert(name.as_str(), value.to_string());
                    }
                    None => self.lose(
                        &format!("env.{name}"),
                        value.shown(),
                        "this is no variable: it is left out",
                    ),
                }
            }
        }
        let mut value = environment(variables.iter().map(|(name, value)| (*name, value.as_str())));
        if self.has_copies() {
            let variable = text(self.node, "instance_var").unwrap_or("NODE_APP_INSTANCE");
            let comma = if value.is_empty() { "" } else { "," };
            value += &format!("{comma}{}=\"%(process_num)d\"", name(variable));
        }
        if !value.is_empty() {
            self.set("environment", value);
        }
        if let Some(file) = text(self.node, "env_file") {
            let path =
                if file.starts_with('/') { escaped(file) } else { format!("%(here)s/{}", escaped(file)) };
            self.set("environment_file", path);
        }
    }

    pub(super) fn has_copies(&self) -> bool {
        text(self.node, "instances")
            .and_then(|count| count.parse::<u32>().ok())
            .is_some_and(|count| count > 1)
    }

    fn user(&mut self) {
        let user = text(self.node, "uid").or(text(self.node, "user"));
        let group = text(self.node, "gid");
        match (user, group) {
            (Some(user), Some(group)) => self.set("user", escaped(&format!("{user}:{group}"))),
            (Some(user), None) => self.set("user", escaped(user)),
            (None, Some(group)) => self.lose("gid", group, "a group needs a user: write user=NAME:GROUP"),
            (None, None) => {}
        }
    }

    /// What no other function has read.
    fn rest(&mut self, key: &str, value: &Node) {
        let why = match key {
            "script"
            | "name"
            | "args"
            | "interpreter"
            | "exec_interpreter"
            | "interpreter_args"
            | "node_args"
            | "cwd"
            | "autorestart"
            | "min_uptime"
            | "max_restarts"
            | "restart_delay"
            | "exp_backoff_restart_delay"
            | "kill_timeout"
            | "max_memory_restart"
            | "stop_exit_codes"
            | "instances"
            | "exec_mode"
            | "env"
            | "env_file"
            | "instance_var"
            | "uid"
            | "user"
            | "gid" => return,
            key if logs::KEYS.contains(&key) => return,
            // They mean nothing without PM2.
            "pmx" | "automation" | "vizion" | "force" | "treekill" | "trace" | "disable_trace"
            | "kill_retry_time" | "pm_id" | "version" => return,
            "autostart" => {
                if value.as_bool() == Some(false) {
                    self.set("autostart", "false");
                }
                return;
            }
            "watch" if value.as_bool() == Some(false) => return,
            "watch" | "ignore_watch" | "watch_options" | "watch_delay" => {
                "nothing watches files: run the command through a program that does, such as nodemon"
            }
            "wait_ready" if value.as_bool() == Some(false) => return,
            "wait_ready" => {
                "process.send('ready') is heard by PM2 only: write ready=tcp:PORT, ready=log:TEXT or ready=http://…"
            }
            "listen_timeout" => "write ready, and this as ready_timeout",
            "cron_restart" | "cron" => {
                "nothing restarts by the clock: let cron run \"supervisord ctl restart\""
            }
            "source_map_support" => {
                "PM2 loads a module for that: write interpreter_args=--enable-source-maps into command"
            }
            "shutdown_with_message" => {
                "there is no channel for messages: let the program listen to the stop signal"
            }
            "namespace" => "write a [group:NAME] section with programs=",
            "post_update" | "filter_env" | "increment_var" => {
                "nothing here does that: see environment_inherit"
            }
            key if key.starts_with("env_") => {
                "it counts with pm2 start --env only: write what is to count into environment, or into an environment_file"
            }
            _ => "nothing here means that",
        };
        self.lose(key, value.shown(), why);
    }

    fn number(&mut self, key: &str) -> Option<u32> {
        let written = text(self.node, key)?;
        let number = written.parse().ok();
        if number.is_none() {
            self.lose(key, written, "it is not a number that can be used: write the key by hand");
        }
        number
    }

    /// Milliseconds, or a time with a unit.
    fn time(&mut self, key: &str) -> Option<Duration> {
        let written = text(self.node, key)?;
        let time = time(written);
        if time.is_none() {
            self.lose(key, written, "it is not a time that can be used: write the key by hand");
        }
        time
    }
}

fn time(text: &str) -> Option<Duration> {
    let units = [("h", 3_600_000.0), ("m", 60_000.0), ("s", 1_000.0)];
    let found = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (number, factor) = found.unwrap_or((text, 1.0));
    let milliseconds = number.trim().parse::<f64>().ok().filter(|number| *number >= 0.0)? * factor;
    Duration::try_from_secs_f64((milliseconds / 1000.0).min(1e9)).ok()
}

fn milliseconds(time: Duration) -> String {
    match time.as_millis() {
        whole if whole.is_multiple_of(1000) => format!("{}s", whole / 1000),
        odd => format!("{odd}ms"),
    }
}

/// A size as we write it.
fn size(text: &str) -> Option<String> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => "",
        "K" | "KB" => "KB",
        "M" | "MB" => "MB",
        "G" | "GB" => "GB",
        _ => return None,
    };
    number.parse::<u32>().ok().filter(|number| *number > 0).map(|number| format!("{number}{unit}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_read() {
        for (written, expected) in
            [("1600", Some(1600)), ("5s", Some(5000)), ("1h", Some(3_600_000)), ("x", None), ("-1", None)]
        {
            assert_eq!(time(written), expected.map(Duration::from_millis), "{written}");
        }
        for (written, expected) in
            [("300M", Some("300MB")), ("1G", Some("1GB")), ("5", Some("5")), ("1T", None), ("M", None)]
        {
            assert_eq!(size(written).as_deref(), expected, "{written}");
        }
        assert_eq!(
            (milliseconds(Duration::from_millis(100)), milliseconds(Duration::from_secs(3))),
            ("100ms".into(), "3s".into())
        );
    }
}
