//! The directives of a service about its life: kind, restarts, stopping.

use crate::convert::systemd::reader::{Reader, SERVICE};
use crate::convert::systemd::time::{self, Span};
use crate::model::restart::MOST_COUNTED_STARTS;
use crate::model::signal::Signal;

/// What systemd waits for the end of a service unless it says otherwise (DefaultTimeoutStopSec=).
const STOP: u64 = 90;
/// How many starts there may be in ten seconds unless a service says otherwise (DefaultStartLimitBurst=).
const STARTS: &str = "5/10s";

impl Reader<'_> {
    /// `Type=`. Whether the program puts itself into the background.
    pub(super) fn kind(&mut self) -> bool {
        let Some(directive) = self.take("Type") else { return false };
        match &*directive.value {
            "simple" | "exec" | "idle" => {}
            "forking" => return true,
            "oneshot" => self.set("type", "oneshot"),
            "notify" | "notify-reload" => self.set("ready", "notify"),
            "dbus" => self.lose(&directive, "nobody waits for a name on a bus: it is ready at once"),
            _ => self.lose(&directive, "no such type is known"),
        }
        false
    }

    pub(super) fn is_oneshot(&self) -> bool {
        self.settings.get("type") == Some("oneshot")
    }

    /// `Restart=` and what goes with it.
    pub(super) fn restart(&mut self) {
        let directive = self.take("Restart");
        let word = directive.as_ref().map_or("no", |directive| &*directive.value);
        let is_oneshot = self.is_oneshot();
        let restarts = match word {
            "no" if is_oneshot => {
                self.set("startretries", "0");
                false
            }
            "no" => {
                self.set("autorestart", "false");
                false
            }
            "always" if is_oneshot => {
                self.lose_directive(directive.as_ref(), "a oneshot is not started again after a good end");
                true
            }
            "always" => {
                self.set("autorestart", "true");
                true
            }
            "on-failure" => true,
            "on-abnormal" | "on-abort" | "on-watchdog" | "on-success" => {
                self.lose_directive(directive.as_ref(), "it is restarted after every unexpected end");
                true
            }
            _ => {
                self.lose_directive(directive.as_ref(), "no such value is known");
                true
            }
        };
        if !is_oneshot && !self.has("ready") {
            // systemd counts it as started at once.
            self.set("startsecs", "0");
        }
        self.exit_statuses(restarts);
        self.pace(restarts);
        self.start_limit(restarts);
    }

    fn lose_directive(&mut self, directive: Option<&crate::convert::systemd::parse::Directive>, why: &str) {
        if let Some(directive) = directive {
            self.lose(directive, why);
        }
    }

    fn exit_statuses(&mut self, restarts: bool) {
        let (mut expected, mut forced) = (vec!["0".to_string()], Vec::new());
        let is_code = |word: &str| word.parse::<u8>().is_ok();
        for (word, directive) in self.unit.take_words(SERVICE, "SuccessExitStatus") {
            match is_code(&word) {
                true if expected.contains(&word) => {}
                true => expected.push(word),
                false => self.lose(&directive, "exit codes are numbers, and a signal is never expected"),
            }
        }
        for (word, directive) in self.unit.take_words(SERVICE, "RestartForceExitStatus") {
            match (is_code(&word), Signal::parse(&word)) {
                (true, _) if forced.contains(&word) => {}
                (true, _) => forced.push(word),
                // Each death by a signal is unexpected anyway.
                (false, Some(_)) => {}
                (false, None) => self.lose(&directive, "exit codes are numbers"),
            }
        }
        expected.retain(|code| !forced.contains(code));
        if expected != ["0"] && (restarts || !expected.is_empty()) {
            self.set("exitcodes", expected.join(","));
        }
        let (mut down, words) = (Vec::new(), self.unit.take_words(SERVICE, "RestartPreventExitStatus"));
        for (word, directive) in words {
            match is_code(&word) {
                true => down.push(word),
                false => self.lose(&directive, "exit codes are numbers"),
            }
        }
        if !down.is_empty() {
            self.set("stay_down_exitcodes", down.join(","));
        }
    }

    fn pace(&mut self, restarts: bool) {
        let delay = self.span(SERVICE, "RestartSec");
        let steps = self.take("RestartSteps");
        let most = self.span(SERVICE, "RestartMaxDelaySec");
        if !restarts {
            return;
        }
        if let Some((Span::Micros(delay), _)) = &delay {
            let delay = *delay;
            self.set("restart_delay", time::written(delay));
            self.set("restart_backoff", if steps.is_some() { "exponential" } else { "fixed" });
        }
        match (most, steps) {
            (Some((Span::Micros(most), directive)), Some(_)) => {
                let least = match delay {
                    Some((Span::Micros(delay), _)) => delay.max(1),
                    _ => 1,
                };
                match most >= least {
                    true => self.set("restart_delay_max", time::written(most)),
                    false => self.lose(&directive, "it is shorter than RestartSec=, and systemd ignores it"),
                }
            }
            (Some((_, directive)), _) => self.lose(&directive, "it has no effect without RestartSteps="),
            (None, Some(directive)) => self.lose(&directive, "it has no effect without RestartMaxDelaySec="),
            (None, None) => {}
        }
    }

    fn start_limit(&mut self, restarts: bool) {
        // The names of the section [Service] are those of old releases.
        let interval = ["StartLimitIntervalSec", "StartLimitInterval"]
            .into_iter()
            .find_map(|key| self.span("Unit", key).or_else(|| self.span(SERVICE, key)));
        let burst = self.unit.take("Unit", "StartLimitBurst").or_else(|| self.take("StartLimitBurst"));
        self.lose_all("Unit", "StartLimitAction", "the machine is left alone: let something watch for FATAL");
        if !restarts {
            return;
        }
        // systemd counts starts in a time and nothing else, however they end.
        self.set("startretries", "-1");
        let within = match interval.as_ref().map(|(span, _)| *span) {
            Some(Span::Micros(0)) => return,
            Some(Span::Micros(micros)) => time::written(micros),
            Some(Span::Infinite) => "36500d".to_string(),
            None if burst.is_none() => return self.set("restart_limit", STARTS),
            None => "10s".to_string(),
        };
        let starts = burst.as_ref().map_or(Some(5), |burst| burst.value.parse::<u32>().ok());
        match (starts, burst) {
            (Some(0), _) => {}
            (Some(starts @ ..=MOST_COUNTED_STARTS), _) => {
                self.set("restart_limit", format!("{starts}/{within}"))
            }
            (_, Some(burst)) => {
                self.lose(
                    &burst,
                    &format!("starts are counted up to {MOST_COUNTED_STARTS}: there is no limit"),
                );
            }
            (_, None) => {}
        }
    }

    /// How it is stopped, how long it may take to start, and how long to run.
    pub(super) fn stop(&mut self) {
        let signal = self.take("KillSignal");
        if let Some(directive) = signal {
            match Signal::parse(&directive.value).and_then(Signal::name) {
                Some(name) => self.set("stopsignal", name.trim_start_matches("SIG")),
                None => self.lose(&directive, "no signal has this name"),
            }
        }
        if let Some(directive) = self.take("FinalKillSignal").filter(|it| it.value != "SIGKILL") {
            self.lose(&directive, "the last signal is SIGKILL");
        }
        for key in ["SendSIGHUP", "RestartKillSignal"] {
            self.lose_all(SERVICE, key, "a program gets the signals of stopsignal: list several there");
        }
        if self.flag("SendSIGKILL") == Some(false) {
            self.losses.note(
                format!("{} SendSIGKILL", self.unit.name),
                "no",
                "what does not stop in time is killed",
            );
        }
        let both = self.span(SERVICE, "TimeoutSec");
        let stop = self.span(SERVICE, "TimeoutStopSec").or_else(|| both.clone());
        let seconds = match stop {
            Some((Span::Micros(micros @ 1..), _)) => time::seconds(micros),
            // Nothing means no limit, too.
            Some((Span::Micros(0) | Span::Infinite, directive)) => {
                self.lose(&directive, "it is killed in the end: after a day");
                86_400
            }
            None => STOP,
        };
        self.set("stopwaitsecs", seconds.to_string());
        self.reach();
        let start = self.span(SERVICE, "TimeoutStartSec").or(both);
        match (start, self.has("ready"), self.is_oneshot()) {
            (Some((Span::Micros(micros), _)), true, _) if micros > 0 => {
                self.set("ready_timeout", time::written(micros))
            }
            (Some((_, directive)), true, _) => {
                self.lose(&directive, "ready_timeout is finite: it is 60 seconds")
            }
            (None, true, _) => self.set("ready_timeout", "90s"),
            (Some((Span::Micros(micros), _)), _, true) if micros > 0 => {
                self.set("max_runtime", time::written(micros))
            }
            // It is started as soon as it is executed.
            _ => {}
        }
        if let Some((Span::Micros(micros), directive)) = self.span(SERVICE, "RuntimeMaxSec") {
            match self.is_oneshot() {
                true => self.lose(&directive, "systemd does not look at it for a oneshot"),
                false => self.set("max_runtime", time::written(micros)),
            }
        }
        if let Some((Span::Micros(micros), _)) = self.span(SERVICE, "WatchdogSec") {
            self.set("watchdog", time::written(micros));
        }
        let access = self.take("NotifyAccess");
        if access.is_some_and(|access| access.value != "none") && !self.has("ready") {
            self.set("notify", "true");
        }
        if self.is_oneshot() {
            // A oneshot that is done counts as fulfilled, as long as it is not run again.
            self.flag("RemainAfterExit");
        } else {
            self.lose_all(
                SERVICE,
                "RemainAfterExit",
                "a program that has ended does not run: write type=oneshot",
            );
        }
    }

    /// Whom signals reach: systemd knows all that a service has started.
    fn reach(&mut self) {
        let directive = self.take("KillMode");
        match directive.as_ref().map_or("control-group", |directive| &*directive.value) {
            "process" => {}
            "mixed" => {
                self.set("stop_scope", "tree");
                self.set("stopasgroup", "false");
            }
            "control-group" => self.set("stop_scope", "tree"),
            _ => self.lose_directive(directive.as_ref(), "a program is always stopped by signals"),
        }
    }
}
