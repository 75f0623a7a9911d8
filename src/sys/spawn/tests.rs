use super::*;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering::*;

fn program(file: &str, arguments: &[&str]) -> Program {
    Program {
        file: CString::new(file).unwrap(),
        written: file.to_string(),
        arguments: arguments.iter().map(|word| CString::new(*word).unwrap()).collect(),
        environment: vec![],
        directory: None,
        umask: None,
        user: UserChange::Stay,
        descriptors: None,
        file_size: None,
        oom_score_adj: None,
        settings: Vec::new(),
        confine: None,
        dies_with: None,
        cgroup: None,
    }
}

/// Spawns with standard output and error going to a pipe, and returns what was written.
fn run(program: &Program) -> (i32, Option<Failure>, String) {
    let mut spawner = Spawner::new().unwrap();
    let pipe = crate::sys::pipe::output().unwrap();
    let end = crate::sys::pipe::writing_end(&pipe, crate::sys::pipe::Ends::Own).unwrap();
    let null = std::fs::File::open("/dev/null").unwrap();
    let pid = AtomicI32::new(0);
    let stdio =
        Stdio { stdin: null.as_fd(), stdout: end.as_fd(), stderr: end.as_fd(), listeners: &[], other: None };
    let (returned, failure) = spawner.spawn(program, stdio, &pid, &Progress::default()).unwrap();
    drop(end);
    rustix::io::ioctl_fionbio(&pipe, false).unwrap();
    let mut text = String::new();
    io::Read::read_to_string(&mut std::fs::File::from(pipe), &mut text).unwrap();
    assert_eq!(returned, pid.load(SeqCst));
    (returned, failure, text)
}

#[test]
fn a_program_runs_with_its_arguments() {
    let (pid, failure, text) =
        run(&program("/bin/sh", &["sh", "-c", "echo $0 $1; ls /proc/self/fd | wc -l", "a"]));
    assert!(pid > 0 && failure.is_none());
    // 0, 1, 2 and the one `ls` has open on the directory.
    assert_eq!(text, "a\n4\n");
}

#[test]
fn what_fails_is_told_to_both_sides() {
    let (_, failure, text) = run(&program("/nope", &["nope"]));
    assert_eq!(
        failure,
        Some(Failure { stage: Stage::Exec, errno: libc::ENOENT, lacks_capability: false, setting: 0 })
    );
    assert_eq!(text, "supervisor: couldn't exec /nope: ENOENT\nsupervisor: child process was not spawned\n");

    let mut lost = program("/bin/true", &["true"]);
    lost.directory = Some(c"/nonexistent".into());
    let (_, failure, text) = run(&lost);
    let failure = failure.unwrap();
    assert_eq!(failure.describe(&lost), "couldn't chdir to /nonexistent: ENOENT");
    assert!(text.starts_with("supervisor: couldn't chdir to /nonexistent: ENOENT\n"), "{text}");
}

#[test]
fn what_is_forbidden_ends_before_its_exec() {
    let mut spawner = Spawner::new().unwrap();
    let null = std::fs::File::open("/dev/null").unwrap();
    let stdio = Stdio {
        stdin: null.as_fd(),
        stdout: null.as_fd(),
        stderr: null.as_fd(),
        listeners: &[],
        other: None,
    };
    let file = tempfile::tempdir().unwrap().path().join("ran");
    let progress = Progress::default();
    progress.forbid();
    let touch = program("/bin/sh", &["sh", "-c", &format!("> {}", file.display())]);
    let (pid, failure) = spawner.spawn(&touch, stdio, &AtomicI32::new(0), &progress).unwrap();
    assert!(pid > 0 && failure.is_none() && progress.stage() == Some(Stage::Exec));
    // Our parent's child, so somebody else waits for it; its end is near either way.
    assert!(!file.exists());
}

#[test]
fn listening_sockets_begin_at_three_and_are_announced() {
    let mut spawner = Spawner::new().unwrap();
    let pipe = crate::sys::pipe::output().unwrap();
    let end = crate::sys::pipe::writing_end(&pipe, crate::sys::pipe::Ends::Own).unwrap();
    let files = tempfile::tempdir().unwrap();
    let open = |name: &str| {
        std::fs::write(files.path().join(name), name).unwrap();
        std::fs::File::open(files.path().join(name)).unwrap()
    };
    let (zero, one, two) = (open("zero"), open("one"), open("two"));
    let script = "cat <&0; cat <&3; cat <&4; echo; echo $LISTEN_FDS $(($LISTEN_PID - $$)); echo ready >&9";
    let stdio = Stdio {
        stdin: zero.as_fd(),
        stdout: end.as_fd(),
        stderr: end.as_fd(),
        listeners: &[one.as_fd(), two.as_fd()],
        other: Some((end.as_fd(), 9)),
    };
    let mut wanted = program("/bin/sh", &["sh", "-c", script]);
    wanted.environment = vec![c"PATH=/bin:/usr/bin".into()];
    let (_, failure) = spawner.spawn(&wanted, stdio, &AtomicI32::new(0), &Progress::default()).unwrap();
    assert_eq!(failure, None);
    drop(end);
    rustix::io::ioctl_fionbio(&pipe, false).unwrap();
    let mut text = String::new();
    io::Read::read_to_string(&mut std::fs::File::from(pipe), &mut text).unwrap();
    assert_eq!(text, "zeroonetwo\n2 0\nready\n");
}
