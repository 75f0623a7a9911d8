//! Credentials: what programs find of them, and that nobody else finds anything.

use crate::start;
use crate::support::{
    Client, Daemon, LONG, Side, Start, has_root, kill, member, run, running, text, until, until_some,
    wait_gone,
};
use nix::sys::signal::Signal;
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use supervisord::model::state::ProcessState::{Fatal, Running};

/// A user without any rights.
const SOMEBODY: u32 = 54_321;

fn section(name: &str, keys: &str) -> String {
    format!("[program:{name}]\ncommand=/bin/sleep 1000\nstartsecs=0\nstartretries=0\n{keys}\n")
}

fn file(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

fn why(daemon: &Daemon, name: &str) -> String {
    daemon.wait_for_state(name, Fatal, LONG);
    member(&daemon.info(name), "spawnerr")
}

fn variable(pid: i32) -> Option<PathBuf> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut variables = environment.split(|byte| *byte == 0);
    let value = variables.find_map(|line| line.strip_prefix(b"CREDENTIALS_DIRECTORY=".as_slice()))?;
    Some(PathBuf::from(String::from_utf8(value.to_vec()).unwrap()))
}

/// Where a running program finds its credentials.
fn directory_of(daemon: &Daemon, name: &str) -> PathBuf {
    daemon.wait_for_state(name, Running, LONG);
    until_some("its variable", LONG, || variable(daemon.pid_of(name)))
}

#[track_caller]
fn wait_removed(path: &Path) {
    until(&format!("{} is removed", path.display()), LONG, || !path.exists());
}

#[test]
fn each_start_has_fresh_copies_that_go_with_the_process() {
    let sources = tempfile::tempdir().unwrap();
    let (password, key) = (file(sources.path(), "p", "first"), file(sources.path(), "k", "key"));
    let user = if has_root("takes root, to give credentials away") {
        format!("user={SOMEBODY}\n")
    } else {
        String::new()
    };
    let mut daemon = start(&section(
        "x",
        &format!(
            "{user}credential.DB_Password={password}\nCREDENTIAL.tls-key.pem={key}\ncredential.no=-/nowhere\n\
             environment=CREDENTIALS_DIRECTORY=/mine\n"
        ),
    ));
    let first = directory_of(&daemon, "x");
    let facts = |path: PathBuf| path.metadata().map(|it| (it.mode() & 0o7777, it.uid())).unwrap();
    let owner = if user.is_empty() { nix::unistd::geteuid().as_raw() } else { SOMEBODY };
    assert_eq!(facts(first.clone()), (0o700, owner));
    assert_eq!(facts(first.join("DB_Password")), (0o400, owner));
    assert_eq!(fs::read_to_string(first.join("DB_Password")).unwrap(), "first");
    assert_eq!(fs::read_to_string(first.join("tls-key.pem")).unwrap(), "key");
    assert_eq!(fs::read_dir(&first).unwrap().count(), 2);
    let kind = std::process::Command::new("stat").args(["-f", "-c", "%T"]).arg(&first).output().unwrap();
    assert!(["tmpfs\n", "ramfs\n"].contains(&&*String::from_utf8_lossy(&kind.stdout)), "{kind:?}");

    fs::write(&password, "second").unwrap();
    daemon.ctl(&["restart", "x"]).expect(0);
    let second = directory_of(&daemon, "x");
    assert_ne!(first, second);
    wait_removed(&first);
    assert_eq!(fs::read_to_string(second.join("DB_Password")).unwrap(), "second");
    // It ends by itself and comes back.
    kill(daemon.pid_of("x"), Signal::SIGKILL);
    wait_removed(&second);
    let third = until_some("it is back", LONG, || variable(daemon.pid_of("x")).filter(|now| *now != second));
    daemon.ctl(&["stop", "x"]).expect(0);
    wait_removed(&third);
    daemon.ctl(&["start", "x"]).expect(0);
    let fourth = directory_of(&daemon, "x");
    daemon.ctl(&["shutdown"]).expect(0);
    daemon.wait_exit();
    assert!(!fourth.parent().unwrap().exists(), "the daemon's own goes with it");
}

