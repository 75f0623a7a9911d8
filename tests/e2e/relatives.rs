//! The first steps of people who come from a relative of Supervisor: files with a program and a server and nothing else.

use crate::support::{
    Daemon, LONG, Run, Side, Start, cmdline, flag, free_ports, has_root, kill, run, text, until,
};
use nix::sys::signal::Signal;
use supervisord::model::state::ProcessState::{Running, Stopped};

/// Runs the client under the daemon's name.
fn ctl(daemon: &Daemon, words: &[&str]) -> Run {
    let mut command = Side::Ours.daemon();
    command.arg("-c").arg(daemon.conf()).arg("ctl").args(words).current_dir(daemon.directory());
    command.env_remove("SUPERVISORCTL_PASSWORD").env("NETRC", "/nonexistent");
    run(&mut command)
}

#[test]
fn a_program_and_a_server_are_enough() {
    let conf = "[program:test]\ncommand=/bin/sleep 1000\n[unix_http_server]\nfile=%(here)s/s.sock\n";
    let (started, daemon) = Start::raw(Side::Ours, conf).arguments(&["-d"]).run();
    assert_eq!(started.code, 0, "{started}");
    daemon.wait_for_state("test", Running, LONG);
    for told in [ctl(&daemon, &["status"]), daemon.ctl(&["status"])] {
        assert_eq!(told.code, 0, "{told}");
        assert!(told.stdout.starts_with("test ") && told.stdout.contains("RUNNING"), "{told}");
    }
    assert_eq!(ctl(&daemon, &["stop", "test"]).stdout, "test: stopped\n");
    assert_eq!(ctl(&daemon, &["start", "test"]).stdout, "test: started\n");
    let url = format!("unix://{}", daemon.path("s.sock").display());
    assert_eq!(ctl(&daemon, &["-s", &url, "pid", "test"]).stdout.trim(), daemon.pid_of("test").to_string());
    let told = ctl(&daemon, &["status", "-v", "-s", &url, "test"]);
    assert!(told.code == 0 && told.stdout.contains("RUNNING") && told.stderr.contains(&url), "{told}");
    assert_eq!(ctl(&daemon, &["shutdown"]).code, 0);
}

#[test]
fn credentials_of_the_servers_are_the_clients() {
    let [port] = free_ports();
    let conf = format!(
        "[unix_http_server]\nfile=%(here)s/s.sock\n[inet_http_server]\nport=127.0.0.1:{port}\nusername=test1\n\
         password=thepassword\n[supervisord]\nnodaemon=true\n[program:test]\ncommand=/bin/sleep 1000\n"
    );
    let daemon = Start::raw(Side::Ours, &conf).ready();
    daemon.wait_for_state("test", Running, LONG);
    let url = format!("http://localhost:{port}");
    for words in [&["status"][..], &["-s", &url, "status"]] {
        for told in [ctl(&daemon, words), daemon.ctl(words)] {
            assert!(told.code == 0 && told.stdout.contains("RUNNING"), "{told}");
        }
    }
    daemon.write_conf(&conf.replace("[unix_http_server]\nfile=%(here)s/s.sock\n", ""));
    let told = daemon.ctl(&["status"]);
    assert!(told.code == 0 && told.stdout.contains("RUNNING"), "{told}");
    daemon.write_conf(&conf.replace("thepassword", "another"));
    assert_ne!(ctl(&daemon, &["-s", &url, "status"]).code, 0);
}

#[test]
fn the_background_that_was_asked_for_outweighs_the_file() {
    let conf = "[supervisord]\nnodaemon=true\n[unix_http_server]\nfile=%(here)s/s.sock\n";
    let (started, daemon) = Start::raw(Side::Ours, conf).arguments(&["-d", "-l", "x.log"]).run();
    assert_eq!(started.code, 0, "{started}");
    assert!(daemon.answers());
    assert!(daemon.path("x.log").exists());
    assert_eq!(ctl(&daemon, &["shutdown"]).code, 0);
}

