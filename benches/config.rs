//! How long it takes to read 10,000 programs: from one file, and from a file with 1,000 includes.
//!
//! `cargo bench --bench config`. With `SUPERVISOR_VENV` the original is timed beside it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use supervisord::config::args::DaemonArgs;
use supervisord::config::{self, Surroundings};

const N_PROGRAMS: usize = 10_000;
const N_FILES: usize = 1_000;
const RUNS: usize = 7;
/// What reading 10,000 programs may take.
const LIMIT: Duration = Duration::from_millis(500);

/// Reads the file named by its argument with the original and prints the seconds it took.
const ORIGINAL: &str = "\
import sys, time
from supervisor.options import ServerOptions
options = ServerOptions()
start = time.perf_counter()
options.realize(args=['-c', sys.argv[1]], doc='')
took = time.perf_counter() - start
print(took, sum(len(group.process_configs) for group in options.process_group_configs))
";

fn main() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let one_file = one_file(directory.path());
    let many_files = many_files(directory.path());
    let workers = workers(directory.path());
    println!("{N_PROGRAMS} processes{:>22}{:>14}{:>10}", "ours", "original", "faster");
    let mut slowest = Duration::ZERO;
    for (name, path) in [("one file", one_file), ("1,000 includes", many_files), ("numprocs", workers)] {
        let ours = median(|| load(&path));
        slowest = slowest.max(ours);
        let original = original(&path);
        let beside = original.map_or("not measured".to_string(), |time| format!("{:.0} ms", millis(time)));
        let factor = original.map_or(String::new(), |time| format!("{:.0} x", millis(time) / millis(ours)));
        println!("{name:<20}{:>13.0} ms{beside:>14}{factor:>10}", millis(ours));
    }
    assert!(slowest < LIMIT, "reading took {slowest:?}, at most {LIMIT:?} are allowed");
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// A program as people write it.
fn program(number: usize) -> String {
    format!(
        "[program:worker-{number}]\n; the {number}th worker\ncommand=/usr/bin/worker --queue=q{number} \
         --name=%(program_name)s --home=%(here)s\nautostart=true\nautorestart=true\nstartsecs=5\n\
         environment=QUEUE=\"q{number}\",MODE=\"production\"\nstdout_logfile=/tmp/%(program_name)s.log\n\
         stdout_logfile_maxbytes=10MB\nredirect_stderr=true\nuser=root\n\n"
    )
}

fn one_file(directory: &Path) -> PathBuf {
    let programs: String = (0..N_PROGRAMS).map(program).collect();
    write(directory, "one.conf", &format!("[supervisord]\nnodaemon=true\n{programs}"))
}

fn many_files(directory: &Path) -> PathBuf {
    let included = directory.join("conf.d");
    std::fs::create_dir(&included).expect("created");
    let per_file = N_PROGRAMS / N_FILES;
    for file in 0..N_FILES {
        let programs: String = (file * per_file..(file + 1) * per_file).map(program).collect();
        write(&included, &format!("{file:04}.conf"), &programs);
    }
    write(directory, "many.conf", "[supervisord]\nnodaemon=true\n[include]\nfiles=conf.d/*.conf\n")
}

fn workers(directory: &Path) -> PathBuf {
    let program =
        program(0).replace("[program:worker-0]\n", "[program:w]\nprocess_name=w_%(process_num)05d\n");
    write(directory, "workers.conf", &format!("[supervisord]\n{program}numprocs={N_PROGRAMS}\n"))
}

fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).expect("written");
    path
}

fn load(path: &Path) -> Duration {
    let configuration = Some(path.to_string_lossy().into_owned());
    let args = DaemonArgs { configuration, ..DaemonArgs::default() };
    let surroundings = Surroundings::of_this_process();
    let start = Instant::now();
    let config = config::load(&args, &surroundings).unwrap_or_else(|errors| panic!("{errors}"));
    let took = start.elapsed();
    let n_processes: usize = config.groups.iter().map(|group| group.processes.len()).sum();
    assert_eq!(n_processes, N_PROGRAMS);
    took
}

fn median(measure: impl Fn() -> Duration) -> Duration {
    let mut times: Vec<Duration> = (0..RUNS).map(|_| measure()).collect();
    times.sort();
    times[RUNS / 2]
}

fn original(path: &Path) -> Option<Duration> {
    let python = PathBuf::from(std::env::var_os("SUPERVISOR_VENV")?).join("bin/python");
    let output = Command::new(&python).args(["-c", ORIGINAL]).arg(path).output();
    let output = output.unwrap_or_else(|error| panic!("SUPERVISOR_VENV is broken: {error}"));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut words = printed.split_whitespace();
    let seconds: f64 = words.next().and_then(|word| word.parse().ok()).unwrap_or_else(|| {
        panic!("SUPERVISOR_VENV is broken: {}", String::from_utf8_lossy(&output.stderr));
    });
    assert_eq!(words.next(), Some(N_PROGRAMS.to_string().as_str()), "the original read other processes");
    Some(Duration::from_secs_f64(seconds))
}