#[test]
fn what_cannot_be_copied_fails_the_start_by_its_name() {
    let sources = tempfile::tempdir().unwrap();
    let at = |name: &str| sources.path().join(name);
    nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::File::create(at("sparse")).unwrap().set_len(1 << 30).unwrap();
    let good = file(sources.path(), "good", "good");
    let one = |name: &str, path: &Path| {
        section(name, &format!("credential.a={good}\ncredential.b={}\n", path.display()))
    };
    let daemon = start(
        &[
            one("fifo", &at("fifo")),
            one("device", Path::new("/dev/zero")),
            one("sparse", &at("sparse")),
            one("missing", &at("missing")),
            one("folder", sources.path()),
            section("other", ""),
        ]
        .concat(),
    );
    daemon.wait_for_state("other", Running, LONG);
    for (name, path, expected) in [
        ("fifo", at("fifo"), "it is not a regular file"),
        ("device", "/dev/zero".into(), "it is not a regular file"),
        ("sparse", at("sparse"), "it is larger than 1 MiB"),
        ("missing", at("missing"), "No such file or directory"),
        ("folder", sources.path().into(), "it is not a regular file"),
    ] {
        assert_eq!(why(&daemon, name), format!("credential b: {}: {expected}", path.display()));
    }
    assert_eq!(variable(daemon.pid_of("other")), None);
    // Nothing of the copies that could be made is left.
    let left = stores_of(daemon.manager());
    assert!(left.iter().all(|store| fs::read_dir(store).unwrap().count() == 0), "{left:?}");
}

/// The directories of a daemon in memory, as its manager or keeper has them open.
fn stores_of(pid: i32) -> Vec<PathBuf> {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let open = fds.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
    open.filter(|path| path.to_string_lossy().contains("/supervisord.credentials.")).collect()
}

/// A user who can exchange the file must not make root read another one for him.
#[test]
fn a_link_that_somebody_else_has_made_is_not_followed() {
    if !has_root("takes root, to read what others cannot") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("home");
    fs::create_dir(&home).unwrap();
    let secret = file(directory.path(), "secret", "roots");
    symlink(&secret, home.join("link")).unwrap();
    fs::hard_link(&secret, home.join("hard")).unwrap();
    std::os::unix::fs::chown(&home, Some(SOMEBODY), None).unwrap();
    std::os::unix::fs::lchown(home.join("link"), Some(SOMEBODY), None).unwrap();
    let one = |name: &str| {
        let path = home.join(name);
        section(name, &format!("user={SOMEBODY}\ncredential.a={}", path.display()))
    };
    let daemon = start(&[one("link"), one("hard")].concat());
    for name in ["link", "hard"] {
        let why = why(&daemon, name);
        assert!(why.starts_with(&format!("credential a: {}: ", home.join(name).display())), "{why}");
        assert!(why.contains("link"), "{why}");
    }
    assert_eq!(stores_of(daemon.manager()).len(), 1);
}

#[test]
fn a_killed_manager_s_successor_goes_on_with_them() {
    let sources = tempfile::tempdir().unwrap();
    let secret = file(sources.path(), "s", "secret");
    let one = |name: &str| section(name, &format!("autorestart=false\ncredential.a={secret}\n"));
    let daemon = start(&[one("stays"), one("ends")].concat());
    let (stays, ends) = (directory_of(&daemon, "stays"), directory_of(&daemon, "ends"));
    let manager = daemon.manager();
    // It does not see the end any more.
    kill(manager, Signal::SIGSTOP);
    let ending =
        daemon.programs().into_iter().map(|it| it.pid).find(|pid| variable(*pid).as_ref() == Some(&ends));
    let ending = ending.expect("it runs");
    kill(ending, Signal::SIGKILL);
    wait_gone(&[ending], LONG);
    assert!(ends.exists());
    kill(manager, Signal::SIGKILL);
    daemon.manager_after(manager);
    wait_removed(&ends);
    assert_eq!(fs::read_to_string(stays.join("a")).unwrap(), "secret");
    assert_eq!(directory_of(&daemon, "stays"), stays);
    // A second binary likewise.
    daemon.ctl(&["upgrade"]).expect(0);
    assert_eq!(fs::read_to_string(stays.join("a")).unwrap(), "secret");
    daemon.ctl(&["restart", "stays"]).expect(0);
    wait_removed(&stays);
    let other = directory_of(&daemon, "stays");
    assert_eq!(other.parent(), stays.parent());
    daemon.ctl(&["stop", "stays"]).expect(0);
    wait_removed(&other);
}

