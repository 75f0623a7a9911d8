//! Where the environment of a program comes from besides `environment`: files, the user, a part of the daemon's own.

use crate::start;
use crate::support::{Daemon, LONG, Side, Start, has_root, member, text, until_some};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use supervisord::model::state::ProcessState::{Fatal, Running};

/// Writes its environment to a file and sleeps.
fn teller(name: &str, keys: &str) -> String {
    format!(
        "[program:{name}]\ncommand=/bin/sh -c '/usr/bin/env -0 >%(here)s/{name}.new; /bin/mv %(here)s/{name}.new %(here)s/{name}.env; \
         exec /bin/sleep 1000'\nstartretries=0\n{keys}\n"
    )
}

fn told(daemon: &Daemon, name: &str) -> BTreeMap<String, String> {
    let path = daemon.path(&format!("{name}.env"));
    let told = until_some("its environment is told", LONG, || fs::read_to_string(&path).ok());
    let pairs = told.split('\0').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn why(daemon: &Daemon, name: &str) -> String {
    daemon.wait_for_state(name, Fatal, LONG);
    member(&daemon.info(name), "spawnerr")
}

#[test]
fn sources_lie_over_each_other_in_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let one = file(
        "one",
        "INHERITED=one\nGLOBAL=one\nOWN=one\nFIRST=one\nBOTH=one\nexport QUOTED=\"a\\nb $HOME %(here)s\" # c\n",
    );
    let two = file("two", "BOTH=two\nPATH=/two\n");
    let missing = directory.path().join("missing").display().to_string();
    let conf = format!(
        "[supervisord]\nenvironment=GLOBAL=global,ONLY_GLOBAL=global\n{}",
        teller("x", &format!("environment_file={one}, {two}, -{missing}\nenvironment=OWN=own"))
    );
    let daemon =
        Start::new(Side::under_test(), &conf).under(&["env", "INHERITED=inherited", "OTHER=other"]).ready();
    let told = told(&daemon, "x");
    for (name, value) in [
        ("INHERITED", "one"),
        ("OTHER", "other"),
        ("GLOBAL", "one"),
        ("ONLY_GLOBAL", "global"),
        ("OWN", "own"),
        ("FIRST", "one"),
        ("BOTH", "two"),
        ("PATH", "/two"),
        ("QUOTED", "a\nb $HOME %(here)s"),
        ("SUPERVISOR_PROCESS_NAME", "x"),
    ] {
        assert_eq!(told.get(name).map(String::as_str), Some(value), "{name}");
    }
}

/// Each start reads it again; nothing of it is told to anybody.
#[test]
fn a_file_is_read_at_each_start_and_what_is_wrong_with_it_is_told_without_its_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("env");
    fs::write(&path, "TOKEN=first-secret\n").unwrap();
    let daemon = start(&teller("x", &format!("environment_file={}\nautostart=false", path.display())));
    let start_x = || daemon.try_call("supervisor.startProcess", vec![text("x")]);
    start_x().expect("it starts");
    assert_eq!(told(&daemon, "x")["TOKEN"], "first-secret");
    daemon.call("supervisor.stopProcess", vec![text("x")]);
    fs::remove_file(daemon.path("x.env")).unwrap();
    fs::write(&path, "TOKEN=second-secret\n").unwrap();
    start_x().expect("it starts");
    assert_eq!(told(&daemon, "x")["TOKEN"], "second-secret");
    daemon.call("supervisor.stopProcess", vec![text("x")]);
    fs::write(&path, "A=1\nTOKEN='third-secret\n").unwrap();
    let fault = start_x().expect_err("the file is wrong");
    let expected =
        format!("environment_file {}: line 2: the single quote that begins here has no end", path.display());
    assert_eq!(why(&daemon, "x"), expected);
    for said in
        [fault.string().to_string(), fs::read_to_string(daemon.path("supervisord.log")).unwrap_or_default()]
    {
        assert!(!said.contains("secret"), "{said}");
    }
}

