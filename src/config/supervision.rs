//! The keys about the life of a program that Supervisor does not have: its kind, the pace of its restarts, what it waits
//! for, how it shows that it is ready and well.

use crate::config::duration::{self, duration};
use crate::config::probe;
use crate::config::section::Section;
use crate::config::text::{repr, strip};
use crate::config::values::{self, Parsed, Read, Reading, not_one_of};
use crate::model::config::{Autorestart, FcgiAddress, MemoryLimit, ProgramType};
use crate::model::dependency::{Condition, Dependencies, Dependency, DependsRestart};
use crate::model::probe::{HealthAction, HealthCheck, Probe, Readiness};
use crate::model::restart::{Backoff, MOST_COUNTED_STARTS, RestartLimit, RestartPolicy};
use crate::model::signal::Signal;
use std::time::Duration;

/// What all processes of a section have in common.
pub(super) struct Shared {
    pub kind: ProgramType,
    pub max_runtime: Option<Duration>,
    pub restart: RestartPolicy,
    pub watchdog: Option<Duration>,
    pub memory_limit: Option<MemoryLimit>,
    pub notify: bool,
    dependency_timeout: Option<Duration>,
    depends_restart: DependsRestart,
    ready_interval: Duration,
    ready_timeout: Duration,
    waits_for_startsecs: bool,
    health_interval: Duration,
    health_timeout: Duration,
    health_retries: u32,
    health_start_period: Duration,
    health_action: HealthAction,
}

/// What may be another one for each process, because numbers are expanded in it.
pub(super) struct Own {
    pub dependencies: Dependencies,
    pub readiness: Option<Box<Readiness>>,
    pub health_check: Option<Box<HealthCheck>>,
}

/// Keys without effect unless another key is there.
const COMPANIONS: [(&str, &[&str]); 4] = [
    ("memory_limit", &["memory_action"]),
    ("depends_on", &["dependency_timeout", "depends_restart"]),
    ("ready", &["ready_interval", "ready_timeout"]),
    (
        "health",
        &["health_interval", "health_timeout", "health_retries", "health_start_period", "health_action"],
    ),
];

/// Keys that ask a oneshot for what it never is.
pub(super) const FOR_SERVICES: [&str; 2] = ["ready", "health"];

impl Shared {
    pub(super) fn read(section: &Section<'_>, autorestart: Autorestart) -> Shared {
        let shared = Shared {
            kind: section.get_or_default("type", kind),
            max_runtime: section.get_or_default("max_runtime", duration::limit),
            restart: restart_policy(section),
            dependency_timeout: section.get_or_default("dependency_timeout", duration::limit),
            depends_restart: section.get_or_default("depends_restart", depends_restart),
            ready_interval: section.get_or_default("ready_interval", duration::interval),
            ready_timeout: section.get_or_default("ready_timeout", duration::some_time),
            waits_for_startsecs: section.raw("startsecs").is_some(),
            health_interval: section.get_or_default("health_interval", duration::interval),
            health_timeout: section.get_or_default("health_timeout", duration::some_time),
            health_retries: section.get_or_default("health_retries", health_retries),
            health_start_period: section.get_or_default("health_start_period", duration),
            health_action: section.understand_or_default("health_action", health_action),
            memory_limit: memory_limit(section),
            watchdog: section.get_or_default("watchdog", duration::limit),
            notify: section.get_or_default("notify", values::boolean),
        };
        for (key, companions) in COMPANIONS {
            if section.raw(key).is_none() {
                for companion in companions.iter().filter(|companion| is_chosen(section, companion)) {
                    section.doubt(companion, format!("has no effect without {key}"));
                }
            }
        }
        if shared.kind == ProgramType::Oneshot {
            check_oneshot(section, autorestart);
        }
        shared
    }

    /// What is known of one process.
    pub(super) fn process(&self, section: &Section<'_>, sockets: &[FcgiAddress]) -> Own {
        let depends_on = section.get_or_default("depends_on", depends_on);
        // What the keys say of a oneshot was refused, or holds for other sections as well.
        let is_service = self.kind == ProgramType::Simple;
        let ready = probe_of(section, "ready", |text| probe::ready(text, sockets)).filter(|_| is_service);
        let health = probe_of(section, "health", probe::health).filter(|_| is_service);
        let dependencies = match depends_on.is_empty() {
            // The other keys then mean nothing, so that a change of them changes nothing.
            true => Dependencies::default(),
            false => Dependencies {
                depends_on,
                dependency_timeout: self.dependency_timeout,
                depends_restart: self.depends_restart,
            },
        };
        Own {
            dependencies,
            readiness: ready.map(|ready| {
                Box::new(Readiness {
                    ready,
                    ready_interval: self.ready_interval,
                    ready_timeout: self.ready_timeout,
                    waits_for_startsecs: self.waits_for_startsecs,
                })
            }),
            health_check: health.map(|health| {
                Box::new(HealthCheck {
                    health,
                    health_interval: self.health_interval,
                    health_timeout: self.health_timeout,
                    health_retries: self.health_retries,
                    health_start_period: self.health_start_period,
                    health_action: self.health_action,
                })
            }),
        }
    }
}