#[test]
fn what_a_killed_daemon_has_left_is_removed_at_the_next_start() {
    let sources = tempfile::tempdir().unwrap();
    let secret = file(sources.path(), "s", "secret");
    let mut daemon = start(&section("x", &format!("credential.a={secret}\n")));
    let before = directory_of(&daemon, "x");
    let program = daemon.pid_of("x");
    kill(daemon.keeper(), Signal::SIGKILL);
    daemon.wait_exit();
    wait_gone(&[program], LONG);
    daemon.start();
    wait_removed(before.parent().unwrap());
    assert!(directory_of(&daemon, "x").join("a").exists());
}

#[test]
fn a_program_that_outlives_its_daemon_keeps_its_own_until_its_end() {
    let sources = tempfile::tempdir().unwrap();
    let secret = file(sources.path(), "s", "secret");
    let one = |name: &str| section(name, &format!("autorestart=false\ncredential.a={secret}\n"));
    let conf = format!(
        "[supervisord]\nexitkillall=false\nstartkillall=false\nprocessinfomapfile=%(here)s/map\n{}{}",
        one("x"),
        one("y")
    );
    let mut daemon = start(&conf);
    daemon.wait_log("RUNNING state");
    let (x, y) = (directory_of(&daemon, "x"), directory_of(&daemon, "y"));
    let pids = [daemon.pid_of("x"), daemon.pid_of("y")];
    daemon.ctl(&["shutdown"]).expect(0);
    daemon.wait_exit();
    // While there is no daemon its keeper removes them.
    kill(pids[1], Signal::SIGKILL);
    wait_removed(&y);
    assert!(x.join("a").exists());
    daemon.start();
    assert_eq!(directory_of(&daemon, "x"), x);
    // Now without a keeper that could know anything.
    until("the table is written", LONG, || {
        !daemon.path("map.new").exists() && daemon.read("map").contains(&format!("    pid: {}\n", pids[0]))
    });
    daemon.kill_keeper();
    assert!(running(pids[0]));
    daemon.start();
    daemon.wait_for_state("x", Running, LONG);
    assert_eq!(daemon.pid_of("x"), pids[0]);
    assert_eq!(fs::read_to_string(x.join("a")).unwrap(), "secret");
    daemon.ctl(&["stop", "x"]).expect(0);
    wait_removed(x.parent().unwrap());
}

#[test]
fn listeners_and_servers_of_fastcgi_and_commands_of_probes_find_them() {
    let sources = tempfile::tempdir().unwrap();
    let secret = file(sources.path(), "s", "secret");
    let key = format!("credential.a={secret}\nstartsecs=0\n");
    let daemon = start(&format!(
        "[eventlistener:l]\ncommand=sleep 1000\nevents=TICK_3600\n{key}\
         [fcgi-program:f]\ncommand=sleep 1000\nsocket=unix://%(here)s/f.sock\n{key}\
         [program:p]\ncommand=sleep 1000\n{key}ready=exec:sh -c 'cat \"$CREDENTIALS_DIRECTORY/a\" >%(here)s/seen'\n"
    ));
    for name in ["l", "f", "p"] {
        assert_eq!(fs::read_to_string(directory_of(&daemon, name).join("a")).unwrap(), "secret");
    }
    assert_eq!(daemon.read("seen"), "secret");
    // A command makes no copies of its own.
    let store = directory_of(&daemon, "p").parent().unwrap().to_path_buf();
    assert_eq!(
        fs::read_dir(store).unwrap().filter(|it| it.as_ref().is_ok_and(|it| it.path().is_dir())).count(),
        3
    );
}

