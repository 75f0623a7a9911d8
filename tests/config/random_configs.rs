//! Random configurations, read by the original Supervisor and by us: the same acceptance, values and words.
//!
//! Sections and keys are drawn from lists of right and wrong values. What we read differently on purpose is not in
//! the lists; the corpus has those.

use crate::compat;
use crate::corpus::{self, Case};
use crate::differential::Random;
use std::path::PathBuf;

const N_CONFIGS: usize = 600;

/// Values that every kind of program takes, wrong ones among them.
const PROGRAM_KEYS: [(&str, &[&str]); 27] = [
    (
        "command",
        &["/bin/cat", "", "x %(program_name)s", "y %(ENV_X)s %(here)s", "%(nope)s", "%(here", "\"un"],
    ),
    (
        "process_name",
        &["%(program_name)s_%(process_num)02d", "%(process_num)d", "fix", "a b", "%(x)s", "%(group_name)s"],
    ),
    ("numprocs", &["0", "1", "2", "3", "x", ""]),
    ("numprocs_start", &["0", "5", "y"]),
    ("priority", &["1", "-1", "999", " 7 ", "low", "%(ENV_N)s"]),
    ("autostart", &["true", "no", "maybe", "", "ON"]),
    ("autorestart", &["true", "false", "unexpected", "Unexpected", "sometimes"]),
    ("startsecs", &["0", "10", "1_0", "1.0", "+3"]),
    ("startretries", &["0", "3", "many"]),
    ("stopsignal", &["TERM", "sighup", "2", "NOPE", "99", "%(ENV_S)s"]),
    ("stopwaitsecs", &["0", "10", "x"]),
    ("stopasgroup", &["true", "false", "1"]),
    ("killasgroup", &["true", "false", "0"]),
    ("exitcodes", &["0", "0,2", "", "256", "a", "1, 2 ,3"]),
    ("redirect_stderr", &["true", "false", "yes", "perhaps"]),
    ("stdout_capture_maxbytes", &["0", "1KB", "2mb", "1K"]),
    ("stderr_capture_maxbytes", &["5", "1GB", "g"]),
    ("stdout_events_enabled", &["true", "false", "x"]),
    (
        "stdout_logfile",
        &["NONE", "auto", "/tmp/x.log", "/tmp/%(program_name)s.log", "syslog", "rel.log", "%(bad)s"],
    ),
    ("stderr_logfile", &["none", "AUTO", "/tmp/%(process_num)d.err", "Syslog"]),
    ("stdout_logfile_maxbytes", &["0", "1MB", "x"]),
    ("stderr_logfile_backups", &["0", "4", "x"]),
    ("stdout_syslog", &["true", "false", "x"]),
    ("directory", &["/tmp", "relative", "%(ENV_X)s/%(program_name)s", "%(y)s"]),
    ("environment", &["A=1", "A=\"x y\",B=\"%(ENV_X)s\"", "X=own", "A=", "A", "N=\"%(process_num)d\"", ""]),
    ("user", &["root", "0", "no-such-user", "4294967296"]),
    ("umask", &["022", "0o77", "8", ""]),
];

const SUPERVISORD_KEYS: [(&str, &[&str]); 12] = [
    ("loglevel", &["info", "DEBUG", "loud"]),
    ("logfile_maxbytes", &["1MB", "0", "x"]),
    ("nodaemon", &["true", "x"]),
    ("umask", &["022", "9"]),
    ("minfds", &["10", "x"]),
    ("identifier", &["me", "%(ENV_X)s", "%(z)s", "%"]),
    ("environment", &["X=global", "G=\"1\",S=INT", "X"]),
    ("directory", &["/tmp", "/nope"]),
    ("childlogdir", &["/tmp", "/nope"]),
    ("user", &["root", "no-such-user"]),
    ("logfile", &["syslog", "/tmp/main.log", "/nope/main.log", "main.log"]),
    ("strip_ansi", &["true", "2"]),
];

const LISTENER_KEYS: [(&str, &[&str]); 3] = [
    ("events", &["TICK_5", "tick_60, PROCESS_STATE", "NOPE", ""]),
    ("buffer_size", &["1", "100", "0", "x"]),
    ("result_handler", &["supervisor.dispatchers:default_handler"]),
];

