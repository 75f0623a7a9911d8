//! Configuration values that people write, beside the original: what a program finds, and whether it runs at all.

use crate::support::{LONG, Side, Start, has_root, run, until_some};
use std::fs;

/// What a program writes down: its words, umask, user, a variable, and the end of the list.
const SCRIPT: &str = "\
#!/bin/sh
facts=$1
shift
{
    echo \"words $*\"
    echo \"umask $(umask)\"
    echo \"user $(id -u)\"
    echo \"A=$A;B=$B\"
    echo end
} > \"$facts.new\"
mv \"$facts.new\" \"$facts\"
exec sleep 1000
";

/// How our facts compare with the original's.
#[derive(Clone, Copy)]
enum Ours {
    Same,
    /// The original's line and ours.
    Differs(&'static str, &'static str),
}

use Ours::{Differs, Same};

/// One idiom.
struct Idiom {
    /// What the shell that starts the daemon does first.
    shell: &'static str,
    arguments: &'static [&'static str],
    /// Keys of `[supervisord]`, and more sections.
    daemon: &'static str,
    /// Keys of the program.
    program: &'static str,
    ours: Ours,
    /// Whether we warn of it.
    warns: bool,
}

const USUAL: Idiom =
    Idiom { shell: "umask 002", arguments: &[], daemon: "", program: "", ours: Same, warns: false };

const fn daemon(daemon: &'static str) -> Idiom {
    Idiom { daemon, ..USUAL }
}

const fn program(program: &'static str) -> Idiom {
    Idiom { program, ..USUAL }
}

/// Understood in a way of its own, with a warning.
const fn odd(program: &'static str, ours: Ours) -> Idiom {
    Idiom { program, ours, warns: true, ..USUAL }
}

const IDIOMS: [Idiom; 44] = [
    // In the foreground nothing but the file or the command line sets the umask.
    USUAL,
    Idiom { shell: "umask 077", ..USUAL },
    Idiom { warns: true, ..daemon("umask=-1") },
    // The original does not look at it there.
    Idiom { ours: Differs("umask 0002", "umask 0027"), ..daemon("umask=027") },
    Idiom { arguments: &["-m", "027"], ours: Differs("umask 0002", "umask 0027"), ..USUAL },
    // In the background it has a default.
    daemon("nodaemon=false"),
    daemon("nodaemon=false\numask=002"),
    Idiom { shell: "umask 077", ..daemon("nodaemon=false\numask=027") },
    program("umask=077"),
    program("umask=002"),
    odd("umask=-1", Same),
    // Becoming who one is.
    daemon("user=root"),
    daemon("user=0"),
    program("user=root"),
    program("user=0"),
    daemon("user=root\nnodaemon=false"),
    // Staying in the foreground.
    daemon("nodaemon=1"),
    daemon("nodaemon=yes"),
    Idiom { arguments: &["-n"], ..daemon("nodaemon=false") },
    Idiom { arguments: &["--nodaemon", "-s"], ..USUAL },
    daemon("silent=true\nloglevel=DEBUG"),
    // Logs of containers.
    daemon("logfile=/dev/stdout\nlogfile_maxbytes=0"),
    daemon("logfile=/dev/fd/1\nlogfile_maxbytes=0\nsilent=true"),
    program("stdout_logfile=/dev/stdout\nstdout_logfile_maxbytes=0\nredirect_stderr=true"),
    program(
        "stdout_logfile=/dev/fd/1\nstdout_logfile_maxbytes=0\nstderr_logfile=/dev/fd/2\nstderr_logfile_maxbytes=0",
    ),
    program("stdout_logfile=NONE\nstderr_logfile=NONE"),
    // Negative numbers.
    Idiom { warns: true, ..daemon("minfds=-1\nminprocs=-1\nlogfile_maxbytes=-1\nlogfile_backups=-1") },
    program("startretries=-1"),
    odd("startretries=-5", Same),
    odd("startsecs=-1\nstopwaitsecs=-1", Same),
    odd("stdout_logfile_maxbytes=-1\nstdout_logfile_backups=-1\nstdout_capture_maxbytes=-1", Same),
    Idiom { arguments: &["-z", "-1", "-a", "-1"], warns: true, ..USUAL },
    // Environments.
    odd("environment=A=1;B=2", Same),
    odd("environment=A=http://h/p?x=1", Differs("A=http://h/p;B=", "A=http://h/p?x=1;B=")),
    odd("environment=A=-Xmx1g -Xms1g", Differs("A=-Xmx1g;B=", "A=-Xmx1g -Xms1g;B=")),
    odd("environment=A=abc=", Differs("A=abc;B=", "A=abc=;B=")),
    odd("environment=A=50%%", Differs("A=50;B=", "A=50%;B=")),
    odd("environment=A=~/x", Differs("A=~;B=", "A=~/x;B=")),
    odd("environment=A=a#b", Differs("A=a;B=", "A=a#b;B=")),
    odd("environment=A=it's,B=2", Same),
    // Bytes that are no text.
    Idiom { shell: "X=$(printf 'a\\377\\351'); export X", ..program("environment=A=\"%(ENV_X)s\"") },
    Idiom {
        shell: "X=$(printf 'a\\377'); export X",
        ..program("command=/bin/sh %(here)s/script %(here)s/facts %(ENV_X)s")
    },
    Idiom {
        warns: true,
        ..daemon(
            "[unix_http_server]\nusername=\npassword=\n[supervisorctl]\nusername=\npassword=\n[supervisord]",
        )
    },
    // `date +%s` as it should be written; as it is written, see below.
    program("command=/bin/sh %(here)s/script %(here)s/facts +%%s"),
];

