//! No program is started while another one of its name may be alive, whatever a killed keeper has left.
//!
//! Each program holds a lock for as long as it lives, and notes whenever it did not get it: the kernel says whether there
//! were ever two.

use crate::support::{
    Daemon, LONG, Side, Start, cmdline, kill, member, running, until, until_some, wait_gone,
};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{SystemTime, UNIX_EPOCH};
use supervisord::model::state::ProcessState::{self, Fatal, Running};
use supervisord::sys::process::{created_at, start_ticks};

const NAMES: [&str; 3] = ["one", "two", "three"];

fn conf(settings: &str) -> String {
    let program = |name: &str| {
        format!(
            "[program:{name}]\n\
             command=/bin/sh -c 'exec 9>>%(here)s/lock-{name}; flock -n 9 || echo {name} >> %(here)s/doubles; \
             exec sleep 1000'\nstartsecs=0\nstartretries=0\n"
        )
    };
    format!("[supervisord]\nexitkillall=false\n{settings}{}", NAMES.map(program).concat())
}

const TAKING_OVER: &str = "startkillall=false\n";

fn start(settings: &str) -> Daemon {
    let daemon = Start::new(Side::under_test(), &conf(settings)).ready();
    wait_until_all_run(&daemon);
    daemon
}

fn wait_until_all_run(daemon: &Daemon) {
    NAMES.iter().for_each(|name| daemon.wait_for_state(name, Running, LONG));
    // Each has its lock by then.
    until("each is what it becomes", LONG, || pids(daemon).iter().all(|pid| cmdline(*pid) == "sleep 1000"));
}

/// The table, where it is if nothing is said.
fn map(daemon: &Daemon) -> PathBuf {
    daemon.path("supervisord.pid.map")
}

fn pids(daemon: &Daemon) -> [i32; 3] {
    NAMES.map(|name| daemon.pid_of(name))
}

fn wait_until_written(daemon: &Daemon, pids: [i32; 3]) {
    until("the table is up to date", LONG, || {
        let text = fs::read_to_string(map(daemon)).unwrap_or_default();
        pids.iter().all(|pid| text.contains(&format!("    pid: {pid}\n")))
    });
}

/// Lets the daemon start a program that it refuses to start: what stands in the way is ended first.
#[track_caller]
fn end_and_start(daemon: &Daemon, name: &str) {
    let why: String = member(&daemon.info(name), "spawnerr");
    let pid = why.split("as pid ").nth(1).and_then(|rest| rest.split(':').next()?.parse::<i32>().ok());
    let pid = pid.unwrap_or_else(|| panic!("{name}: {why:?} names no pid"));
    assert!(running(pid), "{why}");
    // Asking does not help while it lives.
    daemon.ctl(&["start", name]);
    daemon.wait_for_state(name, Fatal, LONG);
    assert!(running(pid));
    kill(pid, Signal::SIGKILL);
    wait_gone(&[pid], LONG);
    daemon.ctl(&["start", name]).expect(0);
}

fn no_doubles(daemon: &Daemon) {
    let doubles = daemon.read("doubles");
    assert!(doubles.is_empty(), "there were two of {doubles}\n{}", daemon.log());
}

/// A program that no daemon has started.
struct Stranger(Child);

impl Stranger {
    fn new() -> Stranger {
        Stranger(Command::new("sleep").arg("1000").spawn().expect("there is a sleep"))
    }