const FCGI_KEYS: [(&str, &[&str]); 4] = [
    ("socket", &["unix:///tmp/%(program_name)s.sock", "tcp://localhost:9000", "tcp://h:99999", ""]),
    ("socket_owner", &["root", "root:root", "no-such-user"]),
    ("socket_mode", &["0777", "9"]),
    ("socket_backlog", &["5", "0", "70000"]),
];

const GROUP_KEYS: [(&str, &[&str]); 2] =
    [("programs", &["a", "a, b", "b", "nope", "nope,a", ""]), ("priority", &["1", "x"])];

const INET_KEYS: [(&str, &[&str]); 3] = [
    ("port", &["9001", "*:9001", "localhost:9002", "x", "h:x", "h:", "h:0"]),
    ("username", &["me", "%(ENV_X)s"]),
    ("password", &["secret", "50%%"]),
];

const UNIX_KEYS: [(&str, &[&str]); 4] = [
    ("file", &["/tmp/a.sock", "%(here)s/a.sock", " rel.sock"]),
    ("chmod", &["0700", "x"]),
    ("chown", &["root", "root:root", "no-such-user", "root:no-such-group"]),
    ("username", &["me"]),
];

/// Keys without which a section is refused for that alone.
type Keys = &'static [(&'static str, &'static [&'static str])];

const SECTIONS: [(&str, &[&str], &[Keys]); 9] = [
    ("program:a", &["command=/bin/a"], &[&PROGRAM_KEYS]),
    ("program:b", &["command=/bin/b"], &[&PROGRAM_KEYS]),
    ("program:c d", &["command=/bin/c"], &[]),
    ("eventlistener:e", &["command=/bin/e", "events=TICK_5"], &[&LISTENER_KEYS, &PROGRAM_KEYS]),
    ("fcgi-program:f", &["command=/bin/f", "socket=tcp://127.0.0.1:1"], &[&FCGI_KEYS, &PROGRAM_KEYS]),
    ("group:g", &["programs=a"], &[&GROUP_KEYS]),
    ("inet_http_server", &["port=9001"], &[&INET_KEYS]),
    ("unix_http_server", &["file=/tmp/s"], &[&UNIX_KEYS]),
    ("DEFAULT", &[], &[&PROGRAM_KEYS]),
];

/// A few lines for a section: what it needs, and up to three keys more.
fn section(random: &mut Random, name: &str, needed: &[&str], lists: &[Keys]) -> String {
    let mut text = format!("[{name}]\n");
    for line in needed {
        text += &format!("{line}\n");
    }
    let n_keys = if lists.is_empty() { 0 } else { random.below(4) };
    for _ in 0..n_keys {
        let list = lists[random.below(lists.len())];
        let (key, values) = list[random.below(list.len())];
        // The first value is right: most configurations should get beyond their first key.
        let value = if random.below(3) > 0 { values[0] } else { values[random.below(values.len())] };
        text += &format!("{key}={value}\n");
    }
    text
}

fn configuration(random: &mut Random) -> String {
    let mut text = section(random, "supervisord", &[], &[&SUPERVISORD_KEYS]);
    for (name, needed, lists) in SECTIONS {
        // A name with a blank, and keys for all sections, spoil most of what is with them.
        let one_in = match name {
            "program:c d" | "DEFAULT" => 12,
            // Members of the group after a missing one would be blamed on the wrong section by the original.
            "program:b" => 1,
            _ => 2,
        };
        if random.below(one_in) == 0 {
            text += &section(random, name, needed, lists);
        }
    }
    text
}

#[test]
fn random_configurations_mean_the_same_to_the_original() {
    let Some(venv) = std::env::var_os("SUPERVISOR_VENV").map(PathBuf::from) else {
        eprintln!("SUPERVISOR_VENV is not set: nothing to compare with");
        return;
    };
    let mut random = Random::new(0xc0ffee);
    let mut corpus = String::new();
    for number in 0..N_CONFIGS {
        let head = "-- env X=outer\n-- env N=5\n-- env S=USR1\n-- file supervisord.conf\n";
        corpus += &format!("==== random-{number}\nDrawn.\n{head}{}", configuration(&mut random));
    }
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), corpus).expect("written");
    let cases: Vec<Case> = corpus::read(file.path());
    compat::compare_all(&venv, &cases);
}
