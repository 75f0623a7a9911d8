//! The sample configurations work as they are.

use crate::support::{Daemon, LONG, Side, Start, free_ports, until};
use std::fs;
use std::path::Path;
use supervisord::model::state::ProcessState::{Exited, Running};

/// `make run`: a copy of conf/, with other ports, as those of the file may be in use while the tests run.
#[test]
fn the_sample_of_make_run_comes_up() {
    let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf");
    let text = fs::read_to_string(conf.join("supervisord.conf")).expect("the sample is there");
    let [http, web] = free_ports::<2>().map(|port| port.to_string());
    assert!(text.contains("127.0.0.1:9001") && text.contains("9080"), "the ports that this test replaces");
    let text = text.replace("9001", &http).replace("9080", &web);

    let daemon = beside_its_programs(&text);
    for name in ["web", "ticker", "echo", "obituary", "worker:worker_00", "worker:worker_01"] {
        daemon.wait_for_state(name, Running, LONG);
    }
    let status = daemon.ctl(&["status"]).expect(0);
    assert_eq!(status.stdout.lines().filter(|line| line.contains(" RUNNING ")).count(), 6, "{status}");
    until("the ticker is logged", LONG, || daemon.read("run/ticker.log").starts_with("line 1\n"));
}

/// A daemon with the programs of conf/ in its directory, and a folder for what it writes.
fn beside_its_programs(text: &str) -> Daemon {
    let mut daemon = Start::raw(Side::under_test(), text).arguments(&["-n"]).prepare();
    fs::create_dir(daemon.path("run")).expect("the test's directory can be written");
    fs::create_dir(daemon.path("programs")).expect("the test's directory can be written");
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/programs");
    for entry in fs::read_dir(programs).expect("it is there").flatten() {
        let target = daemon.path("programs").join(entry.file_name());
        fs::copy(entry.path(), target).expect("the test's directory can be written");
    }
    daemon.spawn();
    daemon.at("run/supervisor.sock").wait_ready();
    daemon
}

#[test]
fn the_sample_of_what_waits_for_what_comes_up_in_its_order() {
    if Side::under_test() == Side::Original {
        return;
    }
    let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/depends.conf");
    let text = fs::read_to_string(conf).expect("the sample is there");
    let [store, service] = free_ports::<2>().map(|port| port.to_string());
    assert!(text.contains("9090") && text.contains("9091"), "the ports that this test replaces");
    let daemon = beside_its_programs(&text.replace("9090", &store).replace("9091", &service));
    for name in ["store", "service", "worker:worker_00", "worker:worker_01", "ticker"] {
        daemon.wait_for_state(name, Running, LONG);
    }
    assert_eq!(daemon.state_of("prepare"), Exited);
    let log = daemon.read("run/supervisord.log");
    let spawned = log.lines().filter_map(|line| line.split("spawned: '").nth(1)?.split('\'').next());
    let mut spawned: Vec<&str> = spawned.collect();
    spawned[3..5].sort_unstable();
    assert_eq!(spawned, ["store", "prepare", "service", "worker_00", "worker_01", "ticker"], "{log}");
    assert!(log.contains("healthy: service"), "{log}");
    assert!(!daemon.read("run/service.log").contains("404"), "it was asked when all was prepared");
}

#[test]
fn the_sample_of_a_confined_service_comes_up() {
    if Side::under_test() == Side::Original {
        return;
    }
    if let Some(why) = supervisord::sys::landlock::why_not() {
        return eprintln!("skipped: {why}");
    }
    let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/confined.conf");
    let daemon = beside_its_programs(&fs::read_to_string(conf).expect("the sample is there"));
    daemon.wait_for_state("confined", Running, LONG);
    until("it works", LONG, || daemon.read("run/confined.log").contains("ready"));
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid_of("confined"))).expect("it runs");
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000"] {
        assert!(status.lines().any(|there| there == line), "{line}: {status}");
    }
}

/// As in a container, standard output is a pipe to somebody who collects it.
#[test]
fn the_sample_for_containers_prints_what_its_programs_print() {
    let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/container/supervisord.conf");
    let text = fs::read_to_string(conf).expect("the sample is there");
    assert!(text.contains("/tmp/supervisor.sock"), "the path that this test replaces");
    let text = text.replace("unix:///tmp/", "unix://%(here)s/").replace("/tmp/", "%(here)s/");
    let collect = ["bash", "-c", "exec \"$@\" > >(exec cat > collected)", "bash"];
    let mut daemon = Start::raw(Side::under_test(), &text).under(&collect).prepare();
    daemon.spawn();
    daemon.at("supervisor.sock").wait_ready();
    daemon.wait_for_state("hello", Running, LONG);
    until("both are collected", LONG, || {
        let collected = daemon.read("collected");
        collected.lines().any(|line| line == "hello") && collected.contains("INFO spawned: 'hello' with pid")
    });
}