/// Its directory is the program's own, so it may put there what it likes.
#[test]
fn what_a_program_makes_of_its_directory_harms_nobody() {
    if !has_root("takes root, to run programs as another user") {
        return;
    }
    let sources = tempfile::tempdir().unwrap();
    let secret = file(sources.path(), "s", "secret");
    let victim = sources.path().join("victim");
    fs::create_dir(&victim).unwrap();
    fs::write(victim.join("precious"), "x").unwrap();
    let script = format!(
        "cd $CREDENTIALS_DIRECTORY && mkdir -p deep/er && ln -s {0} link && ln -s {0} deep/link && \
         for i in $(seq 400); do : >deep/$i; done && chmod 0 . && touch %(here)s/done; exec sleep 1000",
        victim.display()
    );
    let conf = section("x", "").replace("/bin/sleep 1000", &format!("/bin/sh -c '{script}'"));
    let conf = format!("{conf}user={SOMEBODY}\ncredential.a={secret}\nautostart=false\n");
    let daemon = start(&conf);
    fs::set_permissions(daemon.directory(), fs::Permissions::from_mode(0o777)).unwrap();
    daemon.call("supervisor.startProcess", vec![text("x")]);
    let directory = directory_of(&daemon, "x");
    until("it has filled its directory", LONG, || daemon.path("done").exists());
    daemon.ctl(&["stop", "x"]).expect(0);
    wait_removed(&directory);
    assert_eq!(fs::read_to_string(victim.join("precious")).unwrap(), "x");
}

/// Looks for a text in whatever a process has in its memory.
fn is_in_memory(pid: i32, wanted: &[u8]) -> bool {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut memory = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    maps.lines().any(|line| {
        let (range, rights) = line.split_once(' ').unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let bounds = [from, to].map(|number| u64::from_str_radix(number, 16).unwrap());
        // The shared memory is sparse and large.
        let length = bounds[1] - bounds[0];
        if !rights.starts_with('r') || length > 1 << 28 || memory.seek(SeekFrom::Start(bounds[0])).is_err() {
            return false;
        }
        let mut bytes = Vec::new();
        let _ = (&mut memory).take(length).read_to_end(&mut bytes);
        bytes.windows(wanted.len()).any(|window| window == wanted)
    })
}