/// What the program wrote down, and the activity log.
fn facts(side: Side, idiom: &Idiom) -> (String, String) {
    let conf = format!(
        "[supervisord]\n{}\n[program:p]\ncommand=/bin/sh %(here)s/script %(here)s/facts\nstartsecs=0\n{}\n",
        idiom.daemon, idiom.program
    );
    let shell = format!("{}; exec \"$@\"", idiom.shell);
    let start = Start::new(side, &conf).under(&["sh", "-c", &shell, "sh"]).arguments(idiom.arguments);
    let mut daemon = start.prepare();
    fs::write(daemon.path("script"), SCRIPT).expect("the test's directory can be written");
    let in_background = idiom.daemon.contains("nodaemon=false") && idiom.arguments.is_empty();
    if in_background {
        run(&mut daemon.command()).expect(0);
    } else {
        daemon.spawn();
    }
    let found = until_some("what the program wrote down", LONG, || {
        let facts = fs::read(daemon.path("facts")).unwrap_or_default();
        // Whatever bytes they are.
        let lines = facts.split(|byte| *byte == b'\n').map(|line| format!("{}\n", line.escape_ascii()));
        facts.ends_with(b"end\n").then(|| lines.collect::<String>())
    });
    daemon.wait_ready();
    daemon.call("supervisor.getState", vec![]);
    let log = format!("{}{}", daemon.log(), daemon.read("stdout"));
    (found.replace(&*daemon.directory().to_string_lossy(), "DIR"), log)
}

fn compare(idiom: &Idiom) -> Result<(), String> {
    let (original, (ours, log)) = std::thread::scope(|scope| {
        let original = scope.spawn(|| facts(Side::Original, idiom).0);
        let ours = facts(Side::Ours, idiom);
        (original.join().expect("the original runs with it"), ours)
    });
    let expected = match idiom.ours {
        Same => original.clone(),
        Differs(theirs, ours) => original.replace(theirs, ours),
    };
    let is_told = matches!(idiom.ours, Same) || expected != original;
    let warns = log.contains(" WARN ") && log.contains("understood as") || log.contains("let in");
    if ours == expected && is_told && warns == idiom.warns {
        return Ok(());
    }
    Err(format!("{}\n{}\noriginal: {original}\nours: {ours}\n{log}", idiom.daemon, idiom.program))
}

#[test]
fn idioms_work_as_with_the_original() {
    if !has_root("user=root cannot be tried") {
        return;
    }
    let failures: Vec<String> = std::thread::scope(|scope| {
        let quarters = IDIOMS.chunks(IDIOMS.len().div_ceil(4));
        let threads: Vec<_> = quarters
            .map(|quarter| scope.spawn(|| quarter.iter().filter_map(|idiom| compare(idiom).err()).collect()))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_else(|_| vec!["panicked".into()]))
            .collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n----\n"));
}

#[test]
fn without_a_section_for_it_the_interface_is_there() {
    let conf = "[supervisord]\nnodaemon=true\nlogfile=%(here)s/supervisord.log\npidfile=%(here)s/supervisord.pid\n\
                childlogdir=%(here)s\n[unix_http_server]\nfile=%(here)s/s.sock\n\
                [supervisorctl]\nserverurl=unix://%(here)s/s.sock\n";
    let daemon = Start::raw(Side::Ours, conf).ready();
    assert_eq!(daemon.ctl(&["version"]).expect(0).stdout, "4.3.0\n");
    let own = daemon.call("supervisord.getVersion", vec![]);
    assert_eq!(own, crate::support::text(env!("CARGO_PKG_VERSION")));
}

/// A bare form stays as it is, where the original fills in all it knows.
#[test]
fn a_bare_form_is_no_reason_not_to_start() {
    let bare = odd("command=/bin/sh ./script ./facts +%s\ndirectory=%(here)s", Same);
    let (found, log) = facts(Side::Ours, &bare);
    assert!(found.starts_with("words +%s\n"), "{found}");
    let line = "supervisord.conf:21: [program:p] command: '%s' is kept as it is";
    assert!(log.contains(line), "{log}");
}
