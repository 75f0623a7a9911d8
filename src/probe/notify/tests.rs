use super::*;
use proptest::prelude::*;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix};
use std::io::{BufRead, BufReader, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_pid()
}

fn own_uid() -> u32 {
    rustix::process::getuid().as_raw()
}

fn received(socket: impl AsFd, most: usize) -> Vec<Message> {
    let mut messages = Vec::new();
    receive(socket, most, |message| messages.push(message)).unwrap();
    messages
}

/// Messages as they come, until there are so many.
fn await_messages(socket: &OwnedFd, number: usize) -> Vec<Message> {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut messages = Vec::new();
    while messages.len() < number {
        assert!(Instant::now() < deadline, "{messages:?}");
        messages.extend(received(socket, 64));
        std::thread::yield_now();
    }
    messages
}

#[test]
fn messages_are_taken_apart() {
    let none = Notices::default;
    let us = Duration::from_micros;
    for (message, expected) in [
        (&b""[..], none()),
        (b"READY=1", Notices { is_ready: true, ..none() }),
        (b"READY=1\n", Notices { is_ready: true, ..none() }),
        (b"READY=1\0", Notices { is_ready: true, ..none() }),
        (b"READY=0\nREADY=\nREADY\n=1\nready=1\n READY=1", none()),
        (b"A=1\0READY=1", none()),
        (b"X_MINE=1\nREADY=1\nUNKNOWN", Notices { is_ready: true, ..none() }),
        (b"STOPPING=1", Notices { is_stopping: true, ..none() }),
        (
            b"RELOADING=1\nMONOTONIC_USEC=1234567",
            Notices { is_reloading: true, since: Some(Monotonic(1_234_567_000)), ..none() },
        ),
        (b"STATUS=a = b", Notices { status: Some("a = b".into()), ..none() }),
        (b"STATUS=", Notices { status: Some(String::new()), ..none() }),
        (b"STATUS=one\nSTATUS=two", Notices { status: Some("one".into()), ..none() }),
        (
            b"STATUS=gr\xfcn\nREADY=1",
            Notices { status: Some("gr\u{fffd}n".into()), is_ready: true, ..none() },
        ),
        (b"WATCHDOG=1", Notices { watchdog: Some(WatchdogNotice::Alive), ..none() }),
        (b"WATCHDOG=trigger", Notices { watchdog: Some(WatchdogNotice::Trigger), ..none() }),
        (b"WATCHDOG=2", none()),
        (b"WATCHDOG_USEC=20000000", Notices { watchdog_interval: Some(us(20_000_000)), ..none() }),
        (b"WATCHDOG_USEC=0", Notices { watchdog_interval: Some(Duration::ZERO), ..none() }),
        (b"EXTEND_TIMEOUT_USEC=5000000", Notices { extend_timeout: Some(us(5_000_000)), ..none() }),
        (b"EXTEND_TIMEOUT_USEC=soon\nWATCHDOG_USEC=-1", none()),
        (b"EXTEND_TIMEOUT_USEC=99999999999999999999", none()),
        (b"MONOTONIC_USEC=18446744073709551615", Notices { since: Some(Monotonic(u64::MAX)), ..none() }),
        (b"MAINPID=4711", Notices { main_pid: Some(4711), ..none() }),
        (b"MAINPID=0\nMAINPID=-5\nMAINPID=99999999999\nMAINPID=", none()),
        (b"ERRNO=2\nSTATUS=no file", Notices { errno: Some(2), status: Some("no file".into()), ..none() }),
        (b"BARRIER=1", Notices { is_barrier: true, ..none() }),
        (b"FDSTORE=1\nFDNAME=x\nNOTIFYACCESS=all\nEXIT_STATUS=1", none()),
    ] {
        assert_eq!(Notices::parse(message), expected, "{:?}", String::from_utf8_lossy(message));
    }
}

