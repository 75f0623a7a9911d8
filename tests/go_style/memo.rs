//! A configuration as it stands in people's notes: two servers, a login, the foreground, one program.

use crate::support::{Daemon, LONG, Run, Side, Start, free_ports, run, until};
use crate::{ctl, without_credentials};
use supervisord::model::state::ProcessState::Running;

const WORDS: [(&[&str], &str); 7] = [
    (&["status"], "test                             RUNNING   pid "),
    (&["stop", "test"], "test: stopped\n"),
    (&["start", "test"], "test: started\n"),
    (&["restart", "test"], "test: stopped\ntest: started\n"),
    (&["reread"], "No config updates to processes\n"),
    (&["update"], ""),
    (&["status", "test"], "test                             RUNNING   pid "),
];

#[test]
fn every_client_drives_it() {
    let [port] = free_ports();
    let conf = format!(
        "[unix_http_server]\nfile=%(here)s/s.sock\n\n[inet_http_server]\nport=127.0.0.1:{port}\nusername=test1\n\
         password=thepassword\n\n[supervisord]\nnodaemon=true\n\n[program:test]\ncommand=/bin/sleep 1000\nstartsecs=0\n"
    );
    let daemon = Start::raw(Side::Ours, &conf).ready();
    daemon.wait_for_state("test", Running, LONG);
    let clients: [fn(&Daemon, &[&str]) -> Run; 3] = [ctl, Daemon::ctl, |daemon, words| {
        // A line of the shell, which goes on with the next one.
        let told = daemon.ctl_with_input(&[], &format!("{}\nversion\nquit\n", words.join(" ")));
        assert!(told.stdout.contains("4.3.0"), "{told}");
        told
    }];
    for (number, client) in clients.iter().enumerate() {
        for (words, expected) in WORDS {
            let told = client(&daemon, words);
            // The shell says hello with all states, and shows its prompt.
            let is_so =
                if number < 2 { told.stdout.starts_with(expected) } else { told.stdout.contains(expected) };
            assert!(told.code == 0 && is_so, "{told}");
            assert!(number == 2 || !expected.is_empty() || told.stdout.is_empty(), "{told}");
        }
    }
    // Through the port as well, with the login of the file, which nobody typed.
    let url = format!("http://127.0.0.1:{port}");
    let told = ctl(&daemon, &["-s", &url, "status"]);
    assert!(told.code == 0 && told.stdout.contains("RUNNING"), "{told}");
    if Side::original_is_there() {
        the_clients_of_the_original_too(&daemon, &url);
    }
    assert_eq!(ctl(&daemon, &["shutdown"]).code, 0);
    until("the daemon has ended", LONG, || !daemon.answers());
}

/// It refuses the memo itself, which has no `[supervisorctl]`.
fn the_clients_of_the_original_too(daemon: &Daemon, url: &str) {
    let its = |file: &str, words: &[&str]| {
        let mut command = Side::Original.ctl();
        command.arg("-c").arg(daemon.path(file)).args(words);
        without_credentials(&mut command);
        run(&mut command)
    };
    let told = its("supervisord.conf", &["status"]);
    assert!(told.code == 2 && told.stderr.contains("does not include supervisorctl section"), "{told}");
    let login = format!("[supervisorctl]\nserverurl={url}\nusername=test1\npassword=thepassword\n");
    std::fs::write(daemon.path("client.conf"), login).expect("written");
    for (words, expected) in WORDS {
        let told = its("client.conf", words);
        assert!(told.code == 0 && told.stdout.starts_with(expected), "{told}");
    }
}