/// Whether somebody wrote a value for this section that is not the default. A dump writes all of these.
fn is_chosen(section: &Section<'_>, key: &str) -> bool {
    let written = section.raw(key).filter(|_| section.has_own(key));
    written.is_some_and(|value| value.text != section.default_text(key))
}

/// What a job cannot have. Keys of `[DEFAULT]` are for others.
fn check_oneshot(section: &Section<'_>, autorestart: Autorestart) {
    for key in FOR_SERVICES.into_iter().filter(|key| section.has_own(key)) {
        let text = format!(
            "{key} and type=oneshot exclude each other: a oneshot is never RUNNING, it is done when it has ended"
        );
        section.error(Some(key), text);
    }
    if autorestart == Autorestart::Always && section.has_own("autorestart") {
        let text = "has no effect with type=oneshot, which is not started again after a good end, and as often as \
                    startretries says after another one";
        section.doubt("autorestart", text.to_string());
    }
    if is_chosen(section, "startsecs") {
        section.doubt(
            "startsecs",
            "has no effect with type=oneshot, which is STARTING while it runs".to_string(),
        );
    }
}

/// A probe in which forms are expanded as in commands. An empty one is none.
fn probe_of(section: &Section<'_>, key: &str, parse: impl FnOnce(&str) -> Parsed<Probe>) -> Option<Probe> {
    let text = section.text_of_command(key)?;
    if strip(&text).is_empty() { None } else { section.ok(key, parse(&text)) }
}

fn restart_policy(section: &Section<'_>) -> RestartPolicy {
    let policy = RestartPolicy {
        restart_delay: section.get_or_default("restart_delay", duration::limit),
        restart_backoff: section.get_or_default("restart_backoff", backoff),
        restart_delay_max: section.get("restart_delay_max", duration::some_time),
        restart_jitter: jitter(section),
        restart_reset: section.get_or_default("restart_reset", duration::limit),
        restart_limit: section.get("restart_limit", restart_limit),
        stay_down_exitcodes: section.get_or_default("stay_down_exitcodes", values::exit_codes),
        retry_fatal_after: section.get_or_default("retry_fatal_after", duration),
    };
    if let (Some(delay), Some(most)) = (policy.restart_delay, policy.restart_delay_max)
        && most < delay
    {
        let text =
            format!("restart_delay_max is {most:?}, and so less than restart_delay, which is {delay:?}");
        section.error(Some("restart_delay_max"), text);
    }
    policy
}

fn kind(text: &str) -> Parsed<ProgramType> {
    match text.to_lowercase().as_str() {
        "simple" => Ok(ProgramType::Simple),
        "oneshot" => Ok(ProgramType::Oneshot),
        _ => Err(not_one_of(text, "type", "simple or oneshot")),
    }
}

fn backoff(text: &str) -> Parsed<Backoff> {
    match text.to_lowercase().as_str() {
        "linear" => Ok(Backoff::Linear),
        "exponential" => Ok(Backoff::Exponential),
        "fixed" => Ok(Backoff::Fixed),
        _ => Err(not_one_of(text, "restart_backoff", "linear, exponential or fixed")),
    }
}

fn depends_restart(text: &str) -> Parsed<DependsRestart> {
    match text.to_lowercase().as_str() {
        "none" => Ok(DependsRestart::None),
        "restart" => Ok(DependsRestart::Restart),
        "stop" => Ok(DependsRestart::Stop),
        _ => Err(not_one_of(text, "depends_restart", "none, restart or stop")),
    }
}

