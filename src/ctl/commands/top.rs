//! `top`: what processes use of the machine, again and again, with keys to sort and to act.

use super::{Command, Completes, status, words};
use crate::ctl::error::Outcome;
use crate::ctl::exit::Exit;
use crate::ctl::input::{Keys, Pressed};
use crate::ctl::interrupt::Interrupt;
use crate::ctl::records::Process;
use crate::ctl::session::Session;
use crate::ctl::usage::{self, Column, Meter, Usage};
use crate::model::visible;
use crate::rpc::wire::Value;
use anstyle::Style;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

pub(super) const COMMAND: Command = Command {
    name: "top",
    forms: &[
        ("top", "Show processor time, memory, threads and restarts of all processes, again and again"),
        ("top <name> ...", "Show those of some"),
        ("top --interval=SECONDS ...", "Look so often; 2 without it"),
    ],
    note: "Keys: c, m, t, r, u, n, p, s sort by cpu, memory, tasks, restarts, uptime, name, pid, state, the same once more the \
           other way round;\nup and down choose a process, S starts, X stops and R restarts it after a question; q ends.\n\
           Where the output is no terminal, it is shown once.",
    completes: Completes::Processes,
    run,
};

/// So often without `--interval`.
const INTERVAL: Duration = Duration::from_secs(2);

/// Between the two looks that the first shares of processors are made of.
pub(super) const FIRST_LOOKS: Duration = Duration::from_millis(500);

/// What is shown, and how.
struct View<'a> {
    names: Vec<&'a str>,
    sorted_by: Column,
    is_reversed: bool,
    /// Whom the keys act upon. It stays the same when the order changes.
    chosen: Option<String>,
    /// An order that waits for a yes.
    question: Option<Order>,
    /// What came of the last order.
    told: String,
}

/// What to do with which process.
#[derive(Clone, Debug)]
struct Order {
    verb: &'static str,
    methods: &'static [&'static str],
    namespec: String,
}

fn run(session: &mut Session, arguments: &str) -> Outcome {
    let (interval, names) = match parse(arguments) {
        Ok(parsed) => parsed,
        Err(message) => return session.misused(&COMMAND, &message, Exit::GENERIC),
    };
    session.check()?;
    let mut meter = Meter::default();
    meter.look(session)?;
    let mut view = View {
        names,
        sorted_by: Column::Cpu,
        is_reversed: false,
        chosen: None,
        question: None,
        told: String::new(),
    };
    if !session.screen.terminal || !std::io::stdin().is_terminal() {
        status::pause(FIRST_LOOKS, None)?;
        let all = meter.look(session)?;
        let mut usages = shown(session, &view.names, all)?;
        usage::sort(&mut usages, view.sorted_by, view.is_reversed);
        return draw_plainly(session, &usages, &Column::ALL);
    }
    let interrupt = Interrupt::catch();
    let mut keys = Keys::begin();
    // The terminal's other screen, so that what stood there comes back.
    session.screen.drawn(b"\x1b[?1049h\x1b[?25l")?;
    let outcome = follow(session, &mut meter, &mut view, interval, &mut keys, interrupt.as_ref());
    session.screen.drawn(b"\x1b[?25h\x1b[?1049l")?;
    outcome
}

fn parse(arguments: &str) -> Result<(Duration, Vec<&str>), String> {
    let (mut interval, mut names) = (INTERVAL, Vec::new());
    for word in words(arguments) {
        if !word.starts_with("--") {
            names.push(word);
            continue;
        }
        let seconds = word.strip_prefix("--interval=").and_then(|seconds| seconds.parse::<f64>().ok());
        let seconds = seconds.filter(|seconds| (0.1..=86_400.0).contains(seconds));
        interval = Duration::from_secs_f64(seconds.ok_or_else(|| format!("Error: bad argument {word}"))?);
    }
    Ok((interval, names))
}

/// Those of all that are asked for.
pub(super) fn shown(
    session: &mut Session,
    names: &[&str],
    usages: Vec<Usage>,
) -> Result<Vec<Usage>, crate::ctl::error::CtlError> {
    if names.is_empty() {
        return Ok(usages);
    }
    let process = |usage: &Usage| {
        let (group, name) = usage.namespec.split_once(':').unwrap_or((&usage.namespec, &usage.namespec));
        Process { group: group.into(), name: name.into(), ..Process::default() }
    };
    let processes: Vec<Process> = usages.iter().map(process).collect();
    let (chosen, problems) = status::select(names, &processes, session.settings.style);
    for (_, line) in problems {
        session.complain(&line, Exit::STATUS_UNKNOWN)?;
    }
    let chosen: Vec<String> = chosen.iter().map(|process| process.namespec()).collect();
    Ok(usages.into_iter().filter(|usage| chosen.contains(&usage.namespec)).collect())
}

/// The table, once.
pub(super) fn draw_plainly(session: &mut Session, usages: &[Usage], columns: &[Column]) -> Outcome {
    let lines = usage::lines(usages, columns, &session.screen);
    Ok(session.screen.drawn((lines.join("\n") + "\n").as_bytes())?)
}

fn follow(
    session: &mut Session,
    meter: &mut Meter,
    view: &mut View<'_>,
    interval: Duration,
    keys: &mut Keys,
    interrupt: Option<&Interrupt>,
) -> Outcome {
    let mut usages = Vec::new();
    let mut next_look = Instant::now() + FIRST_LOOKS;
    loop {
        draw(session, view, &mut usages)?;
        let Some(pressed) = keys.wait(next_look, interrupt)? else {
            let all = meter.look(session)?;
            usages = shown(session, &view.names, all)?;
            next_look = Instant::now() + interval;
            continue;
        };
        if view.press(pressed, &usages, session) == Next::End {
            return Ok(());
        }
    }
}

