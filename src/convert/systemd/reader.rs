//! One service while a program is made of it: what was taken, what was set, what is lost.

use crate::convert::import::{self, Settings};
use crate::convert::losses::Losses;
use crate::convert::systemd::parse::{Directive, UnitFile};
use crate::convert::systemd::time::{self, Span};
use crate::convert::systemd::words::{Specifiers, split};

pub(super) const SERVICE: &str = "Service";

/// More bytes than a list shows of a value that is lost.
const LONGEST_LOST: usize = 1000;

/// The keys of a program that an import can set.
pub(super) const IMPORTED: &[&str] = &[
    "command",
    "process_name",
    "numprocs",
    "numprocs_start",
    "directory",
    "umask",
    "autostart",
    "autorestart",
    "startsecs",
    "startretries",
    "exitcodes",
    "stopsignal",
    "stopwaitsecs",
    "stopasgroup",
    "stop_scope",
    "user",
    "redirect_stderr",
    "type",
    "max_runtime",
    "restart_delay",
    "restart_backoff",
    "restart_delay_max",
    "restart_limit",
    "stay_down_exitcodes",
    "depends_on",
    "depends_restart",
    "ready",
    "ready_timeout",
    "watchdog",
    "notify",
    "stdout_logfile",
    "stdout_logfile_maxbytes",
    "stderr_logfile",
    "stderr_logfile_maxbytes",
    "syslog_facility",
    "syslog_tag",
    "syslog_stdout_priority",
    "environment",
    "environment_file",
    "environment_inherit",
    "credential.NAME",
    "supplementary_groups",
    "limit_as",
    "limit_core",
    "limit_cpu",
    "limit_data",
    "limit_fsize",
    "limit_memlock",
    "limit_msgqueue",
    "limit_nofile",
    "limit_nproc",
    "limit_rtprio",
    "limit_sigpending",
    "limit_stack",
    "nice",
    "ionice",
    "cpu_affinity",
    "cpu_scheduling",
    "oom_score_adj",
    "memory_high",
    "memory_max",
    "cpu_max",
    "cpu_weight",
    "pids_max",
    "io_weight",
    "no_new_privs",
    "capabilities",
    "ambient_capabilities",
    "seccomp",
    "read_only_paths",
    "read_write_paths",
    "private_tmp",
    "private_network",
    "sockets",
    "socket",
    "socket_owner",
    "socket_mode",
    "socket_backlog",
    "programs",
];

/// A service that is being read.
pub(super) struct Reader<'a> {
    pub unit: UnitFile,
    pub names: Specifiers,
    pub settings: Settings,
    pub losses: &'a mut Losses,
}

impl Reader<'_> {
    pub(super) fn set(&mut self, key: &str, value: impl Into<String>) {
        debug_assert!(
            IMPORTED.contains(&key) || key.starts_with("credential."),
            "{key} is not among the keys that are imported"
        );
        self.settings.set(key, value);
    }

    /// Sets a key to a value that a configuration can have, or says why it cannot.
    pub(super) fn set_valid<T>(
        &mut self,
        key: &str,
        value: &str,
        directive: &Directive,
        read: impl Fn(&str) -> Result<T, String>,
    ) {
        match read(value) {
            Ok(_) => self.set(key, import::escaped(value)),
            Err(why) => self.lose(directive, &why),
        }
    }

    /// An octal number, such as a mode, for a key.
    pub(super) fn set_mode(&mut self, key: &str, directive: &Directive) {
        let is_octal = |text: &str| text.len() <= 5 && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
        match is_octal(&directive.value) {
            true => self.set(key, &*directive.value),
            false => self.lose(directive, "it is no octal number, and systemd ignores it"),
        }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.settings.get(key).is_some()
    }

    pub(super) fn lose(&mut self, directive: &Directive, why: &str) {
        // Of a long line, no more than is shown: each of its words may be lost.
        let end = directive.value.floor_char_boundary(LONGEST_LOST);
        let value = &directive.value[..end];
        self.losses.note(format!("{} {}", directive.place, directive.key), value, why);
    }

    /// The last value of a directive of `[Service]`.
    pub(super) fn take(&mut self, key: &str) -> Option<Directive> {
        self.unit.take(SERVICE, key)
    }

    /// A text as a value of a configuration.
    pub(super) fn value(&mut self, text: &str, directive: &Directive) -> String {
        let (value, lost) = self.names.value(text);
        for specifier in lost {
            self.losses.note(
                format!("{} {}", directive.place, directive.key),
                specifier,
                "no name of a configuration means the same: write what it stands for",
            );
        }
        value
    }

    /// Words between quotes and blanks.
    pub(super) fn words(&mut self, directive: &Directive) -> Vec<String> {
        split(&directive.value).unwrap_or_else(|why| {
            self.lose(directive, why);
            Vec::new()
        })
    }

    /// A yes or no.
    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        let directive = self.take(key)?;
        match directive.value.to_ascii_lowercase().as_str() {
            "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
            "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
            _ => {
                self.lose(&directive, "it is neither yes nor no");
                None
            }
        }
    }

    /// A time, in microseconds. What is not finite is none.
    pub(super) fn span(&mut self, section: &str, key: &str) -> Option<(Span, Directive)> {
        let directive = self.unit.take(section, key)?;
        match time::span(&directive.value) {
            Some(span) => Some((span, directive)),
            None => {
                self.lose(&directive, "it is not a length of time");
                None
            }
        }
    }

    /// A number that may be `infinity`, as a configuration writes it, in a range.
    pub(super) fn number(&mut self, key: &str, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let directive = self.take(key)?;
        let number = directive.value.parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            self.lose(&directive, &format!("expected a number from {} to {}", range.start(), range.end()));
        }
        number
    }

    /// Takes what stands for its own, and says that it is lost.
    pub(super) fn lose_all(&mut self, section: &str, key: &str, why: &str) {
        for directive in self.unit.take_all(section, key) {
            self.lose(&directive, why);
        }
    }
}
