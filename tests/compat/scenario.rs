//! Playing one scenario on several sides.

use crate::support::{Daemon, LONG, Run, Side, Start, until};
use crate::transcript::normalise;
use nix::sys::signal::Signal;
use supervisord::model::state::ProcessState;

/// What an operator does, one thing after the other.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Runs the client with these words, which the transcript records.
    Ctl(&'static str),
    /// Types these lines into the client's shell, which the transcript records.
    Shell(&'static str),
    /// Like `Ctl`, but its lines are compared in alphabetical order: they come as things happen to end.
    Sorted(&'static str),
    /// Like `Ctl`, but ours differs on purpose: only the exit status is compared, and that ours prints `ours`.
    Ours(&'static str, &'static str),
    /// Waits until a program is in a state.
    Wait(&'static str, ProcessState),
    /// Waits until all of these are RUNNING.
    Up(&'static [&'static str]),
    /// Sends a signal to the daemon.
    Signal(Signal),
    /// Makes an empty file in the directory, which a program waits for.
    Touch(&'static str),
    /// Replaces the configuration file.
    Conf(&'static str),
    /// Waits until a file in the directory holds a text.
    File(&'static str, &'static str),
    /// Waits until a file in the directory has so many lines.
    Lines(&'static str, usize),
    /// Records the activity log from level INFO on, without its times.
    Log,
    /// Waits until the daemon has ended; the transcript records its exit status.
    Exit,
}

/// Whose daemon and whose client play.
#[derive(Clone, Copy, Debug)]
struct Cast {
    daemon: Side,
    client: Side,
}

/// Whose daemon must answer as the original's does.
pub const SIDES: [Side; 1] = [Side::Ours];

/// Who must do as the original does with its own client.
const CASTS: [Cast; 3] = [
    Cast { daemon: Side::Ours, client: Side::Original },
    Cast { daemon: Side::Ours, client: Side::Ours },
    Cast { daemon: Side::Original, client: Side::Ours },
];

/// Starts a daemon with `conf` and plays the steps with the original and with every cast at the same time and compares.
///
/// # Panics
/// If a transcript differs from that of the original.
#[track_caller]
pub fn check(conf: &str, steps: &[Step]) {
    let original = Cast { daemon: Side::Original, client: Side::Original };
    let (expected, played) = std::thread::scope(|scope| {
        let threads = CASTS.map(|cast| (cast, scope.spawn(move || play(conf, steps, cast))));
        let expected = play(conf, steps, original);
        (expected, threads.map(|(cast, thread)| (cast, thread.join())))
    });
    let verdicts: Vec<String> = played
        .into_iter()
        .filter_map(|(cast, transcript)| match transcript {
            Ok(transcript) => compare(&expected, &transcript, cast),
            Err(_) => Some(format!("the play broke off with {cast:?}")),
        })
        .collect();
    assert!(verdicts.is_empty(), "{}", verdicts.join("\n"));
}

/// One line per thing seen.
fn play(conf: &str, steps: &[Step], cast: Cast) -> Vec<String> {
    let mut daemon = Start::new(cast.daemon, conf).ready().with_client(cast.client);
    let mut seen = Vec::new();
    for step in steps {
        match *step {
            Step::Ctl(words) => seen.push(record(&daemon, &daemon.ctl(&split(words)))),
            Step::Shell(lines) => seen.push(record(&daemon, &daemon.ctl_with_input(&[], lines))),
            Step::Sorted(words) => seen.push(sorted(&record(&daemon, &daemon.ctl(&split(words))))),
            Step::Ours(words, ours) => {
                let run = daemon.ctl(&split(words));
                let expected = cast.daemon == Side::Original || run.stdout.contains(ours);
                assert!(expected, "{ours:?} is missing in {run}");
                seen.push(format!("{words}: exit status {}", run.code));
            }
            Step::Lines(name, number) => {
                let count = || daemon.read(name).lines().count();
                until(&format!("{name} has {number} lines"), 3 * LONG, || count() >= number);
            }
            Step::Wait(name, state) => daemon.wait_for_state(name, state, LONG),
            Step::Up(names) => {
                names.iter().for_each(|name| daemon.wait_for_state(name, ProcessState::Running, LONG));
            }
            Step::Signal(signal) => daemon.signal(signal),
            Step::Touch(name) => std::fs::write(daemon.path(name), "").expect("the directory can be written"),
            Step::Conf(conf) => daemon.write_conf(conf),
            Step::File(name, text) => {
                until(&format!("{name} holds {text:?}"), LONG, || daemon.read(name).contains(text));
            }
            Step::Log => seen.push(log(&daemon)),
            Step::Exit => seen.push(format!("the daemon's exit status: {}", daemon.wait_exit())),
        }
    }
    seen
}

fn split(words: &str) -> Vec<&str> {
    words.split_whitespace().collect()
}

fn record(daemon: &Daemon, run: &Run) -> String {
    let mut run = run.clone();
    // What a command is for may be said in other words than the original's.
    if run.stdout.starts_with("Error: ") {
        run.stdout = run.stdout.lines().take(1).map(|line| format!("{line}\n")).collect();
    }
    // Our client adds indented hints.
    run.stderr =
        run.stderr.lines().filter(|line| !line.starts_with("  ")).map(|line| format!("{line}\n")).collect();
    normalise(&run.to_string(), &daemon.directory().to_string_lossy())
}

fn log(daemon: &Daemon) -> String {
    // Ours also says who asked for what. The original leaves out whom it waits for if that ends before it looks;
    // tests/e2e/stop.rs checks the line for ours. It also cries about a socket that only its owner can reach.
    let waits = |text: &str| text.starts_with("waiting for ") && text.ends_with(" to stop");
    let lines = daemon
        .messages()
        .into_iter()
        .filter(|line| !line.text.contains(" called supervisor.") && !waits(&line.text))
        .filter(|line| !line.text.starts_with("Server 'unix_http_server' running without any HTTP"));
    let lines: String = lines.map(|line| format!("{} {}\n", line.level, line.text)).collect();
    normalise(&format!("the activity log:\n{lines}"), &daemon.directory().to_string_lossy())
}

/// The first line is the command.
fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines[1..].sort_unstable();
    lines.join("\n") + "\n"
}

/// The steps that differ, side by side; `None` if none does.
fn compare(expected: &[String], actual: &[String], cast: Cast) -> Option<String> {
    let differing: Vec<String> = expected
        .iter()
        .zip(actual)
        .filter(|(expected, actual)| expected != actual)
        .map(|(expected, actual)| format!("---- the original\n{expected}---- {cast:?}\n{actual}"))
        .collect();
    (!differing.is_empty()).then(|| format!("{} steps differ:\n{}", differing.len(), differing.join("\n")))
}
