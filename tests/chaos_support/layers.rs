//! Programs in layers wait for those below, become ready in every way there is, fail at random and come again, while the
//! manager is killed. Each keeps a record of its own; afterwards the records say whether anybody began before its
//! conditions held, was forgotten, or lived twice.

use crate::layer_program::{Life, Way, lives};
use crate::run::{Chaos, Report, SetAtEnd, kill_again_and_again};
use crate::support::{Daemon, LONG, Random, Side, Start, flag, free_ports, member, text, until};
use nix::sys::signal::Signal;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use supervisord::model::state::ProcessState::{self, Exited, Running};

const N_LAYERS: usize = 6;
const PER_LAYER: usize = 10;

/// Managers live long enough to get somewhere.
pub const LONG_CALM: Duration = Duration::from_millis(150);

/// So long a manager that is killed all the time may take to do what follows from something.
const PATIENCE: Duration = Duration::from_secs(30);

/// So long the first instruction of a program may come after the decision to start it.
const SLACK: Duration = Duration::from_millis(500);

/// What becomes of a program with its dependencies, by turns.
const KINDS_OF_RESTART: [&str; 3] = ["restart", "none", "stop"];

#[derive(Clone, Debug)]
struct Plan {
    name: String,
    way: Way,
    port: u16,
    /// By their places among all, with the condition.
    needs: Vec<(usize, &'static str)>,
    depends_restart: &'static str,
}

/// What was found to be in order.
#[derive(Clone, Copy, Debug, Default)]
pub struct LayerTotals {
    pub n_lives: usize,
    /// Conditions that held when a program began.
    pub n_conditions: usize,
    /// Ends and restarts because of a dependency, of ill health, and of silence.
    pub n_consequences: usize,
}

fn plans() -> Vec<Plan> {
    let ports: [u16; N_LAYERS] = free_ports();
    let mut plans: Vec<Plan> = Vec::new();
    for number in 0..N_LAYERS * PER_LAYER {
        let (layer, place) = (number / PER_LAYER, number % PER_LAYER);
        let way = Way::ALL[place % Way::ALL.len()];
        let mut needs: Vec<(usize, &'static str)> = Vec::new();
        if layer > 0 {
            // One of each way becomes somebody's dependency; some have two.
            for at in [(place + layer) % PER_LAYER, (place * 3 + 2 * layer) % PER_LAYER] {
                let need = (layer - 1) * PER_LAYER + at;
                if needs.iter().all(|(known, _)| *known != need) && (needs.is_empty() || place % 2 == 1) {
                    needs.push((need, plans[need].way.condition()));
                }
            }
        }
        plans.push(Plan {
            name: format!("l{layer}p{place}"),
            way,
            port: ports[layer],
            needs,
            depends_restart: if way == Way::Job { "none" } else { KINDS_OF_RESTART[number % 3] },
        });
    }
    plans
}

fn conf(plans: &[Plan]) -> String {
    let exe = std::env::current_exe().expect("we were executed");
    let mut conf = "[supervisord]\nlogfile_maxbytes=0\nsilent=true\nmanager_watchdog_secs=20\n".to_string();
    for Plan { name, way, port, needs, depends_restart } in plans {
        let needs: Vec<String> =
            needs.iter().map(|(need, condition)| format!("{}:{condition}", plans[*need].name)).collect();
        let depends = match needs.is_empty() {
            true => String::new(),
            false => format!("depends_on={}\ndepends_restart={depends_restart}\n", needs.join(", ")),
        };
        conf += &format!(
            "
[program:{name}]
command={} layer {name} {} {port}
directory=%(here)s
stopwaitsecs=120
autorestart=true
startretries=-1
restart_backoff=fixed
stdout_logfile=%(here)s/{name}.log
stdout_logfile_maxbytes=0
redirect_stderr=true
{depends}{}",
            exe.display(),
            way.name(),
            way.keys(name, *port),
        );
    }
    conf
}

/// Does it all.
///
/// # Panics
/// If anything is not as it should be.
pub fn run(chaos: Chaos<'_>) -> String {
    let begun = Instant::now();
    let plans = plans();
    let mut daemon = Start::new(Side::under_test(), &conf(&plans)).under(chaos.under).ready();
    let is_over = AtomicBool::new(false);
    let mut report = Report::default();
    std::thread::scope(|scope| {
        scope.spawn(|| give_orders(&daemon, &plans, &is_over, Random::new(chaos.seed + 1)));
        let guard = SetAtEnd(&is_over);
        kill_again_and_again(&daemon, chaos, begun, &mut report);
        drop(guard);
    });
    until("a manager answers", LONG, || daemon.answers());
    std::fs::write(daemon.path("calm"), "").expect("the directory is the test's");
    let calm_since = Instant::now();
    let mut left = Vec::new();
    while calm_since.elapsed() < PATIENCE * 2 {
        left = not_as_they_should_be(&daemon, &plans);
        if left.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(left.is_empty(), "these were lost: {left:?}");
    let seconds_until_calm = calm_since.elapsed().as_secs_f64();
    let log = daemon.log();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0, "the daemon ends in order");
    until("nothing is left", LONG, || daemon.alive().is_empty());
    let n_upgrades = daemon.log().matches("passed its check and takes over").count();
    let totals = check(&daemon, &plans, &log);
    let LayerTotals { n_lives, n_conditions, n_consequences } = totals;
    assert!(!log.contains("reaped unknown pid"), "somebody's end was not understood");
    format!(
        "{} kills and {n_upgrades} upgrades in {:.0} s: {n_lives} lives, {n_conditions} conditions and {n_consequences} \
         consequences are as they should be; everything ran {seconds_until_calm:.1} s after the last kill",
        report.n_kills,
        begun.elapsed().as_secs_f64(),
    )
}

/// Who does not run, and is no job that is done.
fn not_as_they_should_be(daemon: &Daemon, plans: &[Plan]) -> Vec<String> {
    let rows = daemon.rows("supervisor.getAllProcessInfo");
    let states: HashMap<String, (i32, String)> = rows
        .iter()
        .map(|row| (member(row, "name"), (member(row, "state"), member(row, "description"))))
        .collect();
    let mut left = Vec::new();
    for plan in plans {
        let wanted: ProcessState = if plan.way == Way::Job { Exited } else { Running };
        let (state, description) = &states[&plan.name];
        if *state != wanted.code() {
            left.push(format!("{} ({state}: {description})", plan.name));
        }
    }
    left
}

/// Now and then somebody starts a job again, or stops a program and starts it after a while. What depends on it comes back
/// by itself.
fn give_orders(daemon: &Daemon, plans: &[Plan], is_over: &AtomicBool, mut random: Random) {
    let ask = |method: &str, name: &str| {
        let _ = daemon.address().call(method, vec![text(name), flag(false)]);
    };
    while !is_over.load(Ordering::Acquire) {
        let plan = &plans[random.below(plans.len() as u64) as usize];
        if plan.way == Way::Job {
            ask("supervisor.startProcess", &plan.name);
        } else {
            ask("supervisor.stopProcess", &plan.name);
            std::thread::sleep(Duration::from_millis(random.below(400)));
            // Until somebody has heard it.
            until("it is started again", LONG * 4, || {
                match daemon.address().call("supervisor.startProcess", vec![text(&plan.name), flag(false)]) {
                    Ok(Ok(_)) => true,
                    Ok(Err(fault)) => fault.string().starts_with("ALREADY_STARTED"),
                    Err(_) => false,
                }
            });
        }
        std::thread::sleep(Duration::from_millis(random.below(300)));
    }
}

/// When the daemon has heard of the end of each life, on the wall clock in milliseconds, by name and pid.
fn heard_ends(log: &str) -> HashMap<(String, u32), u64> {
    let mut heard = HashMap::new();
    let mut pids: HashMap<String, u32> = HashMap::new();
    for line in log.lines() {
        let mut words = line.splitn(4, ' ');
        let (Some(day), Some(time), Some(_), Some(text)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        match text.split_once(": ") {
            Some(("spawned", rest)) => {
                let mut parts = rest.split('\'');
                let name = parts.nth(1).unwrap_or_default().to_string();
                if let Some(Ok(pid)) = rest.rsplit(' ').next().map(str::parse) {
                    pids.insert(name, pid);
                }
            }
            Some(("exited" | "stopped", rest)) => {
                let name = rest.split(' ').next().unwrap_or_default().to_string();
                if let (Some(pid), Some(at)) = (pids.get(&name), millis(day, time)) {
                    // What is said again by the next manager counts once.
                    heard.entry((name, *pid)).or_insert(at);
                }
            }
            _ => {}
        }
    }
    heard
}

/// Milliseconds since 1970 of `2026-11-29` and `22:47:17,019`, in UTC, as the tests' daemons have it.
fn millis(day: &str, time: &str) -> Option<u64> {
    let text = format!("{day} {time}");
    let numbers: Vec<i64> =
        text.split(|c: char| !c.is_ascii_digit()).map(str::parse).collect::<Result<_, _>>().ok()?;
    let [year, month, day, hour, minute, second, milli] = numbers[..] else { return None };
    // Days since 1970, with years that begin in March.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468;
    u64::try_from((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + milli).ok()
}

fn check(daemon: &Daemon, plans: &[Plan], log: &str) -> LayerTotals {
    let heard = heard_ends(log);
    let all: Vec<Vec<Life>> = plans.iter().map(|plan| lives(daemon.directory(), &plan.name)).collect();
    let mut totals = LayerTotals::default();
    let known_end = |place: usize, life: &Life| {
        let heard = heard.get(&(plans[place].name.clone(), life.pid)).copied();
        // To the millisecond, which may be over.
        heard.map(|at| at + 1).max(life.end).or(life.end)
    };
    for (plan, own) in plans.iter().zip(&all) {
        totals.n_lives += own.len();
        for life in own {
            for (need, condition) in &plan.needs {
                let held = all[*need]
                    .iter()
                    .any(|other| holds_at(plans[*need].way, other, life.begin, known_end(*need, other)));
                assert!(
                    held,
                    "{} began at {} before {}:{condition} held: {life:?}; {:?}",
                    plan.name,
                    life.begin,
                    plans[*need].name,
                    all[*need]
                        .iter()
                        .filter(|other| other.begin.abs_diff(life.begin) < 20_000)
                        .collect::<Vec<_>>()
                );
                totals.n_conditions += 1;
            }
            let patience = PATIENCE.as_millis() as u64;
            if let Some(at) = life.ill {
                let end = life.end.unwrap_or(u64::MAX);
                assert!(end <= at + patience, "{} goes on though it is ill: {life:?}", plan.name);
                totals.n_consequences += 1;
            }
        }
        if plan.depends_restart == "none" {
            continue;
        }
        for life in own {
            for (need, condition) in &plan.needs {
                for other in &all[*need] {
                    let Some(lost) = lost_at(plans[*need].way, other) else { continue };
                    let was_up = life.begin < lost && life.end.is_none_or(|end| end > lost);
                    // One that has a dependency of its own life only.
                    if !was_up || !holds_at(plans[*need].way, other, life.begin, known_end(*need, other)) {
                        continue;
                    }
                    let end = life.end.unwrap_or(u64::MAX);
                    assert!(
                        end <= lost + PATIENCE.as_millis() as u64,
                        "{} goes on without {}:{condition}, lost at {lost}: {life:?}, {other:?}",
                        plan.name,
                        plans[*need].name
                    );
                    totals.n_consequences += 1;
                }
            }
        }
    }
    totals
}

/// Whether a life of a dependency lets a dependent begin at this moment. `known_end` is when the daemon knew of its end.
fn holds_at(way: Way, life: &Life, at: u64, known_end: Option<u64>) -> bool {
    let slack = SLACK.as_millis() as u64;
    let is_not_over = known_end.is_none_or(|end| at <= end + slack);
    match way {
        Way::Job => life.end.is_some_and(|end| life.code == Some(0) && end <= at),
        // It is up before its first instruction.
        Way::Plain => life.begin <= at + slack && is_not_over,
        _ => life.ready.is_some_and(|ready| ready <= at) && is_not_over,
    }
}

/// When a life of a dependency ceases to fulfil the condition.
fn lost_at(way: Way, life: &Life) -> Option<u64> {
    if way == Way::Job { None } else { life.end }
}
