//! What images for containers write for `pidfile`, `logfile`, `stdout_logfile` and `user`, beside the original: whatever
//! works there works here. Each daemon is PID 1 of a namespace with a `/dev` of its own, as in a container.

#[path = "support/mod.rs"]
mod support;

use nix::sys::signal::Signal;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use support::{Side, has_root, kill};

/// One idiom: what is prepared in the directory `$D`, keys of `[supervisord]`, keys of the program, and the words before
/// the daemon's command line. The program prints a line; `seen` says where that has to arrive.
struct Idiom {
    name: &'static str,
    prepare: &'static str,
    daemon: &'static str,
    program: &'static str,
    before: &'static str,
    seen: Seen,
}

#[derive(Clone, Copy)]
enum Seen {
    /// On the container's standard output or error.
    Container,
    /// In this file of the directory.
    File(&'static str),
    /// Nowhere; that the program runs is enough.
    Nowhere,
}

const PLAIN: Idiom =
    Idiom { name: "", prepare: "", daemon: "", program: "", before: "", seen: Seen::Container };

const OUT: &str = "stdout_logfile=/dev/stdout\nstdout_logfile_maxbytes=0\n";

/// The idioms.
fn idioms() -> Vec<Idiom> {
    use Seen::{Container, File, Nowhere};
    let log = |name, program, prepare, seen| Idiom { name, program, prepare, seen, ..PLAIN };
    let own = |name, daemon, prepare| Idiom { name, daemon, prepare, program: OUT, ..PLAIN };
    let run = |name, daemon, before| Idiom { name, daemon, before, program: OUT, ..PLAIN };
    vec![
        log("stdout", OUT, "", Container),
        log("fd 1", "stdout_logfile=/dev/fd/1\nstdout_logfile_maxbytes=0\n", "", Container),
        log("stderr", "stdout_logfile=/dev/stderr\nstdout_logfile_maxbytes=0\n", "", Container),
        log("fd 2", "stdout_logfile=/dev/fd/2\nstdout_logfile_maxbytes=0\n", "", Container),
        log("proc self", "stdout_logfile=/proc/self/fd/1\nstdout_logfile_maxbytes=0\n", "", Container),
        log("proc 1", "stdout_logfile=/proc/1/fd/1\nstdout_logfile_maxbytes=0\n", "", Container),
        log("proc 1, stderr", "stdout_logfile=/proc/1/fd/2\nstdout_logfile_maxbytes=0\n", "", Container),
        log("rotated stdout", "stdout_logfile=/dev/stdout\nstdout_logfile_maxbytes=0MB\n", "", Container),
        log(
            "redirected",
            "redirect_stderr=true\nstdout_logfile=/dev/stdout\nstdout_logfile_maxbytes=0\n",
            "",
            Container,
        ),
        log(
            "link to stdout",
            "stdout_logfile=%(here)s/l\nstdout_logfile_maxbytes=0\n",
            "ln -s /dev/stdout $D/l",
            Container,
        ),
        log(
            "link to stderr",
            "stdout_logfile=%(here)s/l\nstdout_logfile_maxbytes=0\n",
            "ln -s /dev/stderr $D/l",
            Container,
        ),
        log(
            "link to proc 1",
            "stdout_logfile=%(here)s/l\nstdout_logfile_maxbytes=0\n",
            "ln -s /proc/1/fd/1 $D/l",
            Container,
        ),
        log(
            "link to proc self",
            "stdout_logfile=%(here)s/l\nstdout_logfile_maxbytes=0\n",
            "ln -s /proc/self/fd/1 $D/l",
            Container,
        ),
        log(
            "link to null",
            "stdout_logfile=%(here)s/l\nstdout_logfile_maxbytes=0\n",
            "ln -s /dev/null $D/l",
            Nowhere,
        ),
        log(
            "link to stdout in the user's directory",
            "user=nobody\nstdout_logfile=%(here)s/a/l\nstdout_logfile_maxbytes=0\n",
            "mkdir $D/a; ln -s /dev/stdout $D/a/l; chown -R nobody $D/a",
            Container,
        ),
        log("null", "stdout_logfile=/dev/null\n", "", Nowhere),
        log("none", "stdout_logfile=NONE\n", "", Nowhere),
        log("auto", "stdout_logfile=AUTO\n", "", Nowhere),
        log("syslog", "stdout_logfile=syslog\n", "", Nowhere),
        log("file", "stdout_logfile=%(here)s/f\n", "", File("f")),
        log("file behind a link", "stdout_logfile=%(here)s/l\n", "ln -s f $D/l", File("f")),
        log(
            "directory behind a link",
            "stdout_logfile=%(here)s/l/f\n",
            "mkdir $D/r; ln -s r $D/l",
            File("r/f"),
        ),
        log(
            "file of the user",
            "user=nobody\nstdout_logfile=%(here)s/a/f\n",
            "mkdir $D/a; chown nobody $D/a",
            File("a/f"),
        ),
        log(
            "file that the user made",
            "user=nobody\nstdout_logfile=%(here)s/a/f\n",
            "mkdir $D/a; touch $D/a/f; chown -R nobody $D/a",
            File("a/f"),
        ),
        log(
            "link to proc 1 in the user's directory",
            "user=nobody\nstdout_logfile=%(here)s/a/l\nstdout_logfile_maxbytes=0\n",
            "mkdir $D/a; ln -s /proc/1/fd/1 $D/a/l; chown -Rh nobody $D/a",
            Container,
        ),
        log(
            "release behind the user's link",
            "user=nobody\nstdout_logfile=%(here)s/a/current/f\n",
            "mkdir -p $D/a/r; ln -s r $D/a/current; chown -Rh nobody $D/a",
            File("a/r/f"),
        ),
        log(
            "bound file",
            "stdout_logfile=%(here)s/f\n",
            "touch $D/r $D/f; mount --bind $D/r $D/f",
            File("r"),
        ),
        own("log on null", "logfile=/dev/null\nlogfile_maxbytes=0\n", ""),
        own("log on stdout", "logfile=/dev/stdout\nlogfile_maxbytes=0\n", ""),
        own("log on fd 1", "logfile=/dev/fd/1\nlogfile_maxbytes=0\n", ""),
        own("log on stderr", "logfile=/dev/stderr\nlogfile_maxbytes=0\n", ""),
        own("log on proc 1", "logfile=/proc/1/fd/1\nlogfile_maxbytes=0\n", ""),
        own("log on a link to stdout", "logfile=%(here)s/l\nlogfile_maxbytes=0\n", "ln -s /dev/stdout $D/l"),
        own("pidfile on null", "pidfile=/dev/null\n", ""),
        own("pidfile in shm", "pidfile=/dev/shm/s.pid\n", ""),
        own("pidfile in run", "pidfile=/run/idiom.pid\n", "mount -t tmpfs tmpfs /run"),
        own("pidfile behind a link", "pidfile=%(here)s/l\n", "ln -s real.pid $D/l"),
        own("bound pidfile", "pidfile=%(here)s/p\n", "touch $D/r $D/p; mount --bind $D/r $D/p"),
        own("pidfile where nothing can be written", "pidfile=/sys/kernel/idiom.pid\n", ""),
        own(
            "pidfile on a full disk",
            "pidfile=%(here)s/full/p\n",
            "mkdir $D/full; mount -t tmpfs -o size=4k,nr_inodes=20 tmpfs $D/full; head -c 4096 /dev/zero >$D/full/fill",
        ),
        own("stale pidfile", "pidfile=%(here)s/p\n", "echo 99999 >$D/p"),
        run("user root", "user=root\n", ""),
        run("user 0", "user=0\n", ""),
        run(
            "user nobody",
            "user=nobody\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile=/tmp/idiom-%(ENV_N)s.pid\n",
            "",
        ),
        run("root without capabilities", "user=root\n", "setpriv --bounding-set=-all --inh-caps=-all"),
        run(
            "started as nobody",
            "logfile=/dev/null\nlogfile_maxbytes=0\npidfile=/tmp/idiom-%(ENV_N)s.pid\n",
            "setpriv --reuid=65534 --regid=65534 --clear-groups",
        ),
        Idiom {
            name: "program as root",
            program: "user=root\nstdout_logfile=/dev/stdout\nstdout_logfile_maxbytes=0\n",
            ..PLAIN
        },
        Idiom {
            name: "program as nobody",
            program: "user=nobody\nstdout_logfile=/dev/stdout\nstdout_logfile_maxbytes=0\n",
            ..PLAIN
        },
    ]
}

/// What a container does before its daemon is executed; ends with that.
const CONTAINER: &str = r#"
set -e
mount -t tmpfs -o mode=755 tmpfs /dev
mknod -m 666 /dev/null c 1 3; mknod -m 666 /dev/zero c 1 5; mknod -m 666 /dev/full c 1 7
mknod -m 666 /dev/random c 1 8; mknod -m 666 /dev/urandom c 1 9
ln -s /proc/self/fd /dev/fd; ln -s /proc/self/fd/0 /dev/stdin; ln -s /proc/self/fd/1 /dev/stdout; ln -s /proc/self/fd/2 /dev/stderr
mkdir -m 1777 /dev/shm
"#;

/// Makes sure that a container ends.
struct Container(Child);

impl Drop for Container {
    fn drop(&mut self) {
        // The end of PID 1 is that of everything in the namespace. Whoever changed its user does not get the signal
        // that `unshare --kill-child` is to send.
        let pid = self.0.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        children.split(' ').filter_map(|pid| pid.parse().ok()).for_each(|pid| kill(pid, Signal::SIGKILL));
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether the idiom works, and what the daemon said.
fn works(idiom: &Idiom, side: Side) -> (bool, String) {
    static N: AtomicUsize = AtomicUsize::new(0);
    let directory = tempfile::Builder::new().prefix("supervisord-test-").tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let set_mode = |path: &Path, mode| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    set_mode(directory.path(), 0o755);
    // Whoever the program runs as.
    fs::write(path("ran"), "").unwrap();
    set_mode(&path("ran"), 0o666);
    let conf = format!(
        "[supervisord]\nnodaemon=true\nlogfile=%(here)s/d.log\npidfile=%(here)s/d.pid\n[supervisord]\n{}\n[program:p]\nstartsecs=0\n\
         command=/bin/sh -c 'echo hello; echo there >>%(here)s/ran; exec sleep 100'\n{}",
        idiom.daemon, idiom.program
    );
    // The later one of two equal keys is in force for both sides only within one section.
    let conf = merge(&conf, idiom.daemon);
    fs::write(path("s.conf"), conf).unwrap();
    let daemon = side.daemon();
    let words: Vec<String> = std::iter::once(daemon.get_program())
        .chain(daemon.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let script = format!(
        "{CONTAINER}\nD={}; export N={}\n{}\nexec {} {} -n -c $D/s.conf",
        directory.path().display(),
        N.fetch_add(1, Ordering::Relaxed),
        idiom.prepare,
        idiom.before,
        words.join(" "),
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", &script]);
    let (out, err) = (fs::File::create(path("out")).unwrap(), fs::File::create(path("err")).unwrap());
    // Pipes, as a container has them, but for what is printed before.
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let copies = [copy(child.stdout.take().unwrap(), out), copy(child.stderr.take().unwrap(), err)];
    let mut container = Container(child);
    let read = |name: &str| String::from_utf8_lossy(&fs::read(path(name)).unwrap_or_default()).into_owned();
    let is_seen = || match idiom.seen {
        Seen::Container => read("out").lines().chain(read("err").lines()).any(|line| line == "hello"),
        Seen::File(name) => read(name) == "hello\n",
        Seen::Nowhere => read("ran") == "there\n",
    };
    let deadline = Instant::now() + Duration::from_secs(15);
    let mut seen = false;
    while !seen && Instant::now() < deadline && container.0.try_wait().unwrap().is_none() {
        seen = is_seen();
        std::thread::yield_now();
        // Several of these run at a time, and the original needs the processor.
        let _ = rustix::thread::nanosleep(&rustix::fs::Timespec { tv_sec: 0, tv_nsec: 10_000_000 });
    }
    drop(container);
    copies.into_iter().for_each(|copy| copy.join().unwrap());
    (seen || is_seen(), format!("{}{}{}", read("out"), read("err"), read("d.log")))
}

/// Leaves out defaults for which the idiom has keys of its own.
fn merge(conf: &str, keys: &str) -> String {
    let own: Vec<&str> = keys.lines().filter_map(|line| line.split_once('=')).map(|(key, _)| key).collect();
    let (mut lines, mut n_sections) = (Vec::new(), 0);
    for line in conf.lines() {
        n_sections += usize::from(line == "[supervisord]");
        let is_default = n_sections == 1 && line.split_once('=').is_some_and(|(key, _)| own.contains(&key));
        let is_second_header = line == "[supervisord]" && n_sections == 2;
        if !is_default && !is_second_header {
            lines.push(line);
        }
    }
    lines.join("\n") + "\n"
}

fn copy(mut from: impl std::io::Read + Send + 'static, mut to: fs::File) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
    })
}

#[test]
fn what_works_with_the_original_works_here() {
    if !has_root("only root can make a container") {
        return;
    }
    assert!(Path::new("/proc/self/ns/mnt").exists());
    let idioms = idioms();
    let (next, failures) = (AtomicUsize::new(0), std::sync::Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(idiom) = idioms.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (ours, said) = works(idiom, Side::under_test());
                    println!("{}: {ours}", idiom.name);
                    let original = || works(idiom, Side::Original).0;
                    if !ours && (!Side::original_is_there() || original()) {
                        failures.lock().unwrap().push(format!("{}:\n{said}", idiom.name));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    println!("{} idioms", idioms.len());
    assert!(failures.is_empty(), "works with the original and not here:\n{}", failures.join("\n"));
}