#[test]
fn a_credential_is_nowhere_but_in_its_directory() {
    let sources = tempfile::tempdir().unwrap();
    // Nobody has it in a constant.
    let secret: String =
        (0..24).map(|i| char::from(b'a' + (i * 7 + (std::process::id() % 19) as u8) % 26)).collect();
    let secret = format!("{secret}-{}", std::process::id());
    let path = file(sources.path(), "s", &secret);
    let conf = format!(
        "[supervisord]\nloglevel=blather\n\
         processinfomapfile=%(here)s/map\n{}{}",
        section("x", &format!("credential.db={path}\nautorestart=false\n")),
        section("y", &format!("credential.bad={}\ncredential.db={path}\n", sources.path().display())),
    );
    let daemon = start(&conf);
    let directory = directory_of(&daemon, "x");
    assert_eq!(fs::read_to_string(directory.join("db")).unwrap(), secret);
    why(&daemon, "y");
    let wanted = secret.as_bytes();
    let has = |bytes: &[u8]| bytes.windows(wanted.len()).any(|window| window == wanted);

    for entry in fs::read_dir("/proc").unwrap() {
        let Ok(pid) = entry.unwrap().file_name().to_string_lossy().parse::<i32>() else { continue };
        for name in ["environ", "cmdline", "status", "comm"] {
            let text = fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            assert!(!has(&text), "/proc/{pid}/{name}");
        }
    }
    // Whoever looks at a process has to be allowed to; the keeper and its managers are closed to others than root.
    if nix::unistd::geteuid().is_root() {
        for pid in [daemon.keeper(), daemon.manager()] {
            assert!(!is_in_memory(pid, wanted), "in the memory of process {pid}");
            assert!(is_in_memory(pid, b"supervisord"), "the search finds what is there");
            // Snapshots, spools and the ledger are memory files that the keeper holds.
            for fd in fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten() {
                let Ok(metadata) = fs::metadata(fd.path()) else { continue };
                if metadata.is_file() && metadata.len() < 1 << 28 {
                    assert!(!has(&fs::read(fd.path()).unwrap_or_default()), "{:?}", fs::read_link(fd.path()));
                }
            }
        }
    }
    for entry in fs::read_dir(daemon.directory()).unwrap().flatten() {
        if entry.metadata().is_ok_and(|it| it.is_file()) {
            assert!(!has(&fs::read(entry.path()).unwrap_or_default()), "{}", entry.path().display());
        }
    }
    let mut client = Client::open(&daemon.address()).unwrap();
    for target in [
        "/",
        "/api/v1/processes",
        "/api/v1/processes/x:x",
        "/api/v1/config",
        "/api/v1/info",
        "/metrics",
        "/api/v1/logs",
    ] {
        let answer = client.get(target, "");
        assert!(!has(answer.text().as_bytes()), "{target}");
    }
    for method in ["supervisor.getAllProcessInfo", "supervisor.getAllConfigInfo", "supervisor.getState"] {
        assert!(!has(format!("{:?}", daemon.call(method, vec![])).as_bytes()), "{method}");
    }
    for words in [
        &["status", "--json"][..],
        &["status", "--long"],
        &["why", "x"],
        &["why", "y"],
        &["avail"],
        &["maintail"],
    ] {
        let run = daemon.ctl(words);
        assert!(!has(format!("{}{}", run.stdout, run.stderr).as_bytes()), "{words:?}");
    }
    let mut check = Side::under_test().daemon();
    let dump = run(check.arg("check").arg("--dump").arg("-c").arg(daemon.conf()));
    assert!(dump.stdout.contains(&format!("credential.db={path}")), "{dump}");
    assert!(!has(format!("{}{}", dump.stdout, dump.stderr).as_bytes()), "{dump}");
}

#[test]
fn without_a_place_in_memory_it_does_not_start() {
    if !has_root("takes root, to have other mounts") {
        return;
    }
    let sources = tempfile::tempdir().unwrap();
    let secret = file(sources.path(), "s", "secret");
    let place = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let hidden =
        format!("mount --bind {0} /dev/shm && mount --bind {0} /run && exec \"$@\"", place.path().display());
    let apart = ["unshare", "-m", "sh", "-c", &hidden, "sh"];
    let can = std::process::Command::new(apart[0]).args(&apart[1..]).arg("true").status();
    if !can.is_ok_and(|status| status.success()) {
        println!("skipped: nothing can be mounted here");
        return;
    }
    let conf = section("x", &format!("credential.a={secret}"));
    let daemon = Start::new(Side::under_test(), &conf).under(&apart).ready();
    let expected = "credentials: there is no place for it in memory (/dev/shm: it is not in memory (tmpfs); \
                    /run: it is not in memory (tmpfs))";
    assert_eq!(why(&daemon, "x"), expected);
}

#[test]
fn the_capability_that_giving_them_away_takes_is_named() {
    if !has_root("takes root, to run programs as another user") {
        return;
    }
    let sources = tempfile::tempdir().unwrap();
    let secret = file(sources.path(), "s", "secret");
    let conf = section("x", &format!("user={SOMEBODY}\ncredential.a={secret}"));
    let less = ["setpriv", "--bounding-set=-chown", "--inh-caps=-chown"];
    let daemon = Start::new(Side::under_test(), &conf).under(&less).ready();
    let expected = format!(
        "credential a: {secret}: its copy cannot be given to user {SOMEBODY}: Operation not permitted (CAP_CHOWN is missing)"
    );
    assert_eq!(why(&daemon, "x"), expected);
}
