//! Files that are full end with a line, whoever writes and whatever is killed.

use super::start;
use super::support::{LONG, kill, until};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::path::Path;

/// How many lines each process prints.
const LINES: usize = 300;

/// One log: its name, keys of its program, how many processes print into it.
const LOGS: [(&str, &str, usize); 9] = [
    ("plain", "", 1),
    ("plain3", "", 3),
    ("strip", "stdout_strip_ansi=true\n", 1),
    ("strip3", "stdout_strip_ansi=true\n", 3),
    ("both", "redirect_stderr=true\n", 1),
    ("both3", "redirect_stderr=true\n", 3),
    ("spool", "stdout_events_enabled=true\n", 1),
    ("spool3", "stdout_events_enabled=true\n", 3),
    ("quick", "", 1),
];

fn conf() -> String {
    let mut conf = String::new();
    for (name, keys, n_processes) in LOGS {
        let pause = if name == "quick" { "" } else { "sleep .005;" };
        let one = format!(
            "(i=0;while [ $i -lt {LINES} ];do echo \"{{\\\"who\\\":$w,\\\"n\\\":$i,\\\"msg\\\":\\\"request served\\\"}}\";\
             i=$((i+1));{pause}done)"
        );
        let all: String = (0..n_processes).map(|who| format!("w={who};{one}& ")).collect();
        conf += &format!(
            "[program:{name}]\nstartsecs=0\nautorestart=false\n{keys}stdout_logfile=%(here)s/{name}.log\n\
             stdout_logfile_maxbytes=2KB\nstdout_logfile_backups=99\ncommand=/bin/sh -c '{all}wait'\n"
        );
    }
    // Programs that share a file.
    for who in 0..3 {
        conf += &format!(
            "[program:shared{who}]\nstartsecs=0\nautorestart=false\nstdout_logfile=%(here)s/shared.log\n\
             stdout_logfile_maxbytes=2KB\nstdout_logfile_backups=99\n\
             command=/bin/sh -c 'i=0;while [ $i -lt {LINES} ];do echo \"{{\\\"who\\\":{who},\\\"n\\\":$i,\\\"msg\\\":\
             \\\"request served\\\"}}\";i=$((i+1));sleep .005;done'\n"
        );
    }
    conf
}

/// The lines of a log and its backups: how often each was found, and what is no line. How many files end within one.
fn read(directory: &Path, name: &str) -> (BTreeMap<(u64, u64), usize>, Vec<String>, usize) {
    let (mut lines, mut torn, mut cut) = (BTreeMap::new(), Vec::new(), 0);
    let files = std::iter::once(format!("{name}.log")).chain((1..100).map(|i| format!("{name}.log.{i}")));
    for file in files {
        let Ok(text) = std::fs::read_to_string(directory.join(file)) else { continue };
        cut += usize::from(!text.is_empty() && !text.ends_with('\n'));
        for line in text.lines() {
            match serde_json::from_str::<serde_json::Value>(line) {
                Ok(value) => {
                    *lines
                        .entry((value["who"].as_u64().unwrap(), value["n"].as_u64().unwrap()))
                        .or_default() += 1;
                }
                Err(_) => torn.push(line.to_string()),
            }
        }
    }
    (lines, torn, cut)
}

#[test]
fn every_line_is_whole_and_there_once_however_often_the_manager_is_killed() {
    let daemon = start(&conf());
    let n_expected = |n_processes: usize| n_processes * LINES;
    let logs = LOGS.map(|(name, _, n)| (name, n)).into_iter().chain([("shared", 3)]);
    let logs: Vec<(&str, usize)> = logs.collect();
    // A manager is killed when some more lines have come: at moments that the lines choose, not the clock.
    let total: usize = logs.iter().map(|(_, n)| n_expected(*n)).sum();
    let mut n_kills = 0;
    let mut last = 0;
    until("all lines are there", 6 * LONG, || {
        let found = logs.iter().map(|(name, _)| read(daemon.directory(), name).0.len()).sum();
        if found >= last + 97
            && let Some(manager) = daemon.manager_now()
        {
            last = found;
            n_kills += 1;
            kill(manager, Signal::SIGKILL);
        }
        found >= total
    });
    println!("{n_kills} kills");
    assert!(n_kills >= 5, "only {n_kills} managers were killed");
    for (name, n_processes) in logs {
        let (lines, torn, cut) = read(daemon.directory(), name);
        assert!(torn.is_empty(), "{name}: torn lines {torn:?}");
        assert_eq!(cut, 0, "{name}: files end within a line");
        assert_eq!(lines.len(), n_expected(n_processes), "{name}");
        let twice: Vec<_> = lines.iter().filter(|(_, n)| **n != 1).collect();
        assert!(twice.is_empty(), "{name}: {twice:?}");
    }
}
