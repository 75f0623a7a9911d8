//! A program at a terminal.

use crate::support::{LONG, until_some_or};
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};

/// A program whose terminal is ours.
pub struct Terminal {
    child: Child,
    keyboard: File,
    /// The program's side of it.
    terminal: File,
    screen: Arc<Mutex<Vec<u8>>>,
    /// How much of the screen was looked at.
    seen: usize,
}

impl Terminal {
    /// Starts a program with a terminal of its own, which Ctrl-C interrupts.
    pub fn start(command: &Command) -> Terminal {
        let pty = nix::pty::openpty(None, None).unwrap();
        let slave = File::from(pty.slave);
        // setsid(1) makes the terminal the controlling one, without which Ctrl-C is a letter.
        let mut started = Command::new("setsid");
        started.args(["--ctty", "--wait"]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => started.env(name, value),
                None => started.env_remove(name),
            };
        }
        started.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap());
        started.stderr(slave.try_clone().unwrap());
        let child = started.spawn().unwrap();
        drop(started);
        let keyboard = File::from(pty.master);
        let mut output = keyboard.try_clone().unwrap();
        let screen = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The read fails once the program has gone.
            while let Ok(n_bytes @ 1..) = output.read(&mut bytes) {
                written.lock().unwrap().extend_from_slice(&bytes[..n_bytes]);
            }
        });
        Terminal { child, keyboard, terminal: slave, screen, seen: 0 }
    }

    /// Types.
    pub fn send(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is written behind everything that was waited for before. Returns what stood before it.
    #[track_caller]
    pub fn expect(&mut self, wanted: &str) -> String {
        let behind = || String::from_utf8_lossy(&self.screen.lock().unwrap()[self.seen..]).into_owned();
        let before = until_some_or(
            LONG,
            || behind().split_once(wanted).map(|(before, _)| before.to_string()),
            || format!("{wanted:?} was not written; the screen shows {:?}", behind()),
        );
        self.seen += before.len() + wanted.len();
        before
    }

    /// What stands behind everything that was waited for.
    pub fn rest(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()[self.seen..]).into_owned()
    }

    /// Whether the terminal shows what is typed.
    pub fn echoes(&self) -> bool {
        let modes = rustix::termios::tcgetattr(&self.terminal).unwrap().local_modes;
        modes.contains(rustix::termios::LocalModes::ECHO)
    }

    /// Waits until a signal ends the program.
    #[track_caller]
    pub fn wait_for_signal(&mut self) {
        let status = self.end();
        assert_eq!(status.code(), None, "{status}");
    }

    /// Waits until the program ends; its exit status.
    #[track_caller]
    pub fn wait(&mut self) -> i32 {
        self.end().code().unwrap()
    }

    #[track_caller]
    fn end(&mut self) -> ExitStatus {
        let Terminal { child, screen, seen, .. } = self;
        until_some_or(
            LONG,
            || child.try_wait().unwrap(),
            || {
                let screen = screen.lock().unwrap();
                format!(
                    "the program did not end; the screen shows {:?}",
                    String::from_utf8_lossy(&screen[*seen..])
                )
            },
        )
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Hanging up ends what still runs there.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