proptest! {
    /// Anything may come.
    #[test]
    fn no_message_is_too_strange(message in prop::collection::vec(any::<u8>(), 0..200)) {
        Notices::parse(&message);
    }

    /// What is understood is understood among whatever else there is, in any order.
    #[test]
    fn assignments_do_not_depend_on_each_other(
        mut lines in prop::collection::vec("[A-Z_]{0,6}=?[ -~]{0,6}", 0..6),
        at in any::<prop::sample::Index>(),
        usec in any::<u32>(),
    ) {
        lines.retain(|line| !line.starts_with("STATUS=") && !line.contains("READY=1"));
        let without = Notices::parse(lines.join("\n").as_bytes());
        lines.insert(at.index(lines.len() + 1), format!("READY=1\nWATCHDOG_USEC={usec}"));
        let with = Notices::parse(lines.join("\n").as_bytes());
        let expected = Notices {
            is_ready: true,
            watchdog_interval: Some(Duration::from_micros(usec.into())),
            ..without
        };
        prop_assert_eq!(with, expected);
    }
}

#[test]
fn a_socket_for_all_users_in_a_directory_of_our_own() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let first = Socket::bind(&path).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o666);
    assert_eq!(socket::identity(&path), Some(first.identity()));
    assert!(rustix::io::fcntl_getfd(&first.fd).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    // Another daemon reads from it.
    let error = Socket::bind(&path).unwrap_err();
    assert!(error.to_string().contains("listens on it"), "{error}");
    // A former one does not.
    drop(first);
    let second = Socket::bind(&path).unwrap();
    socket::remove(second.path(), second.identity());
    assert!(!path.exists());

    let told = |path: &Path| Socket::bind(path).unwrap_err().to_string();
    assert!(told(&directory.path().join("n".repeat(120))).contains("choose a shorter directory"));
    assert!(told(Path::new("notify")).contains("slash"));
    let open = directory.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    assert!(told(&open.join("notify")).contains("anybody could exchange it"));
    if rustix::process::geteuid().is_root() {
        let hers = directory.path().join("hers");
        std::fs::create_dir(&hers).unwrap();
        std::os::unix::fs::chown(&hers, Some(54_321), None).unwrap();
        assert!(told(&hers.join("notify")).contains("user 54321 could exchange it"));
    }
}

#[test]
fn messages_come_with_their_senders_in_order_and_not_too_many_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let socket = Socket::bind(&path).unwrap();
    assert!(received(&socket.fd, 64).is_empty());
    let sender = UnixDatagram::unbound().unwrap();
    sender.connect(&path).unwrap();
    for number in 0..5 {
        sender.send(format!("STATUS={number}").as_bytes()).unwrap();
    }
    // As a manager that finds the descriptor with the keeper.
    let inherited = socket.fd.try_clone().unwrap();
    drop(socket);
    let statuses = |most| {
        let messages = received(&inherited, most);
        messages
            .into_iter()
            .map(|message| {
                assert_eq!((message.sender.pid, message.sender.uid), (own_pid(), own_uid()));
                message.notices.status.unwrap()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(statuses(3), ["0", "1", "2"]);
    assert_eq!(statuses(64), ["3", "4"]);
    assert_eq!(statuses(64), [""; 0]);
    // One that is too long says nothing, and does not hide the next one.
    let mut long = b"READY=1\nSTATUS=".to_vec();
    long.resize(LONGEST + 1, b'x');
    sender.send(&long).unwrap();
    sender.send(&long[..LONGEST]).unwrap();
    let messages = received(&inherited, 64);
    assert!(messages[0].is_too_long && messages[0].notices == Notices::default());
    assert!(!messages[1].is_too_long && messages[1].notices.is_ready);
    assert_eq!(messages.len(), 2);
}

fn send_with(sender: &UnixDatagram, path: &Path, bytes: &[u8], fds: &[&OwnedFd]) {
    let fds: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&fds)));
    let address = SocketAddrUnix::new(path).unwrap();
    let bytes = [IoSlice::new(bytes)];
    rustix::net::sendmsg_addr(sender, &address, &bytes, &mut ancillary, SendFlags::empty()).unwrap();
}

