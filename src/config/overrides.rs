//! What is laid over the values of the files: how many processes programs have, and whether they start with the daemon.
//!
//! What does not fit to the files any more is told and not used. It never keeps a configuration from being read.

use crate::config::section::{Context, MAX_PROCESSES, Section};
use crate::config::text::strip;
use crate::config::values::{self, Parsed};
use crate::model::config::{Config, DaemonConfig, GroupConfig, Level, ProcessConfig, Program};
use crate::model::state_file::Overrides;
use std::collections::BTreeSet;
use std::sync::Arc;

/// When a process starts by itself: `autostart`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Autostart {
    Never,
    Always,
    /// If it was wanted up when the daemon ended.
    Last,
}

/// A boolean, or `last`.
pub(super) fn autostart(text: &str) -> Parsed<Autostart> {
    if strip(text).eq_ignore_ascii_case("last") {
        return Ok(Autostart::Last);
    }
    values::boolean(text).map(|starts| if starts { Autostart::Always } else { Autostart::Never })
}

/// Notes a program, and puts the number of its processes in the place of that of its section.
pub(super) fn scale(section: &Section<'_>, numprocs: &mut i64, program: &str, group: &str) {
    let context = section.context;
    let is_numbered = section.raw("process_name").is_some_and(|raw| raw.text.contains("%(process_num)"));
    context.note_program(Program {
        name: program.into(),
        group: group.into(),
        numprocs: u32::try_from(*numprocs).unwrap_or_default(),
        is_numbered,
    });
    let Some(number) = context.overrides.numprocs.get(program) else { return };
    let number = i64::from(*number);
    if number > 1 && !is_numbered {
        let text = format!(
            "'{program}' was scaled to {number} and has numprocs={numprocs} again: %(process_num) is not in its \
             process_name any more"
        );
        return section.note(Some("process_name"), Level::Warn, text);
    }
    *numprocs = number.min(MAX_PROCESSES);
}

/// A process that starts with the daemon, or not, as somebody has said.
pub(super) fn with_autostart(
    context: &Context<'_>,
    mut process: ProcessConfig,
    group: &str,
) -> ProcessConfig {
    if let Some(starts) = context.overrides.autostart_of(group, &process.name, &process.program) {
        process.autostart = starts;
        process.autostart_last = false;
    }
    process
}

/// Notes that nothing is remembered for `autostart=last`, if there is no file for that.
pub(super) fn check_last(context: &Context<'_>, supervisord: &DaemonConfig, groups: &[Arc<GroupConfig>]) {
    let mut processes = groups.iter().flat_map(|group| &group.processes);
    if supervisord.state_file.is_some() {
        return;
    }
    if let Some(process) = processes.find(|process| process.autostart_last) {
        let text = format!(
            "autostart=last of '{}' means true at the start of the daemon, because [supervisord] has no state_file",
            process.program
        );
        context.section("supervisord").note(None, Level::Warn, text);
    }
}

