//! Races against the users in whose directories the daemon's files lie: an attacker exchanges names as fast as the
//! machine allows while we open, make, rotate, clear, read and give away a thousand times and more. Whether the attacker
//! won once is seen in what nobody but root could have touched.

use rustix::net::SocketType;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use supervisord::files::location::Missing;
use supervisord::files::open::{self, Opened};
use supervisord::files::socket::{self, SocketSpec};
use supervisord::files::{replace, trust};
use supervisord::log::sinks::rotate;

/// Somebody without an entry among the users.
const ALICE: u32 = 54_321;

/// How often each is tried.
const ROUNDS: usize = 3000;

/// Root's directory with root's file in it, alice's directory, and alice.
struct Field {
    directory: tempfile::TempDir,
    theirs: PathBuf,
    precious: PathBuf,
}

/// Alice at work; she ends with this value.
struct Attacker(Child);

impl Drop for Attacker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Field {
    /// `None`, with a word, if we are not root.
    fn new() -> Option<Field> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root can be attacked like this");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (theirs, roots) = (directory.path().join("alice"), directory.path().join("roots"));
        fs::create_dir(&theirs).unwrap();
        fs::create_dir(&roots).unwrap();
        chown(&theirs, Some(ALICE), Some(ALICE)).unwrap();
        let precious = roots.join("web");
        fs::write(&precious, "precious").unwrap();
        fs::set_permissions(&precious, fs::Permissions::from_mode(0o600)).unwrap();
        Some(Field { directory, theirs, precious })
    }

    /// Lets alice run a loop of Python, with `os` at hand and errors of the system ignored in each round.
    fn attack(&self, body: &str) -> Attacker {
        let body = body.lines().map(|line| format!("        {}\n", line.trim())).collect::<String>();
        let roots = self.precious.parent().unwrap().display().to_string();
        let script = format!(
            "import os\nos.setgroups([]); os.setgid({ALICE}); os.setuid({ALICE})\nroots = {roots:?}\n\
             precious = roots + '/web'\ndef attempt(f, *a):\n    try: f(*a)\n    except OSError: pass\n\
             def swap(name):\n    attempt(os.rename, name, 'old')\n    attempt(os.symlink, precious, name)\n    \
             attempt(os.unlink, name)\n    attempt(os.link, precious, name)\n    attempt(os.unlink, name)\n\
             open('ready', 'w').close()\nwhile True:\n    try:\n{body}    except OSError: pass\n"
        );
        let child = Command::new("python3")
            .args(["-c", &script])
            .current_dir(&self.theirs)
            .stdin(Stdio::null())
            .spawn()
            .expect("python3 is there");
        let attacker = Attacker(child);
        let began = std::time::Instant::now();
        while !self.theirs.join("ready").exists() {
            assert!(began.elapsed().as_secs() < 30, "the attacker does not begin");
            std::thread::yield_now();
        }
        attacker
    }

    /// Nothing of root's was read, written, given away or made.
    #[track_caller]
    fn is_unharmed(&self) {
        let metadata = fs::metadata(&self.precious).unwrap();
        assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (0, 0, 0o600));
        assert_eq!(fs::read(&self.precious).unwrap(), b"precious");
        let names: Vec<_> = fs::read_dir(self.precious.parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["web"], "something was made in root's directory");
        let others = fs::read_dir(self.directory.path()).unwrap().count();
        assert_eq!(others, 2, "something was made beside it");
    }
}

/// Everything that is done with a log, its result ignored: it may fail, but not for us.
fn use_log(path: &Path) {
    if let Ok(Opened::File(fd, _)) = open::for_writing(path, 0o644, Missing::Make) {
        let _ = rustix::io::write(&fd, b"* * * * * root id\n");
        let _ = rustix::fs::ftruncate(&fd, 0);
    }
    if let Ok(Some((mut file, _))) = open::to_read(path) {
        let mut text = String::new();
        let _ = std::io::Read::read_to_string(&mut file, &mut text);
        assert!(!text.contains("precious"), "root's file was read");
    }
    let _ = rotate::shift(path, 2);
    let _ = open::new(path, 0o600);
    let _ = open::existing(path).map(|opened| match opened {
        Opened::File(fd, _) => rustix::fs::ftruncate(fd, 0),
        _ => Ok(()),
    });
}

#[test]
fn a_directory_that_is_exchanged_for_a_link_again_and_again() {
    let Some(field) = Field::new() else { return };
    let _alice = field.attack(
        "attempt(os.mkdir, 'log')
         os.rename('log', 'old')
         os.symlink(roots, 'log')
         os.unlink('log')
         os.rename('old', 'log')",
    );
    for _ in 0..ROUNDS {
        use_log(&field.theirs.join("log/web"));
        use_log(&field.theirs.join("log/deep/web"));
    }
    field.is_unharmed();
}

#[test]
fn a_log_that_is_exchanged_for_links_of_both_kinds() {
    let Some(field) = Field::new() else { return };
    let _alice = field.attack(
        "attempt(os.unlink, 'web')
         attempt(os.symlink, precious, 'web')
         attempt(os.unlink, 'web')
         attempt(os.link, precious, 'web')
         attempt(os.unlink, 'web')
         open('web', 'w').close()
         attempt(os.symlink, precious, 'web.1')
         attempt(os.unlink, 'web.1')",
    );
    for _ in 0..ROUNDS {
        use_log(&field.theirs.join("web"));
    }
    field.is_unharmed();
}

#[test]
fn a_pidfile_and_a_table_in_her_directory() {
    let Some(field) = Field::new() else { return };
    let _alice = field.attack(
        "attempt(os.unlink, 'd.pid')
         attempt(os.symlink, precious, 'd.pid')
         attempt(os.unlink, 'd.pid')
         attempt(os.mkfifo, 'd.pid')
         attempt(os.unlink, 'd.pid')
         attempt(os.symlink, roots + '/new', 'd.pid')",
    );
    let path = field.theirs.join("d.pid");
    for _ in 0..ROUNDS {
        let _ = replace::write(&path, b"1\n", 0o644);
        let _ = replace::remove(&path, 32, |_| true);
        let _ = replace::replace(&path, b"table", 0o600);
        let _ = replace::remove(&path, 32, |_| true);
    }
    field.is_unharmed();
}

#[test]
fn a_socket_that_is_exchanged_before_it_is_given_away() {
    let Some(field) = Field::new() else { return };
    let _alice = field.attack(
        "[swap(name) for name in os.listdir('.') if name.startswith('s')]
         attempt(os.rename, 'old', 'older')",
    );
    let spec =
        SocketSpec { kind: SocketType::STREAM, mode: 0o770, owner: (Some(ALICE), Some(ALICE)), backlog: 5 };
    let path = field.theirs.join("s");
    for _ in 0..ROUNDS {
        if let Ok(bound) = socket::listen(&path, &spec) {
            socket::remove(&path, bound.identity);
        }
    }
    field.is_unharmed();
}

#[test]
fn the_mode_of_a_file_of_hers_makes_nothing_executable() {
    for mode in [0o106_777, 0o104_755, 0o102_711] {
        assert_eq!(trust::mode_after((ALICE, mode), 0), None);
        assert_eq!(trust::mode_after((0, mode), 0).unwrap() & 0o7111, 0);
    }
}
