//! A program at a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A program whose terminal is ours.
pub struct Terminal {
    child: Child,
    keyboard: File,
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
        started.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(slave);
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
        Terminal { child, keyboard, screen, seen: 0 }
    }

    /// Types.
    pub fn send(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is written behind everything that was waited for before. Returns what stood before it.
    #[track_caller]
    pub fn expect(&mut self, wanted: &str) -> String {
        let begin = Instant::now();
        loop {
            let screen = String::from_utf8_lossy(&self.screen.lock().unwrap()[self.seen..]).into_owned();
            if let Some(found) = screen.find(wanted) {
                self.seen += found + wanted.len();
                return screen[..found].to_string();
            }
            if begin.elapsed() > super::DEADLINE {
                panic!("{wanted:?} was not written; the screen shows {screen:?}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until the program ends; its exit status.
    #[track_caller]
    pub fn wait(&mut self) -> i32 {
        let begin = Instant::now();
        while begin.elapsed() < super::DEADLINE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the program did not end; the screen shows {:?}", self.expect(""));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Hanging up ends what still runs there.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
