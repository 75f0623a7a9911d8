//! A program that is given a credential, is confined, and is responsible for whoever it has started, ends and is started
//! again: the manager is killed on this way. Nobody and nothing of its former life stays.

use super::*;
use std::cell::Cell;
use std::path::PathBuf;

/// Those who have left their parents and their sessions; they do what the bystander does elsewhere.
fn left_behind(daemon: &Daemon) -> Vec<i32> {
    let programs = daemon.programs().into_iter();
    programs
        .filter(|program| program.cmdline == BYSTANDER && running(program.pid))
        .map(|program| program.pid)
        .collect()
}

/// Where a program finds its credentials.
fn credentials(pid: i32) -> Option<PathBuf> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let found =
        environment.split(|byte| *byte == 0).find_map(|word| word.strip_prefix(b"CREDENTIALS_DIRECTORY="));
    Some(PathBuf::from(String::from_utf8(found?.to_vec()).ok()?))
}

#[test]
fn nothing_of_a_confined_program_outlives_it() {
    if !support::has_root("takes root, to make namespaces") {
        return;
    }
    // Not below /tmp, which it does not see.
    let files = tempfile::tempdir_in("/dev/shm").expect("there is memory");
    let here = files.path().display();
    fs::write(files.path().join("secret"), "secret\n").expect("the directory is the test's");
    let trigger = files.path().join("trigger");
    nix::unistd::mkfifo(&trigger, nix::sys::stat::Mode::S_IRWXU).expect("the directory is the test's");
    let mut trigger =
        OpenOptions::new().read(true).write(true).open(trigger).expect("it was just made, and is open");
    let daemon = start(&format!(
        "
[program:p]
command=/bin/sh -c 'read -r token < $CREDENTIALS_DIRECTORY/token; [ \"$token\" = secret ] || echo \"token $$\" >> wrong; \
         for file in /tmp/*; do [ -e \"$file\" ] && echo \"tmp $$\" >> wrong; done; > /tmp/mine; \
         (setsid {BYSTANDER} &); echo $$ >> lives; read -r line < trigger; exit 3'
directory={here}
startsecs=0
autostart=false
autorestart=true
stop_scope=tree
private_tmp=true
seccomp=@service
credential.token={here}/secret
"
    ));
    let read = |name: &str| fs::read_to_string(files.path().join(name)).unwrap_or_default();
    let lives = || -> Vec<i32> { read("lives").lines().map(|line| line.parse().expect("a pid")).collect() };
    daemon.call("supervisor.startProcess", vec![text("p"), flag(true)]);
    let before = Cell::new((0, 0));
    at_points(
        &daemon,
        // Each takes a second, which is the pace of restarts.
        Share::Few,
        || {
            until("it lives, and somebody whom it has left", LONG, || {
                let pid = daemon.pid_of("p");
                alive(&daemon) == [pid] && lives().last() == Some(&pid) && left_behind(&daemon).len() == 1
            });
            before.set((lives().len(), left_behind(&daemon)[0]));
        },
        || {
            trigger.write_all(b"end\n").expect("the test reads it, too, so it is open");
            until("it lives again", LONG, || lives().len() > before.get().0);
            false
        },
        |point, _| {
            daemon.wait_for_state("p", Running, LONG);
            let (n_lives, former) = before.get();
            let pid = daemon.pid_of("p");
            assert_alive(&daemon, 1, point);
            assert_eq!(lives().len(), n_lives + 1, "point {point}");
            until(&format!("nobody of the former life is left after point {point}"), LONG, || {
                let left = left_behind(&daemon);
                left.len() == 1 && !left.contains(&former)
            });
            let own = credentials(pid).expect("it has a credential");
            // Beside it stands a note of whose it is.
            let name = own.file_name().and_then(|name| name.to_str()).expect("a name").to_string();
            until(
                &format!("nothing of a former life's credentials is left after point {point}"),
                LONG,
                || {
                    let all = fs::read_dir(own.parent().expect("the daemon's")).expect("it is there");
                    all.flatten().all(|entry| entry.file_name().to_string_lossy().starts_with(&name))
                },
            );
            assert!(own.join("token").exists(), "point {point}");
            assert_eq!(read("wrong"), "", "point {point}");
            let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
            assert!(status.contains("\nSeccomp:\t2\n"), "point {point}");
        },
    );
}
