//! What the user of a program, who owns the directory of its logs, tries against a daemon that runs as root.
//!
//! Each test is the whole attack, by programs that run as `nobody`; what is asserted is what must not come of it.

use crate::support::{Daemon, LONG, Side, Start, has_root, http, until};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The attacker.
const USER: &str = "nobody";

/// What only root may read.
const SECRET: &str = "root:SECRETHASH:1:2:3\n";

/// A prepared daemon in a directory that everybody may enter, the attacker's directory in it, and a file of root's.
struct Field {
    daemon: Daemon,
    theirs: PathBuf,
    shadow: PathBuf,
}

/// `None`, with a word, if we are not root.
fn field(conf: &str) -> Option<Field> {
    if !has_root("only a daemon of root's can be attacked like this") {
        return None;
    }
    let daemon = Start::new(Side::under_test(), conf).prepare();
    let directory = daemon.directory();
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
    let theirs = directory.join("app");
    fs::create_dir(&theirs).unwrap();
    let user = nix::unistd::User::from_name(USER).unwrap().expect("there is a user nobody");
    chown(&theirs, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
    let shadow = directory.join("shadow");
    fs::write(&shadow, SECRET).unwrap();
    fs::set_permissions(&shadow, fs::Permissions::from_mode(0o600)).unwrap();
    Some(Field { daemon, theirs, shadow })
}

impl Field {
    fn start(&mut self) {
        self.daemon.start();
    }

    /// Runs a shell script as the attacker, in the attacker's directory.
    #[track_caller]
    fn attack(&self, script: &str) {
        let status = Command::new("runuser")
            .args(["-u", USER, "--", "sh", "-ec", script])
            .current_dir(&self.theirs)
            .status()
            .expect("runuser is there");
        assert!(status.success(), "the attack itself failed: {script}");
    }

    #[track_caller]
    fn shadow_is_unharmed(&self) {
        let metadata = fs::metadata(&self.shadow).unwrap();
        assert_eq!((metadata.uid(), metadata.mode() & 0o7777), (0, 0o600));
        assert_eq!(fs::read_to_string(&self.shadow).unwrap(), SECRET);
    }
}

fn wait_for(path: &Path) {
    until(&format!("{} is there", path.display()), LONG, || path.exists());
}

#[test]
fn rotation_makes_no_file_that_can_be_executed() {
    let conf = "[program:web]\nuser=nobody\nredirect_stderr=true\n\
                stdout_logfile=%(here)s/app/web.log\nstdout_logfile_maxbytes=64KB\nstdout_logfile_backups=3\n\
                command=/bin/sh -c 'cd %(here)s/app; rm -f web.log; : > web.log; chmod 6777 web.log; sleep 1.2; \
                head -c 65536 /dev/zero; echo; sleep 0.2; echo payload; head -c 65536 /dev/zero; echo; touch done; exec sleep 1000'\n";
    let Some(mut field) = field(conf) else { return };
    field.start();
    wait_for(&field.theirs.join("done"));
    // In the order in which the last rotation makes them.
    for name in ["web.log.2", "web.log.1", "web.log"] {
        wait_for(&field.theirs.join(name));
    }
    for name in ["web.log", "web.log.1", "web.log.2"] {
        let metadata = fs::metadata(field.theirs.join(name)).unwrap();
        let mode = metadata.mode() & 0o7777;
        // The file that the attacker made keeps what the attacker gave it; it is the attacker's.
        assert!(metadata.uid() != 0 || mode & 0o7111 == 0, "{name} of root has mode {mode:04o}");
    }
}

#[test]
fn a_directory_that_becomes_a_link_is_not_followed() {
    let conf = "[program:web]\nuser=nobody\nstdout_logfile=%(here)s/app/log/web\n\
                command=/bin/sh -c 'cd %(here)s/app; while [ ! -e go ]; do sleep 0.05; done; \
                i=0; while [ $i -lt 60 ]; do echo \"* * * * * root id\"; i=$((i+1)); sleep 0.05; done; \
                touch done; exec sleep 1000'\n\
                [program:late]\nautostart=false\nuser=nobody\nstdout_logfile=%(here)s/app/log/deep/late\n\
                command=/bin/sh -c 'echo text; exec sleep 1000'\nstartsecs=0\n";
    let Some(mut field) = field(conf) else { return };
    let target = field.daemon.path("rootonly");
    fs::create_dir(&target).unwrap();
    field.start();
    wait_for(&field.theirs.join("log"));
    // The directory that was made for the log is root's; its name is in the attacker's hands all the same.
    field.attack(&format!("mv log log.old; ln -s {} log; touch go", target.display()));
    wait_for(&field.theirs.join("done"));
    field.daemon.ctl(&["start", "late"]);
    field.daemon.ctl(&["signal", "USR1", "web"]);
    field.daemon.wait_log("log file");
    assert_eq!(fs::read_dir(&target).unwrap().count(), 0, "something of root's was written there");
}

#[test]
fn clearing_and_reading_do_not_follow_a_link_of_the_users() {
    let conf = "[program:web]\nautostart=false\nuser=nobody\nstdout_logfile=%(here)s/app/web.log\n\
                stderr_logfile=%(here)s/app/err.log\ncommand=/bin/sleep 1000\n";
    let Some(mut field) = field(conf) else { return };
    let shadow = field.shadow.display().to_string();
    field.attack(&format!("ln -s {shadow} web.log; ln -s {shadow} err.log"));
    field.start();
    let cleared = field.daemon.ctl(&["clear", "web"]);
    assert!(!cleared.stdout.contains("cleared"), "{}", cleared.stdout);
    field.shadow_is_unharmed();
    let tail = field.daemon.ctl(&["tail", "web"]);
    assert!(!tail.stdout.contains("SECRETHASH"), "{}", tail.stdout);
    for path in [
        "/logtail/web",
        "/tail.html?processname=web",
        "/api/v1/processes/web/logs/stdout",
        "/api/v1/processes/web/logs/stdout/follow",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let reply = http(&field.daemon.address(), request.as_bytes()).unwrap();
        assert!(!reply.text().contains("SECRETHASH"), "{path}: {}", reply.text());
        let says_why_not = path.starts_with("/tail.html");
        assert!(says_why_not || reply.status != 200, "{path}: {}", reply.head);
    }
    // Nor one that appears while the program runs, or after.
    field.attack("rm web.log err.log");
    field.daemon.ctl(&["start", "web"]);
    field.attack(&format!("mv web.log old.log; ln -s {shadow} web.log"));
    field.daemon.ctl(&["clear", "web"]);
    assert!(!field.daemon.ctl(&["tail", "web"]).stdout.contains("SECRETHASH"));
    field.daemon.ctl(&["stop", "web"]);
    field.daemon.ctl(&["clear", "web"]);
    field.shadow_is_unharmed();
}

#[test]
fn a_table_in_a_users_directory_is_not_believed() {
    let conf = "[supervisord]\nprocessinfomapfile=%(here)s/app/processes.map\n\
                [program:web]\nuser=nobody\nstdout_logfile=%(here)s/app/web.log\ncommand=/bin/sleep 1000\n";
    let Some(mut field) = field(conf) else { return };
    // A process of root's that is no business of the daemon's.
    let mut victim = Command::new("sleep").arg("1000").spawn().unwrap();
    let pid = victim.id();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let ticks = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().to_string();
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let table = format!(
        "version: 1\nboot_id: {}\ngeneration: 2\nkeeper:\n  pid: 1\n  start_ticks: 1\ninfo_map:\n  web:\n    pid: {pid}\n    \
         start_ticks: {ticks}\ncomplete: true\n",
        boot_id.trim()
    );
    // As a log of root's that holds a text of the program's.
    fs::write(field.theirs.join("prepared"), table).unwrap();
    fs::set_permissions(field.theirs.join("prepared"), fs::Permissions::from_mode(0o644)).unwrap();
    field.attack("mv prepared processes.map");
    field.start();
    assert!(field.daemon.log().contains("others may write to its directory"), "{}", field.daemon.log());
    assert!(victim.try_wait().unwrap().is_none(), "the user's table chose whom root kills");
    victim.kill().unwrap();
    victim.wait().unwrap();
}

#[test]
fn a_pidfile_that_became_a_fifo_keeps_nobody_from_ending() {
    let Some(mut field) = field("[supervisord]\npidfile=%(here)s/app/d.pid\n") else { return };
    field.start();
    field.attack("rm -f d.pid; mkfifo d.pid");
    field.daemon.ctl(&["shutdown"]);
    field.daemon.wait_exit();
    assert!(field.theirs.join("d.pid").exists());
}

#[test]
fn a_pidfile_that_became_a_link_is_not_followed() {
    let Some(mut field) = field("[supervisord]\npidfile=%(here)s/app/d.pid\n") else { return };
    field.attack(&format!("ln -s {} d.pid", field.shadow.display()));
    field.daemon.spawn();
    field.daemon.wait_log("could not write pidfile");
    field.daemon.wait_ready();
    field.daemon.ctl(&["shutdown"]);
    field.daemon.wait_exit();
    field.shadow_is_unharmed();
}

#[test]
fn a_device_as_pidfile_is_written_to_and_stays() {
    if !has_root("only root can make devices") {
        return;
    }
    // In a /dev of its own, in a mount namespace of its own.
    let script = r#"
        set -e
        mount -t tmpfs tmpfs "$1"
        mknod -m 666 "$1/null" c 1 3
        ln -s null "$1/link"
        for name in null link; do
            timeout 60 "$2" -n -c "$3" --pidfile "$1/$name" >"$4" 2>&1 &
            until "$2" -c "$3" ctl pid >/dev/null 2>&1; do kill -0 $!; sleep 0.05; done
            "$2" -c "$3" ctl shutdown >/dev/null
            wait $!
            [ "$(stat -c '%F %a %t %T' "$1/null")" = "character special file 666 1 3" ]
        done
        [ "$(readlink "$1/link")" = null ]
        [ "$(ls "$1" | tr '\n' ' ')" = "link null " ]
    "#;
    let daemon = Start::new(Side::under_test(), "").prepare();
    let device = daemon.path("dev");
    fs::create_dir(&device).unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .args([&device, Path::new(env!("CARGO_BIN_EXE_supervisord")), &daemon.conf(), &daemon.path("out")])
        .output()
        .expect("unshare is there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", daemon.read("out"));
}

#[test]
fn a_pidfile_that_is_a_link_or_bound_or_somebody_elses_is_written_in_place() {
    let Some(mut field) = field("") else { return };
    // A link of root's in root's directory.
    fs::create_dir(field.daemon.path("t")).unwrap();
    symlink("t/real.pid", field.daemon.path("supervisord.pid")).unwrap();
    field.start();
    let pid = field.daemon.pid();
    assert_eq!(fs::read_to_string(field.daemon.path("t/real.pid")).unwrap(), format!("{pid}\n"));
    field.daemon.ctl(&["shutdown"]);
    field.daemon.wait_exit();
    assert!(field.daemon.path("supervisord.pid").symlink_metadata().is_ok());
    fs::remove_file(field.daemon.path("supervisord.pid")).unwrap();
    // A file in a directory that takes no others, for a daemon that is not root.
    let conf = field.theirs.join("s.conf");
    fs::write(
        &conf,
        format!(
            "[supervisord]\nnodaemon=true\nlogfile={0}/d.log\npidfile={0}/d.pid\n[unix_http_server]\nfile={0}/s.sock\n\
             [supervisorctl]\nserverurl=unix://{0}/s.sock\n\
             [rpcinterface:supervisor]\n\
             supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n",
            field.theirs.display()
        )
        .replace(&format!("pidfile={}/d.pid", field.theirs.display()), &format!("pidfile={}/d.pid", field.daemon.directory().display())),
    )
    .unwrap();
    let pidfile = field.daemon.path("d.pid");
    fs::write(&pidfile, "").unwrap();
    let owner = fs::metadata(&field.theirs).unwrap();
    chown(&pidfile, Some(owner.uid()), Some(owner.gid())).unwrap();
    // Where that user can get at it, wherever the project lies.
    let binary = field.daemon.path("binary");
    // Not by ourselves: what other tests start meanwhile would hold it open for writing, and nobody could execute it.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_supervisord")).arg(&binary).status();
    assert!(copied.is_ok_and(|status| status.success()));
    let binary = binary.display();
    let script = format!(
        "timeout 60 {binary} -n -c s.conf >out 2>&1 & \
         until {binary} -c s.conf ctl pid >pid 2>/dev/null; do kill -0 $!; sleep 0.05; done; \
         cat {pidfile} >seen; {binary} -c s.conf ctl shutdown >/dev/null; wait",
        pidfile = pidfile.display()
    );
    field.attack(&script);
    let read = |name: &str| fs::read_to_string(field.theirs.join(name)).unwrap();
    assert_eq!(read("seen"), read("pid"));
    assert_eq!(fs::read_to_string(&pidfile).unwrap(), "", "it cannot be removed, so it is emptied");
}