#[test]
fn what_is_no_usable_file_fails_the_start_and_holds_nobody_up() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::write(at("large"), vec![b'#'; (1 << 20) + 1]).unwrap();
    fs::File::create(at("sparse")).unwrap().set_len(1 << 30).unwrap();
    let section = |name: &str, path: &str| teller(name, &format!("environment_file={path}"));
    let conf: String = [
        section("fifo", &at("fifo").display().to_string()),
        section("device", "/dev/zero"),
        section("large", &at("large").display().to_string()),
        section("sparse", &at("sparse").display().to_string()),
        section("directory", &directory.path().display().to_string()),
        section("missing", &at("missing").display().to_string()),
        "[program:other]\ncommand=sleep 1000\n".into(),
    ]
    .concat();
    let daemon = start(&conf);
    daemon.wait_for_state("other", Running, LONG);
    let says = |name: &str, end: &str| {
        let why = why(&daemon, name);
        assert!(why.starts_with("environment_file /") && why.ends_with(end), "{name}: {why}");
    };
    says("fifo", ": it is not a regular file");
    says("device", ": it is not a regular file");
    says("large", ": it is larger than 1 MiB");
    says("sparse", ": it is larger than 1 MiB");
    says("missing", ": No such file or directory");
    let why = why(&daemon, "directory");
    assert!(why.starts_with("environment_file "), "{why}");
}

/// A user who can exchange the file must not make root read another one for him.
#[test]
fn a_link_that_somebody_else_has_made_is_not_followed() {
    if !has_root("takes root, to read what others cannot") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (home, secret) = (directory.path().join("home"), directory.path().join("secret"));
    fs::create_dir(&home).unwrap();
    fs::write(&secret, "SECRET=1\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    symlink(&secret, home.join("env")).unwrap();
    nix::unistd::chown(&home, Some(65_534.into()), Some(65_534.into())).unwrap();
    nix::unistd::fchownat(
        nix::fcntl::AT_FDCWD,
        &home.join("env"),
        Some(65_534.into()),
        Some(65_534.into()),
        nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW,
    )
    .unwrap();
    let daemon = start(&teller("x", &format!("environment_file={}", home.join("env").display())));
    let why = why(&daemon, "x");
    assert!(why.starts_with("environment_file "), "{why}");
    assert!(!daemon.path("x.env").exists());
}

#[test]
fn a_program_inherits_what_it_is_to() {
    let all = teller("all", "");
    let none = teller("none", "environment_inherit=none\nenvironment=PATH=/bin");
    let some = teller("some", "environment_inherit=PATH, LC_*, *_X_*\nenvironment=OWN=1");
    let daemon = Start::new(Side::under_test(), &format!("{all}{none}{some}"))
        .under(&["env", "SECRET=1", "LC_ALL=C", "A_X_B=2"])
        .ready();
    let has = |name: &str| {
        let told = told(&daemon, name);
        ["SECRET", "LC_ALL", "A_X_B", "PATH", "OWN", "SUPERVISOR_ENABLED"].map(|name| told.contains_key(name))
    };
    assert_eq!(has("all"), [true, true, true, true, false, true]);
    assert_eq!(has("none"), [false, false, false, true, false, true]);
    assert_eq!(has("some"), [false, true, true, true, true, true]);
}

#[test]
fn the_user_s_own_variables_are_set_where_they_are_wanted() {
    if !has_root("takes root, to run programs as another user") {
        return;
    }
    let conf = [
        teller("plain", "user=daemon\nautostart=false"),
        teller("own", "user=daemon\nautostart=false\nuser_environment=true\nenvironment=USER=other"),
        teller("unknown", "user=54321\nuser_environment=true"),
    ]
    .concat();
    let start = Start::new(Side::under_test(), &conf).under(&["env", "HOME=/of/the/daemon"]);
    let daemon = start.ready();
    fs::set_permissions(daemon.directory(), fs::Permissions::from_mode(0o777)).unwrap();
    for name in ["plain", "own"] {
        daemon.call("supervisor.startProcess", vec![text(name)]);
    }
    assert_eq!(told(&daemon, "plain")["HOME"], "/of/the/daemon");
    let own = told(&daemon, "own");
    let user = nix::unistd::User::from_name("daemon").unwrap().expect("Debian has it");
    assert_eq!(own["HOME"], user.dir.display().to_string());
    assert_eq!((&*own["USER"], &*own["LOGNAME"]), ("other", "daemon"));
    assert_eq!(own["SHELL"], user.shell.display().to_string());
    assert_eq!(why(&daemon, "unknown"), "user_environment: there is no user with the number 54321");
}