#[derive(PartialEq)]
enum Next {
    GoOn,
    End,
}

impl View<'_> {
    fn press(&mut self, pressed: Pressed, usages: &[Usage], session: &mut Session) -> Next {
        if let Some(order) = self.question.take() {
            if matches!(pressed, Pressed::Key('y' | 'Y')) {
                self.told = order.carry_out(session);
            }
            return if pressed == Pressed::End { Next::End } else { Next::GoOn };
        }
        self.told.clear();
        let column = match pressed {
            Pressed::End | Pressed::Key('q' | 'Q') => return Next::End,
            Pressed::Up => return self.choose(usages, -1),
            Pressed::Down => return self.choose(usages, 1),
            Pressed::Key('S') => return self.ask("start", &["supervisor.startProcess"]),
            Pressed::Key('X') => return self.ask("stop", &["supervisor.stopProcess"]),
            Pressed::Key('R') => {
                return self.ask("restart", &["supervisor.stopProcess", "supervisor.startProcess"]);
            }
            Pressed::Key('c') => Column::Cpu,
            Pressed::Key('m') => Column::Memory,
            Pressed::Key('t') => Column::Tasks,
            Pressed::Key('r') => Column::Restarts,
            Pressed::Key('u') => Column::Uptime,
            Pressed::Key('n') => Column::Name,
            Pressed::Key('p') => Column::Pid,
            Pressed::Key('s') => Column::State,
            Pressed::Key(_) => return Next::GoOn,
        };
        self.is_reversed = self.sorted_by == column && !self.is_reversed;
        self.sorted_by = column;
        Next::GoOn
    }

    fn choose(&mut self, usages: &[Usage], step: isize) -> Next {
        let at =
            self.chosen.as_ref().and_then(|name| usages.iter().position(|usage| usage.namespec == *name));
        let last = usages.len().saturating_sub(1);
        let at = match at {
            Some(at) => at.saturating_add_signed(step).min(last),
            None if step < 0 => last,
            None => 0,
        };
        self.chosen = usages.get(at).map(|usage| usage.namespec.clone());
        Next::GoOn
    }

    fn ask(&mut self, verb: &'static str, methods: &'static [&'static str]) -> Next {
        match &self.chosen {
            Some(namespec) => self.question = Some(Order { verb, methods, namespec: namespec.clone() }),
            None => self.told = "choose a process first, with the up and down keys".into(),
        }
        Next::GoOn
    }
}

impl Order {
    /// Carries it out, and tells what came of it. Nothing waits for a start; a restart waits for the stop.
    fn carry_out(&self, session: &mut Session) -> String {
        for (at, method) in self.methods.iter().enumerate() {
            let waits = at + 1 < self.methods.len();
            let params = vec![Value::String(self.namespec.clone()), Value::Boolean(waits)];
            let answer = session.daemon.call(method, params);
            // Whoever restarts what does not run wants it to run.
            if let Err(problem) = answer
                && !waits
            {
                return format!("{} {}: {problem}", self.verb, self.namespec);
            }
        }
        format!("{} {}: done", self.verb, self.namespec)
    }
}

fn draw(session: &mut Session, view: &View<'_>, usages: &mut [Usage]) -> Outcome {
    usage::sort(usages, view.sorted_by, view.is_reversed);
    let screen = &session.screen;
    let (width, height) = screen.size_now();
    let alive = usages.iter().filter(|usage| usage.pid > 0).count();
    // The sum of nothing is -0.
    let cpu = usages.iter().filter_map(|usage| usage.cpu_percent).sum::<f64>() + 0.0;
    let memory: i64 = usages.iter().map(|usage| usage.memory_bytes).sum();
    let head = format!(
        "{alive} of {} alive, {cpu:.1}% cpu, {} memory; sorted by {}",
        usages.len(),
        usage::size(memory),
        view.sorted_by.word()
    );
    let foot = match &view.question {
        Some(Order { verb, namespec, .. }) => format!("{verb} {}? y/n", visible::for_terminal(namespec)),
        None if view.told.is_empty() => {
            "c m t r u n p s sort, up/down choose, S start, X stop, R restart, q end".to_string()
        }
        None => visible::for_terminal(&view.told).into_owned(),
    };
    let lines = usage::lines(usages, &Column::ALL, screen);
    let room = height.saturating_sub(3).max(1);
    let chosen =
        view.chosen.as_ref().and_then(|name| usages.iter().position(|usage| usage.namespec == *name));
    // The chosen one is always in sight.
    let first = chosen.map_or(0, |at| at.saturating_sub(room.saturating_sub(1)));
    let mut text = format!("\x1b[H{head}\x1b[K\n{}\x1b[K\n", lines[0]);
    for (at, line) in lines[1..].iter().enumerate().skip(first).take(room) {
        let invert = Style::new().invert();
        let line = match chosen {
            // A style within ends at its reset, and this one goes on.
            Some(chosen) if chosen == at => {
                let reset = format!("{invert:#}");
                format!("{invert}{}{reset}", line.replace(&reset, &format!("{reset}{invert}")))
            }
            _ => line.clone(),
        };
        text += &format!("{line}\x1b[K\n");
    }
    let foot: String = foot.chars().take(width.saturating_sub(1)).collect();
    // No line is broken into two.
    text = format!("\x1b[?7l{text}{foot}\x1b[K\x1b[J\x1b[?7h");
    Ok(session.screen.drawn(text.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_told_from_names() {
        assert_eq!(parse("a --interval=0.5 b:*"), Ok((Duration::from_millis(500), vec!["a", "b:*"])));
        assert_eq!(parse(""), Ok((INTERVAL, vec![])));
        for bad in ["--interval=0", "--interval=x", "--nope"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