fn health_action(text: &str) -> Read<HealthAction> {
    let plain = |action| Ok(Reading::plain(action));
    match text.to_lowercase().as_str() {
        "restart" => plain(HealthAction::Restart),
        "stop" => plain(HealthAction::Stop),
        "none" => plain(HealthAction::None),
        _ => match text.split_once(':') {
            Some((word, name)) if word.eq_ignore_ascii_case("signal") => {
                let Reading { value, doubt } = values::signal(name)?;
                if value == Signal::from_raw(0) {
                    return Err(format!("value {} is not a valid signal name", repr(name)));
                }
                Ok(Reading { value: HealthAction::Signal(value), doubt })
            }
            _ => Err(not_one_of(text, "health_action", "restart, stop, none or signal:NAME")),
        },
    }
}

fn memory_limit(section: &Section<'_>) -> Option<MemoryLimit> {
    let action = section.understand_or_default("memory_action", memory_action);
    let bytes = section.understand("memory_limit", memory_size)?;
    Some(MemoryLimit { bytes, action })
}

/// `512MB`.
fn memory_size(text: &str) -> Read<u64> {
    let reading = values::bytes(text)?;
    if reading.value == 0 {
        return Err(format!("{} leaves no memory; without memory_limit there is no limit", repr(text)));
    }
    Ok(reading)
}

fn memory_action(text: &str) -> Read<HealthAction> {
    let is_action = |word: &str| ["restart", "stop"].contains(&word) || word.starts_with("signal:");
    if !is_action(&text.to_lowercase()) {
        return Err(not_one_of(text, "memory_action", "restart, stop or signal:NAME"));
    }
    health_action(text)
}

/// A `%` behind a number begins no form.
fn jitter(section: &Section<'_>) -> u32 {
    const KEY: &str = "restart_jitter";
    match section.raw(KEY) {
        Some(_) => section.get_percent(KEY, percent).unwrap_or_default(),
        None => section.get_or_default(KEY, percent),
    }
}

/// `20%`, or `20`.
fn percent(text: &str) -> Parsed<u32> {
    let number = strip(text.strip_suffix('%').unwrap_or(text));
    let percent = number.parse().ok().filter(|percent| *percent <= 100);
    percent.ok_or_else(|| format!("not a valid part: {} (expected 0% to 100%)", repr(text)))
}

fn health_retries(text: &str) -> Parsed<u32> {
    match values::any_integer(text)? {
        // The range fits into 32 bits.
        number @ 1..=1_000_000 => Ok(number as u32),
        _ => Err(format!("{} failures cannot be counted (expected a number from 1 to 1000000)", strip(text))),
    }
}

/// `5/60s`.
fn restart_limit(text: &str) -> Parsed<RestartLimit> {
    let wrong = || {
        format!(
            "not a valid limit: {} (expected a number of starts from 1 to {MOST_COUNTED_STARTS} and a time, such as 5/60s)",
            repr(text)
        )
    };
    let (starts, within) = text.split_once('/').ok_or_else(wrong)?;
    let starts = values::any_integer(starts).map_err(|_| wrong())?;
    if !(1..=i64::from(MOST_COUNTED_STARTS)).contains(&starts) {
        return Err(wrong());
    }
    // The range was checked.
    Ok(RestartLimit { starts: starts as u32, within: duration::some_time(within)? })
}

/// Items separated by commas, each once.
fn depends_on(text: &str) -> Parsed<Vec<Dependency>> {
    let mut found: Vec<Dependency> = Vec::new();
    for item in values::strings(text).into_iter().filter(|item| !item.is_empty()) {
        let item = dependency(item)?;
        if !found.contains(&item) {
            found.push(item);
        }
    }
    Ok(found)
}