/// The names in some overrides that a configuration does not have, each once.
pub fn unknown_names(overrides: &Overrides, config: &Config) -> Vec<String> {
    let is_program = |name: &str| config.programs.iter().any(|program| *program.name == *name);
    let is_process = |name: &str| {
        let Some((group, process)) = name.split_once(':') else { return false };
        let group = config.groups.iter().find(|it| *it.name == *group);
        group.is_some_and(|group| group.processes.iter().any(|it| *it.name == *process))
    };
    let names: BTreeSet<&String> = overrides.numprocs.keys().chain(overrides.autostart.keys()).collect();
    names.into_iter().filter(|name| !is_program(name) && !is_process(name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::args::DaemonArgs;
    use crate::config::{Surroundings, interpret_again, parse};
    use std::path::Path;

    const FILE: &str = "[supervisord]\n[program:one]\ncommand=a\n[program:web]\ncommand=a %(numprocs)d\nnumprocs=2\n\
                        process_name=web_%(process_num)d\nautostart=last\n[group:g]\nprograms=one,web\n\
                        [eventlistener:ear]\ncommand=e\nevents=TICK_5\n[program:off]\ncommand=a\nautostart=false\n";

    fn read(overrides: &Overrides) -> Config {
        let (args, around) = (DaemonArgs::default(), Surroundings::of_this_process());
        let config = parse(Path::new("/tmp/x.conf"), FILE, &args, &around).unwrap();
        interpret_again(&config.written, &args, &around, overrides).unwrap()
    }

    fn overrides(numprocs: &[(&str, u32)], autostart: &[(&str, bool)]) -> Overrides {
        Overrides {
            numprocs: numprocs.iter().map(|(name, number)| (name.to_string(), *number)).collect(),
            autostart: autostart.iter().map(|(name, starts)| (name.to_string(), *starts)).collect(),
        }
    }

    fn names(config: &Config, group: &str) -> String {
        let group = config.groups.iter().find(|it| *it.name == *group).unwrap();
        let name = |process: &std::sync::Arc<ProcessConfig>| {
            let starts = match (process.autostart, process.autostart_last) {
                (false, _) => "-",
                (true, false) => "+",
                (true, true) => "=",
            };
            format!("{starts}{}", process.name)
        };
        group.processes.iter().map(name).collect::<Vec<_>>().join(" ")
    }

    #[track_caller]
    fn check(numprocs: &[(&str, u32)], autostart: &[(&str, bool)], group: &str, expected: &str) {
        assert_eq!(names(&read(&overrides(numprocs, autostart)), group), expected);
    }

    #[test]
    fn numbers_and_starts_are_laid_over_what_is_written() {
        check(&[], &[], "g", "+one =web_0 =web_1");
        check(&[("web", 3)], &[], "g", "+one =web_0 =web_1 =web_2");
        check(&[("web", 0)], &[], "g", "+one");
        check(&[("one", 0), ("web", 1)], &[], "g", "=web_0");
        check(&[("ear", 0)], &[], "ear", "");
        check(&[], &[("web", false)], "g", "+one -web_0 -web_1");
        check(&[], &[("web", true), ("g:web_1", false), ("one", false)], "g", "-one +web_0 -web_1");
        check(&[("web", 3)], &[("g:web_2", false)], "g", "+one =web_0 =web_1 -web_2");
        check(&[], &[("off", true)], "off", "+off");
        check(&[("gone", 3)], &[("gone:x", true)], "off", "-off");
    }

    #[test]
    fn what_does_not_fit_is_told_and_not_used() {
        let config = read(&overrides(&[("one", 3)], &[]));
        assert_eq!(names(&config, "g"), "+one =web_0 =web_1");
        let told = config.messages.iter().filter(|it| it.text.contains("'one' was scaled to 3")).count();
        assert_eq!(told, 1, "{:?}", config.messages);
    }

    #[test]
    fn programs_are_known_as_they_are_written() {
        let config = read(&overrides(&[("web", 7)], &[]));
        let program = |program: &Program| {
            format!("{}/{} {} {}", program.group, program.name, program.numprocs, program.is_numbered)
        };
        let programs: Vec<String> = config.programs.iter().map(program).collect();
        assert_eq!(programs, ["g/one 1 false", "g/web 2 true", "off/off 1 false", "ear/ear 1 false"]);
    }

    #[test]
    fn names_that_are_not_configured_are_found() {
        let all = overrides(
            &[("gone", 3), ("web", 0)],
            &[("g:web_1", true), ("gone", true), ("g:x", true), ("on", true)],
        );
        assert_eq!(unknown_names(&all, &read(Overrides::NONE)), ["g:x", "gone", "on"]);
    }

    #[test]
    fn only_booleans_and_last_are_taken() {
        for (text, expected) in [
            ("true", Some(Autostart::Always)),
            ("No", Some(Autostart::Never)),
            (" Last ", Some(Autostart::Last)),
            ("lastly", None),
        ] {
            assert_eq!(autostart(text).ok(), expected, "{text}");
        }
    }
}
