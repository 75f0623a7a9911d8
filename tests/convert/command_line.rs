//! `export` and `import` on the command line: where files go, what is never touched, limits, exit statuses.

use crate::support::{Run, run};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

fn supervisord(directory: &Path, words: &[&str]) -> Run {
    run(Command::new(env!("CARGO_BIN_EXE_supervisord")).args(words).current_dir(directory))
}

fn directory(configuration: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("x.conf"), configuration).expect("written");
    directory
}

const TWO: &str = "[program:a]\ncommand=/bin/cat\nrestart_jitter=5%\nenvironment=API_TOKEN=\"secret\"\n\
                   [program:b]\ncommand=/bin/cat\nenvironment=DB_PASSWORD=\"%(ENV_PATH)s\"\n";

#[test]
fn files_go_into_a_directory_and_never_over_another() {
    let directory = directory(TWO);
    let export = ["-c", "x.conf", "export", "systemd", "-o", "out"];
    let ran = supervisord(directory.path(), &export).expect(0);
    assert!(
        ran.stderr
            .starts_with("1 setting could not be carried over exactly:\n- [program:a] restart_jitter = 5%%")
    );
    assert_eq!(ran.stdout, "");
    let read = |name: &str| std::fs::read_to_string(directory.path().join("out").join(name)).expect(name);
    let mode = |name: &str| {
        directory.path().join("out").join(name).metadata().expect(name).permissions().mode() & 0o777
    };
    assert!(read("a.service").contains("# - [program:a] restart_jitter = 5%%: "), "{}", read("a.service"));
    assert!(!read("b.service").contains("could not be"), "{}", read("b.service"));
    for name in ["a.service", "b.service", "supervisor.target"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    std::fs::write(directory.path().join("out/b.service"), "mine").expect("written");
    std::fs::remove_file(directory.path().join("out/a.service")).expect("removed");
    let ran = supervisord(directory.path(), &export).expect(1);
    assert_eq!(ran.stderr, "Error: out/b.service is there already: remove it, or write to another place\n");
    assert_eq!(read("b.service"), "mine");
    assert!(!directory.path().join("out/a.service").exists(), "nothing is written if not all can be");
}

#[test]
fn all_files_are_written_or_none() {
    let long = "\u{e4}".repeat(100);
    let directory =
        directory(&format!("[program:a]\ncommand=/bin/cat\n[program:{long}]\ncommand=/bin/cat\n"));
    let ran = supervisord(directory.path(), &["-c", "x.conf", "export", "systemd", "-o", "out"]).expect(1);
    assert!(ran.stderr.contains("would have a name of 808 bytes, and systemd takes 255"), "{}", ran.stderr);
    assert!(!directory.path().join("out").exists());
    // The first file fits below the limit on the size of files, the second one does not.
    let value = "x".repeat(4000);
    let large =
        format!("[program:a]\ncommand=/bin/cat\n[program:b]\ncommand=/bin/cat\nenvironment=X=\"{value}\"\n");
    std::fs::write(directory.path().join("x.conf"), large).expect("written");
    let binary = env!("CARGO_BIN_EXE_supervisord");
    let script =
        format!("trap '' XFSZ; ulimit -f 2; exec {binary} -c x.conf export systemd -o new/../new/out");
    let ran = run(Command::new("/bin/sh").args(["-c", &script]).current_dir(directory.path())).expect(1);
    assert!(ran.stderr.starts_with("Error: could not write new/../new/out/b.service: "), "{}", ran.stderr);
    assert!(!directory.path().join("new").exists());
}

#[test]
fn everything_goes_to_stdout_without_a_place() {
    let directory = directory(TWO);
    let ran = supervisord(directory.path(), &["-c", "x.conf", "export", "systemd", "b"]).expect(0);
    assert!(ran.stdout.starts_with("# --- b.service ---\n# Exported from "), "{}", ran.stdout);
    assert!(!ran.stdout.contains("a.service") && ran.stdout.contains("# --- supervisor.target ---\n"));
    assert_eq!(ran.stderr, "");
}

#[test]
fn an_import_is_a_configuration() {
    let directory = directory("");
    std::fs::write(directory.path().join("a.service"), "[Service]\nExecStart=/bin/cat\nSlice=x\n")
        .expect("written");
    let ran = supervisord(directory.path(), &["import", "systemd", "a.service", "-o", "new.conf"]).expect(0);
    assert!(ran.stderr.contains("- a.service:3 Slice = x: "), "{}", ran.stderr);
    let ran = supervisord(directory.path(), &["-c", "new.conf", "check"]).expect(0);
    assert!(ran.stdout.contains("0 errors") || ran.stdout.contains("nothing wrong"), "{}", ran.stdout);
    let ran = supervisord(directory.path(), &["import", "systemd", "a.service", "-o", "new.conf"]).expect(1);
    assert!(ran.stderr.ends_with("new.conf is there already: remove it, or write to another place\n"));
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let directory = directory("[program:a]\ncommand=/bin/cat\nautostart=maybe\n");
    let place = |name: &str| directory.path().join(name);
    std::fs::write(place("bytes.service"), [b'[', 0xff, b']']).expect("written");
    std::fs::write(place("large.service"), vec![b'#'; (1 << 20) + 1]).expect("written");
    for (words, status, text) in [
        (&["-c", "x.conf", "export", "systemd"][..], 1, "not a valid boolean value: 'maybe'"),
        (&["-c", "none.conf", "export", "systemd"], 1, "could not find config file none.conf"),
        (&["export", "cobol"], 2, "no format is called 'cobol'; the formats are systemd, quadlet"),
        (&["export"], 2, "name a format: systemd, quadlet"),
        (&["import"], 2, "name a format: systemd"),
        (&["import", "systemd"], 2, "name the files to import"),
        (&["import", "systemd", "none.service"], 1, "could not read none.service"),
        (&["import", "systemd", "."], 1, "could not read ."),
        (&["import", "systemd", "bytes.service"], 1, "bytes.service is not a text"),
        (&["import", "systemd", "large.service"], 1, "large.service has 1048577 bytes, and at most 1048576"),
        (&["schema", "x"], 2, "no schema is called 'x'"),
    ] {
        let ran = supervisord(directory.path(), words).expect(status);
        assert!(ran.stderr.starts_with("Error: ") && ran.stderr.contains(text), "{words:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{words:?}");
    }
    let many: Vec<&str> =
        ["import", "systemd"].into_iter().chain(std::iter::repeat_n("a.service", 10_001)).collect();
    let ran = supervisord(directory.path(), &many).expect(1);
    assert_eq!(ran.stderr, "Error: 10001 files are too many: import at most 10000 at once\n");
}

#[test]
fn a_program_that_does_not_exist_cannot_be_exported() {
    let directory =
        directory("[program:a]\ncommand=/bin/cat\n[program:none]\ncommand=/bin/cat\nnumprocs=0\n");
    let ran = supervisord(directory.path(), &["-c", "x.conf", "export", "systemd", "b"]).expect(1);
    assert_eq!(ran.stderr, "Error: no program or group is named b; write names without \"program:\"\n");
    let ran = supervisord(directory.path(), &["-c", "x.conf", "export", "systemd"]).expect(0);
    assert!(ran.stderr.contains("[program:none] numprocs = 0: there is nothing to run"), "{}", ran.stderr);
}