    fn pid(&self) -> i32 {
        self.0.id() as i32
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Writes the table as a Go descendant does; each program was started so many seconds before its process was created.
fn write_as_go_does(daemon: &Daemon, entries: &[(&str, i32, u64)]) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_nanos() as u64;
    let mut table = format!("version: {now}\ninfo_map:\n");
    for (name, pid, before) in entries {
        let start = created_at(start_ticks(*pid).expect("it runs")).0 - before * 1_000_000_000;
        table += &format!("  {name}:\n    start_time: {start}\n    pid: {pid}\n    program: {name}\n");
    }
    fs::write(map(daemon), table).expect("written");
    fs::set_permissions(map(daemon), fs::Permissions::from_mode(0o600)).expect("ours");
}

#[test]
fn both_switches_are_enough() {
    let mut daemon = start(TAKING_OVER);
    let before = pids(&daemon);
    wait_until_written(&daemon, before);
    daemon.kill_keeper();
    daemon.start();
    assert_eq!(pids(&daemon), before);
    no_doubles(&daemon);
    daemon.ctl(&["stop", "all"]).expect(0);
    daemon.ctl(&["shutdown"]).expect(0);
    daemon.wait_exit();
    assert!(!map(&daemon).exists());
}

#[test]
fn without_leaving_programs_there_is_no_table() {
    let conf = conf(TAKING_OVER).replace("exitkillall=false", "exitkillall=true");
    let daemon = Start::new(Side::under_test(), &conf).ready();
    wait_until_all_run(&daemon);
    assert!(!map(&daemon).exists());
}

#[test]
fn whoever_stops_leaving_programs_still_finds_those_that_were_left() {
    let mut daemon = start(TAKING_OVER);
    let before = pids(&daemon);
    wait_until_written(&daemon, before);
    daemon.kill_keeper();
    daemon.write_conf(&conf("").replace("exitkillall=false", "exitkillall=true"));
    daemon.start();
    wait_until_all_run(&daemon);
    wait_gone(&before, LONG);
    no_doubles(&daemon);
}

#[test]
fn without_a_table_nobody_is_started_a_second_time() {
    let mut daemon = start("startkillall=false\nprocessinfomapfile=\n");
    let before = pids(&daemon);
    daemon.kill_keeper();
    daemon.start();
    for (name, pid) in NAMES.iter().zip(before) {
        daemon.wait_for_state(name, Fatal, LONG);
        let why: String = member(&daemon.info(name), "spawnerr");
        assert!(why.contains(&format!("pid {pid}")) && running(pid), "{why}");
    }
    // The next manager knows, too.
    daemon.kill_manager();
    NAMES.iter().for_each(|name| end_and_start(&daemon, name));
    wait_until_all_run(&daemon);
    no_doubles(&daemon);
}

#[test]
fn the_table_of_a_go_descendant_is_taken_over_as_far_as_it_is_certain() {
    let mut daemon = start(TAKING_OVER);
    let [one, two, three] = pids(&daemon);
    daemon.kill_keeper();
    let stranger = Stranger::new();
    // Start, user and file fit; the start does not; somebody else has the pid who looks like it.
    write_as_go_does(&daemon, &[("one", one, 0), ("two", two, 3600), ("three", stranger.pid(), 3600)]);
    let sleep =
        |name: &str| format!("[program:{name}]\ncommand=/bin/sleep 1000\nstartsecs=0\nstartretries=0\n");
    let programs = NAMES.map(sleep).concat();
    daemon.write_conf(&format!("[supervisord]\nexitkillall=false\nstartkillall=false\n{programs}"));
    daemon.start();
    assert_eq!(daemon.pid_of("one"), one);
    daemon.wait_log("adopted: 'one' with pid");
    for (name, pid) in [("two", two), ("three", stranger.pid())] {
        daemon.wait_for_state(name, Fatal, LONG);
        let why: String = member(&daemon.info(name), "spawnerr");
        assert!(why.contains(&format!("pid {pid}")), "{why}");
    }
    assert!([one, two, three, stranger.pid()].into_iter().all(running));
    kill(three, Signal::SIGKILL);
    end_and_start(&daemon, "two");
}

#[test]
fn whom_a_program_sent_into_the_background_keeps_nobody_from_starting() {
    let program = "[program:sends]\ncommand=/bin/sh -c 'setsid sleep 1000 & echo $! > sent; wait'\ndirectory=%(here)s\n\
                   startsecs=0\nstartretries=0\nstopasgroup=true\n";
    let settings = "[supervisord]\nexitkillall=false\nstartkillall=false\nprocessinfomapfile=\n";
    let mut daemon = Start::new(Side::under_test(), &format!("{settings}{program}")).ready();
    until("it has sent somebody", LONG, || daemon.read("sent").ends_with('\n'));
    let (sent, sender) = (daemon.read("sent").trim().parse().expect("a pid"), daemon.pid_of("sends"));
    until("it leads a session", LONG, || {
        nix::unistd::getsid(Some(nix::unistd::Pid::from_raw(sent))).is_ok_and(|it| it.as_raw() == sent)
    });
    daemon.kill_keeper();
    kill(sender, Signal::SIGKILL);
    wait_gone(&[sender], LONG);
    daemon.start();
    daemon.wait_for_state("sends", Running, LONG);
    kill(sent, Signal::SIGKILL);
}

/// So many keepers are killed; `KEEPER_KILLS` says otherwise.
const ROUNDS: usize = 40;

/// What becomes of the table between the end of a keeper and the next start.
const VARIANTS: usize = 10;

#[test]
fn whatever_is_left_of_the_table_there_are_never_two() {
    let rounds = std::env::var("KEEPER_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let mut counts = [0_usize; 2];
    for variant in 0..VARIANTS {
        let n_rounds = (rounds + VARIANTS - 1 - variant) / VARIANTS;
        let stranger = Stranger::new();
        let ticks = start_ticks(stranger.pid());
        let mut daemon = start(TAKING_OVER);
        for round in 0..n_rounds {
            let [adopted, refused] = one_round(&mut daemon, variant, round, &stranger);
            counts = [counts[0] + adopted, counts[1] + refused];
            assert_eq!(start_ticks(stranger.pid()), ticks, "a stranger was touched");
            assert!(running(stranger.pid()));
            no_doubles(&daemon);
        }
    }
    let [n_adopted, n_refused] = counts;
    println!("{rounds} keepers killed: {n_adopted} programs taken over, {n_refused} refused, none twice");
    assert!(n_adopted > 0 && n_refused > 0);
}

/// How many programs were taken over, and how many refused.
fn one_round(daemon: &mut Daemon, variant: usize, round: usize, stranger: &Stranger) -> [usize; 2] {
    daemon.write_conf(&conf(TAKING_OVER));
    let mut before = pids(daemon);
    if variant == 1 {
        // Started twice in a moment: the table does not have the second one yet.
        for _ in 0..2 {
            let former = before[round % 3];
            kill(former, Signal::SIGKILL);
            before[round % 3] = until_some("it is back", LONG, || {
                Some(daemon.pid_of(NAMES[round % 3])).filter(|pid| ![0, former].contains(pid))
            });
        }
    } else if variant != 2 {
        wait_until_written(daemon, before);
    }
    daemon.kill_keeper();
    let path = map(daemon);
    let table = fs::read_to_string(&path).unwrap_or_default();
    let rewrite = |text: &str| fs::write(&path, text).expect("written");
    match variant {
        3 => rewrite(&table[..table.len() * (round % 7 + 1) / 8]),
        4 => fs::remove_file(&path).expect("removed"),
        5 => write_as_go_does(daemon, &[(NAMES[0], before[0], 0), (NAMES[1], before[1], 3600)]),
        6 => {
            rewrite(&table.replace(&format!(" pid: {}\n", before[0]), &format!(" pid: {}\n", stranger.pid())))
        }
        7 => fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("ours"),
        8 => daemon.write_conf(&conf("startkillall=true\n")),
        9 => write_as_go_does(daemon, &[(NAMES[0], stranger.pid(), round as u64 * 100)]),
        _ => {}
    }
    daemon.start();
    let settled = |state: ProcessState| matches!(state, Running | Fatal);
    until("all have settled", LONG, || NAMES.iter().all(|name| settled(daemon.state_of(name))));
    let mut counts = [0, 0];
    for (name, pid) in NAMES.iter().zip(before) {
        let is_refused = daemon.state_of(name) == Fatal;
        counts[1] += usize::from(is_refused);
        counts[0] += usize::from(!is_refused && daemon.pid_of(name) == pid);
    }
    no_doubles(daemon);
    if counts[1] > 0 {
        begin_anew(daemon, stranger, before);
    }
    counts
}

/// Ends what was refused, and starts with a table that is believed.
fn begin_anew(daemon: &mut Daemon, stranger: &Stranger, before: [i32; 3]) {
    for name in NAMES.iter().filter(|name| daemon.state_of(name) == Fatal) {
        let why: String = member(&daemon.info(name), "spawnerr");
        let named = |pid: i32| why.contains(&format!("as pid {pid}:"));
        assert!(before.into_iter().chain([stranger.pid()]).any(named), "{why}");
    }
    daemon.ctl(&["stop", "all"]).expect(0);
    daemon.ctl(&["shutdown"]).expect(0);
    daemon.wait_exit();
    let left: Vec<i32> = before.into_iter().filter(|pid| running(*pid)).collect();
    left.iter().for_each(|pid| kill(*pid, Signal::SIGKILL));
    wait_gone(&left, LONG);
    let _ = fs::remove_file(map(daemon));
    daemon.start();
    wait_until_all_run(daemon);
}
