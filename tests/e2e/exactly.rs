//! A program gets what its keys say and nothing else, whoever the daemon is: as root, with fewer rights, as an ordinary user,
//! and in a user namespace.

use crate::support::{Daemon, LONG, Side, Start, has_root, until};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use supervisord::model::state::ProcessState::Running;

const KEYS: &str = "\
environment_file=%(here)s/variables.env
environment_inherit=PATH
credential.token=%(here)s/variables.env
limit_nofile=300:400
limit_core=0
nice=5
ionice=idle
cpu_affinity=0
cpu_scheduling=batch
oom_score_adj=500
stop_scope=tree
";

/// What the kernel says of a program, line by line: what `keyed` is to have in the place of what `plain` has.
struct Seen {
    status: Vec<String>,
    limits: Vec<String>,
    variables: BTreeSet<String>,
    descriptors: BTreeSet<String>,
    words: Vec<String>,
    nice: String,
    policy: String,
    oom_score: String,
}

impl Seen {
    fn of(daemon: &Daemon, name: &str) -> Seen {
        daemon.wait_for_state(name, Running, LONG);
        let directory = format!("/proc/{}", daemon.pid_of(name));
        let read = |file: &str| fs::read_to_string(format!("{directory}/{file}")).unwrap_or_default();
        // Its loader, which opens files, is behind it.
        let sleeps = || read("stat").rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'));
        until(&format!("{name} sleeps"), LONG, sleeps);
        let lines = |text: String| -> Vec<String> { text.lines().map(str::to_string).collect() };
        // Not what only tells how far it has come.
        let lasting = [
            "Uid:",
            "Gid:",
            "Groups:",
            "Cap",
            "NoNewPrivs:",
            "Seccomp",
            "Cpus_allowed_list:",
            // Not SigQ, which counts the signals of all processes of the user.
            "SigPnd:",
            "SigBlk:",
            "SigIgn:",
            "SigCgt:",
            "Umask",
        ];
        let status = lines(read("status"));
        let stat = read("stat");
        let fields: Vec<&str> =
            stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let field = |number: usize| fields[number - 3].to_string();
        let descriptors = fs::read_dir(format!("{directory}/fd")).expect("it is alive");
        Seen {
            status: status
                .into_iter()
                .filter(|line| lasting.iter().any(|name| line.starts_with(name)))
                .collect(),
            limits: lines(read("limits")),
            variables: read("environ")
                .split_terminator('\0')
                .map(|line| line.split('=').next().unwrap_or_default().to_string())
                .collect(),
            descriptors: descriptors
                .map(|entry| entry.expect("it is alive").file_name().to_string_lossy().into_owned())
                .collect(),
            words: read("cmdline").split_terminator('\0').map(str::to_string).collect(),
            nice: field(19),
            policy: field(41),
            oom_score: read("oom_score_adj").trim().to_string(),
        }
    }
}

/// Those of the second that the first has not.
fn differences(one: &[String], other: &[String]) -> Vec<String> {
    other
        .iter()
        .filter(|line| !one.contains(line))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

fn check(wrapper: &[&str], circumstances: &str) {
    let conf = format!("[program:keyed]\ncommand=sleep 1000\n{KEYS}\n[program:plain]\ncommand=sleep 1000\n");
    let mut daemon = Start::new(Side::under_test(), &conf).under(wrapper).prepare();
    fs::set_permissions(daemon.directory(), PermissionsExt::from_mode(0o1777))
        .expect("the directory is ours");
    fs::write(daemon.path("variables.env"), "FROM_FILE='a $b %(c)s'\n").expect("the directory is ours");
    fs::set_permissions(daemon.path("variables.env"), PermissionsExt::from_mode(0o644))
        .expect("the file is ours");
    daemon.start();
    let (keyed, plain) = (Seen::of(&daemon, "keyed"), Seen::of(&daemon, "plain"));
    let texts = |texts: &[&str]| -> Vec<String> { texts.iter().map(|text| text.to_string()).collect() };
    let set = |names: &[&str]| -> BTreeSet<String> { names.iter().map(|name| name.to_string()).collect() };

    assert_eq!(keyed.words, ["sleep", "1000"], "{circumstances}");
    assert_eq!(keyed.descriptors, set(&["0", "1", "2"]), "{circumstances}");
    assert_eq!(
        keyed.variables,
        set(&[
            "CREDENTIALS_DIRECTORY",
            "FROM_FILE",
            "PATH",
            "SUPERVISOR_ENABLED",
            "SUPERVISOR_GROUP_NAME",
            "SUPERVISOR_PROCESS_NAME",
            "SUPERVISOR_SERVER_URL",
            "SUPERVISOR_TREE",
        ]),
        "{circumstances}"
    );
    let limits = differences(&plain.limits, &keyed.limits);
    assert_eq!(
        limits,
        texts(&["Max core file size 0 0 bytes", "Max open files 300 400 files"]),
        "{circumstances}"
    );
    let status = differences(&plain.status, &keyed.status);
    let only_one =
        fs::read_to_string("/proc/self/status").unwrap_or_default().contains("Cpus_allowed_list:\t0\n");
    let affinity: &[&str] = if only_one { &[] } else { &["Cpus_allowed_list: 0"] };
    assert_eq!(status, texts(affinity), "{circumstances}");
    // SCHED_BATCH, sched(7).
    assert_eq!((keyed.nice.as_str(), keyed.policy.as_str()), ("5", "3"), "{circumstances}");
    let why = daemon.ctl(&["why", "keyed"]).stdout;
    let given = "given: limit_core=0; limit_nofile=300:400; nice=5; ionice=idle; cpu_affinity=0; cpu_scheduling=batch; \
                 oom_score_adj=500; stop_scope=tree; credentials=token\n";
    assert!(why.contains(given) && !why.contains("variables.env"), "{circumstances}: {why}");
    assert_eq!((keyed.oom_score.as_str(), plain.policy.as_str()), ("500", "0"), "{circumstances}");
}

#[test]
fn a_program_gets_what_is_written_and_nothing_else() {
    check(&[], "as whoever runs the tests");
    if !has_root("takes root, to become others") {
        return;
    }
    let bare = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
    check(&[&bare[..], &["--"]].concat(), "root without capabilities");
    let ordinary = "cp \"$1\" supervisord; shift; \
                    exec setpriv --reuid=54321 --regid=54321 --clear-groups ./supervisord \"$@\"";
    check(&["sh", "-c", ordinary, "sh"], "an ordinary user");
    let apart = std::process::Command::new("unshare").args(["-Ur", "true"]).status();
    if apart.is_ok_and(|status| status.success()) {
        check(&["sh", "-c", "exec unshare -Ur \"$@\"", "sh"], "in a user namespace");
    } else {
        eprintln!("skipped: no user namespace can be made here");
    }
}