#[test]
fn variables_of_a_file_are_the_daemons_before_it_reads() {
    let conf = "[unix_http_server]\nfile=%(here)s/%(ENV_SOCKET)s\n[program:test]\ncommand=/bin/sleep %(ENV_TIME)s\n\
                [program:shown]\ncommand=/bin/sh -c 'echo $TIME; exec sleep 1000'\nstdout_logfile=%(here)s/shown.log\n";
    let mut daemon = Start::raw(Side::Ours, conf).arguments(&["-n", "--env-file", "vars"]).prepare();
    std::fs::write(daemon.path("vars"), "# the socket\nexport SOCKET=s.sock\nTIME = 1234").unwrap();
    daemon.start();
    daemon.wait_for_state("test", Running, LONG);
    assert_eq!(cmdline(daemon.pid_of("test")).split_whitespace().collect::<Vec<_>>(), ["/bin/sleep", "1234"]);
    until("the program's output is there", LONG, || daemon.read("shown.log") == "1234\n");
    let mut client = Side::Ours.daemon();
    client
        .arg("--env-file")
        .arg(daemon.path("vars"))
        .arg("-c")
        .arg(daemon.conf())
        .args(["ctl", "pid", "test"]);
    let told = run(&mut client);
    assert_eq!(told.stdout.trim(), daemon.pid_of("test").to_string(), "{told}");
}

#[test]
fn a_file_of_variables_that_is_missing_is_told() {
    let conf = "[unix_http_server]\nfile=%(here)s/s.sock\n";
    let arguments = ["-n", "--env-file", "nope", "--dlog-file", "/tmp/nope.log"];
    let daemon = Start::raw(Side::Ours, conf).arguments(&arguments).ready();
    daemon.wait_log("command line: --env-file: no variable is set, nope: No such file");
    daemon.wait_log("command line: --dlog_file: has no effect");
}

#[test]
fn a_program_may_have_a_group_of_its_own() {
    if !has_root("a program cannot be given another group without root") {
        return;
    }
    let group = nix::unistd::Group::from_gid(1.into()).unwrap().expect("there is a group 1");
    let conf = format!(
        "[unix_http_server]\nfile=%(here)s/s.sock\n[program:test]\ncommand=/bin/sleep 1000\nuser=nobody:{}\n\
         [program:root]\ncommand=/bin/sleep 1000\nuser=root:{}\n",
        group.name, group.name
    );
    let daemon = Start::raw(Side::Ours, &conf).arguments(&["-n"]).ready();
    for (program, uid) in
        [("test", nix::unistd::User::from_name("nobody").unwrap().unwrap().uid), ("root", 0.into())]
    {
        daemon.wait_for_state(program, Running, LONG);
        let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid_of(program))).unwrap();
        let of =
            |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim().to_string();
        assert_eq!(of("Uid:").split_whitespace().next(), Some(uid.to_string().as_str()));
        assert_eq!(of("Gid:"), "1\t1\t1\t1");
    }
}

#[test]
fn stop_signals_come_one_after_the_other() {
    let conf = "[unix_http_server]\nfile=%(here)s/s.sock\n[program:test]\nstopsignal=HUP INT USR1\nstopwaitsecs=1\n\
                command=/bin/sh -c 'trap \"echo HUP\" HUP; trap \"echo INT\" INT; trap \"echo USR1; exit 0\" USR1; echo up; \
                while :; do sleep 0.1; done'\nstdout_logfile=%(here)s/test.log\n";
    let daemon = Start::raw(Side::Ours, conf).arguments(&["-n"]).ready();
    until("its traps are set", LONG, || daemon.read("test.log") == "up\n");
    let told = ctl(&daemon, &["stop", "test"]);
    assert_eq!(told.stdout, "test: stopped\n", "{told}");
    assert_eq!(daemon.read("test.log"), "up\nHUP\nINT\nUSR1\n");
    assert!(!daemon.log().contains("with SIGKILL"));
}

#[test]
fn a_new_manager_goes_on_with_the_next_stop_signal() {
    let conf = "[unix_http_server]\nfile=%(here)s/s.sock\n[program:test]\nstopsignal=HUP INT USR1\nstopwaitsecs=3\n\
                command=/bin/sh -c 'trap \"echo HUP\" HUP; trap \"echo INT\" INT; trap \"echo USR1; exit 0\" USR1; echo up; \
                while :; do sleep 0.1; done'\nstdout_logfile=%(here)s/test.log\n";
    let daemon = Start::raw(Side::Ours, conf).arguments(&["-n"]).ready();
    until("its traps are set", LONG, || daemon.read("test.log") == "up\n");
    daemon.call("supervisor.stopProcess", vec![text("test"), flag(false)]);
    until("the second signal has come", LONG, || daemon.read("test.log") == "up\nHUP\nINT\n");
    kill(daemon.manager(), Signal::SIGKILL);
    daemon.wait_for_state("test", Stopped, LONG);
    assert_eq!(daemon.read("test.log"), "up\nHUP\nINT\nUSR1\n");
}