fn is_closed(read: &OwnedFd) -> bool {
    crate::probe::read_available(read.as_fd(), &mut [0; 8]) == Some(0)
}

#[test]
fn descriptors_are_closed_and_a_barrier_only_when_all_is_done() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let socket = Socket::bind(&path).unwrap();
    let sender = UnixDatagram::unbound().unwrap();
    for (text, n_fds, is_held) in [
        (&b"FDSTORE=1"[..], 1, false),
        (b"READY=1", 8, false),
        (b"BARRIER=1", 1, true),
        // Not as the protocol has it.
        (b"BARRIER=1", 2, false),
        (b"BARRIER=1\nREADY=1", 1, false),
        (b"BARRIER=1", 8, false),
    ] {
        let (read, write) = rustix::pipe::pipe().unwrap();
        send_with(&sender, &path, text, &vec![&write; n_fds]);
        drop(write);
        assert!(!is_closed(&read), "it is in the socket");
        let messages = received(&socket.fd, 64);
        assert_eq!(messages.len(), 1);
        assert_eq!(is_closed(&read), !is_held, "{text:?} with {n_fds}");
        drop(messages);
        assert!(is_closed(&read));
    }
}

/// The tool itself sends, waits for the barrier, and ends only then.
#[test]
fn systemds_own_tool_is_understood() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let socket = Socket::bind(&path).unwrap();
    let mut tool = Command::new("systemd-notify");
    tool.args(["--ready", "--status=serving"]).env("NOTIFY_SOCKET", &path);
    let Ok(mut tool) = tool.spawn() else {
        println!("skipped: systemd-notify is not installed");
        return;
    };
    let mut notices = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(20);
    let status = loop {
        notices.extend(received(&socket.fd, 64).into_iter().map(|message| message.notices));
        if let Some(status) = tool.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "it waits: {notices:?}");
        std::thread::yield_now();
    };
    assert!(status.success(), "{status}");
    assert!(notices[0].is_ready && notices[0].status.as_deref() == Some("serving"), "{notices:?}");
}

fn credentials(pid: i32, uid: u32) -> Credentials {
    Credentials { pid, uid, gid: 0 }
}

/// Programs by their main pids: 100 of user 33, 200 of user 44.
fn by_pid(pid: i32) -> Option<Program<&'static str>> {
    match pid {
        100 => Some(Program { name: "web", uid: 33 }),
        200 => Some(Program { name: "db", uid: 44 }),
        _ => None,
    }
}

#[test]
fn who_speaks_for_whom() {
    let alone = |uid: u32| (uid == 44).then_some("db");
    let kin = |pid, parent, group, session| Kin { pid, parent, group, session, start_ticks: 0 };
    for (line, uid, expected, why) in [
        (Some(vec![kin(101, 100, 100, 7), kin(100, 7, 100, 7)]), 33, Some("web"), "a child"),
        (Some(vec![kin(101, 100, 100, 7), kin(100, 7, 100, 7)]), 0, Some("web"), "a child as another user"),
        (
            Some(vec![kin(101, 1, 100, 7), kin(1, 0, 1, 1)]),
            33,
            Some("web"),
            "in the background, in its group",
        ),
        (
            Some(vec![kin(101, 1, 101, 200), kin(1, 0, 1, 1)]),
            44,
            Some("db"),
            "in the background, in its session",
        ),
        (
            Some(vec![kin(101, 1, 100, 7), kin(1, 0, 1, 1)]),
            44,
            None,
            "in the group of another user's program",
        ),
        (
            Some(vec![kin(101, 100, 200, 7), kin(100, 7, 100, 7)]),
            33,
            Some("web"),
            "descent counts more than the group",
        ),
        (
            Some(vec![kin(102, 101, 102, 102), kin(101, 1, 100, 7)]),
            33,
            Some("web"),
            "a child of what is in the background",
        ),
        (Some(vec![kin(300, 1, 300, 300), kin(1, 0, 1, 1)]), 44, None, "a stranger of the user"),
        (None, 44, Some("db"), "gone, and its user has one program"),
        (None, 33, None, "gone, and its user has several, or none"),
    ] {
        let pid = line.as_ref().map_or(999, |line| line[0].pid);
        let found = program_by(credentials(pid, uid), line.as_deref(), by_pid, alone);
        assert_eq!(found, expected, "{why}");
    }
    // The main process itself need not be there any more.
    assert_eq!(program_of(credentials(100, 0), by_pid, |_| None), Some("web"));
    // One that cannot be seen from here has no pid.
    assert_eq!(program_of(credentials(0, 44), by_pid, alone), Some("db"));
}