/// `target[:condition][?]`.
fn dependency(item: &str) -> Parsed<Dependency> {
    let (rest, is_soft) = match item.strip_suffix('?') {
        Some(rest) => (strip(rest), true),
        None => (item, false),
    };
    let condition =
        rest.rsplit_once(':').and_then(|(target, word)| Some((target, Condition::from_word(strip(word))?)));
    let (target, condition) = condition.unwrap_or((rest, Condition::Ready));
    let target = strip(target);
    let is_name = |name: &str| !name.is_empty() && !name.contains(char::is_whitespace);
    let (group, process) = target.split_once(':').unwrap_or((target, "*"));
    if !is_name(group) || !is_name(process) {
        return Err(format!(
            "not a valid item: {} (expected names separated by commas, each followed by nothing or one of :ready, \
             :healthy, :done, :exited, and ? if it can do without; write group:* for a group)",
            repr(item)
        ));
    }
    Ok(Dependency { target: target.to_string(), condition, is_soft })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Debug;

    #[track_caller]
    fn check<T: PartialEq + Debug>(parse: impl Fn(&str) -> Parsed<T>, table: &[(&str, Result<T, &str>)]) {
        for (text, expected) in table {
            match (parse(text), expected) {
                (Err(found), Err(expected)) => assert!(found.starts_with(expected), "{text:?}: {found}"),
                (found, expected) => {
                    assert_eq!(found.as_ref().ok(), expected.as_ref().ok(), "{text:?}: {found:?}")
                }
            }
        }
    }

    #[test]
    fn words() {
        check(
            kind,
            &[
                ("OneShot", Ok(ProgramType::Oneshot)),
                ("forking", Err("invalid 'type' value 'forking' (expected ")),
            ],
        );
        check(
            backoff,
            &[
                ("fixed", Ok(Backoff::Fixed)),
                ("Exponential", Ok(Backoff::Exponential)),
                ("", Err("invalid 'restart_backoff' value '' (expected linear, ")),
            ],
        );
        check(
            depends_restart,
            &[
                ("stop", Ok(DependsRestart::Stop)),
                ("true", Err("invalid 'depends_restart' value 'true' (expected none, ")),
            ],
        );
        let action = |text: &str| health_action(text).map(|reading| reading.value);
        check(
            action,
            &[
                ("None", Ok(HealthAction::None)),
                ("signal:HUP", Ok(HealthAction::Signal(Signal::HUP))),
                ("SIGNAL:15", Ok(HealthAction::Signal(Signal::TERM))),
                ("signal:0", Err("value '0' is not a valid signal name")),
                ("signal:x", Err("value 'x' is not a valid signal name")),
                ("/bin/x", Err("invalid 'health_action' value '/bin/x' (expected restart, ")),
            ],
        );
    }

    #[test]
    fn numbers() {
        check(
            percent,
            &[
                ("0", Ok(0)),
                ("20%", Ok(20)),
                ("100 %", Ok(100)),
                ("101%", Err("not a valid part: '101%' (expected 0% to 100%)")),
                ("-1", Err("not a valid part: '-1'")),
                ("%", Err("not a valid part: '%'")),
            ],
        );
        check(
            health_retries,
            &[
                ("1", Ok(1)),
                ("0", Err("0 failures cannot be counted (expected ")),
                ("x", Err("invalid literal")),
            ],
        );
        let limit = |starts, seconds| Ok(RestartLimit { starts, within: Duration::from_secs(seconds) });
        check(
            restart_limit,
            &[
                ("5/60s", limit(5, 60)),
                (" 64 / 1h ", limit(64, 3600)),
                ("1/1", limit(1, 1)),
                ("0/60s", Err("not a valid limit: '0/60s' (expected a number of starts from 1 to 64 and ")),
                ("65/60s", Err("not a valid limit: '65/60s' (expected ")),
                ("5", Err("not a valid limit: '5' (expected ")),
                ("/5", Err("not a valid limit: '/5' (expected ")),
                ("5/0", Err("'0' is too short")),
                ("5/x", Err("not a valid time: 'x'")),
            ],
        );
    }

    #[test]
    fn items_of_depends_on() {
        let one = |target: &str, condition, is_soft| {
            Ok(vec![Dependency { target: target.into(), condition, is_soft }])
        };
        check(
            depends_on,
            &[
                ("", Ok(vec![])),
                ("db", one("db", Condition::Ready, false)),
                ("db,db:ready , db:running,", one("db", Condition::Ready, false)),
                ("db:healthy?", one("db", Condition::Healthy, true)),
                ("db ?", one("db", Condition::Ready, true)),
                ("a:b", one("a:b", Condition::Ready, false)),
                ("a:b:process_completed_successfully", one("a:b", Condition::Done, false)),
                ("a:*:exited", one("a:*", Condition::Exited, false)),
                // Who has a process of that name says what it is to be.
                ("a:done", one("a", Condition::Done, false)),
                ("a:done:ready", one("a:done", Condition::Ready, false)),
                ("a:helthy", one("a:helthy", Condition::Ready, false)),
                ("web*", one("web*", Condition::Ready, false)),
                ("a b", Err("not a valid item: 'a b' (expected names separated by commas, ")),
                ("a:", Err("not a valid item: 'a:'")),
                (":ready", Err("not a valid item: ':ready'")),
                ("?", Err("not a valid item: '?'")),
            ],
        );
        let items = depends_on("db, cache:healthy, migrate:done, mail?").map(|items| items.len());
        assert_eq!(items, Ok(4));
    }
}