/// A shell that leads a group, and what it runs.
struct Shell(Child);

impl Shell {
    fn run(script: &str, path: &Path) -> Shell {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).env("NOTIFY_SOCKET", path).env("SEND", SEND);
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        Shell(shell.spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        self.0.id() as i32
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.0.wait();
    }
}

/// Sends its first argument, says so, and waits for a line if there is a second one.
const SEND: &str = "import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.sendto(sys.argv[1].encode(), os.environ['NOTIFY_SOCKET'])
if len(sys.argv) > 2: sys.stdin.readline()
";

#[test]
fn children_orphans_and_those_who_are_gone_speak_for_their_program() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let socket = Socket::bind(&path).unwrap();
    for (script, is_there) in [
        // A child that waits, one that is in the background without a parent, and one that has sent and ended.
        ("python3 -c \"$SEND\" READY=1 wait", true),
        ("(python3 -c \"$SEND\" READY=1 wait <&0 &); read line", true),
        ("python3 -c \"$SEND\" READY=1; echo gone; read line", false),
    ] {
        let mut shell = Shell::run(script, &path);
        if !is_there {
            let mut line = String::new();
            BufReader::new(shell.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
            assert_eq!(line, "gone\n");
        }
        let message = await_messages(&socket.fd, 1).remove(0);
        assert!(message.notices.is_ready);
        assert_eq!(kin::ancestry(message.sender.pid, |_| true).is_some(), is_there, "{script}");
        assert_eq!(kin::belongs_to(message.sender.pid, shell.pid()), is_there, "{script}");
        let known = |pid| (pid == shell.pid()).then_some(Program { name: "x", uid: own_uid() });
        let alone = |uid| (uid == own_uid()).then_some("x");
        let heard = |alone: &dyn Fn(u32) -> Option<&'static str>| program_of(message.sender, known, alone);
        assert_eq!(heard(&alone), Some("x"), "{script}");
        // With another program of the same user, only those who are there can be told apart.
        assert_eq!(heard(&|_| None), is_there.then_some("x"), "{script}");
        shell.0.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }
    // A stranger who is there is not heard, even if there is just one program of that user.
    let stranger = Shell::run("exec python3 -c \"$SEND\" READY=1 wait", &path);
    let message = await_messages(&socket.fd, 1).remove(0);
    assert_eq!(message.sender.pid, stranger.pid());
    let other = Shell::run("read line", &path);
    let known = |pid| (pid == other.pid()).then_some(Program { name: "x", uid: own_uid() });
    assert_eq!(program_of(message.sender, known, |_| Some("x")), None);
}

#[test]
fn what_nobody_has_taken_to_its_end_stays() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    rustix::net::sockopt::set_socket_passcred(&ours, true).unwrap();
    theirs.send(b"READY=1").unwrap();
    let is_killed = std::panic::catch_unwind(|| receive(&ours, 64, |_| panic!("killed")));
    assert!(is_killed.is_err());
    let messages = received(&ours, 64);
    assert!(matches!(&messages[..], [message] if message.notices.is_ready), "{messages:?}");
    assert!(received(&ours, 64).is_empty());
}
