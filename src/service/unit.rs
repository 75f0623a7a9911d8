//! The text of the systemd unit: facts in, text out. Also recognises such a text.

use sha1::{Digest, Sha1};
use std::fmt::Write as _;
use std::time::Duration;

/// What the first line of a unit of ours begins with. A checksum of everything below it follows, so that a unit that
/// somebody changed can be told from one that this program wrote, whatever its version.
const MARK: &str = "# Written by \"supervisord service install\", checksum ";

/// No stop takes less, for a daemon that has programs to wait for.
const STOP_LEAST: Duration = Duration::from_secs(120);
/// What the daemon needs besides the programs' own times.
const STOP_MARGIN: Duration = Duration::from_secs(30);

/// The descriptors that the daemon may use, and the limit up to which a program may raise its own: systemd's usual one.
const DESCRIPTORS: (u64, u64) = (65_536, 524_288);

/// What a unit depends on. Every path is absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub binary: String,
    pub configuration: String,
    pub env_file: Option<String>,
    /// `[supervisord] exitkillall`: whether programs end with the daemon.
    pub programs_end_with_it: bool,
    /// The longest time that stopping all programs may take.
    pub stop: Duration,
    pub minfds: u64,
    /// Whether the client can reach this daemon by its configuration alone.
    pub is_controllable: bool,
}

/// Whose a unit file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Author {
    Us,
    /// We wrote it, and somebody has changed it since.
    Changed,
    Other,
}

/// Tells whose unit a text is.
pub(crate) fn author(text: &str) -> Author {
    let Some((checksum, rest)) = text.strip_prefix(MARK).and_then(|text| text.split_once('\n')) else {
        return Author::Other;
    };
    if checksum == checksum_of(rest) { Author::Us } else { Author::Changed }
}

/// Whether the daemon of this unit leaves programs running when it ends.
pub(crate) fn leaves_programs(text: &str) -> bool {
    text.lines().any(|line| line == "KillMode=process")
}

/// Writes the unit.
pub(crate) fn text(facts: &Facts) -> String {
    let body = body(facts);
    format!("{MARK}{}\n{body}", checksum_of(&body))
}

fn checksum_of(body: &str) -> String {
    Sha1::digest(body.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn body(facts: &Facts) -> String {
    let binary = executable(&facts.binary);
    let configuration = word(&facts.configuration);
    let env_file = facts.env_file.as_ref().map(|file| format!(" --env-file {}", word(file)));
    let options = format!("-c {configuration}{}", env_file.unwrap_or_default());
    let reload = if facts.is_controllable {
        format!(
            "# A reload applies what changed in the configuration; other programs go on.\n\
             ExecReload={binary} {options} ctl update\n"
        )
    } else {
        String::new()
    };
    let kill = if facts.programs_end_with_it {
        "# Only the daemon is told to end; it ends the programs in their order. What is left after that is killed.\n\
         KillMode=mixed\n"
    } else {
        "# exitkillall=false: the programs outlive the daemon, and its next start takes them over.\nKillMode=process\n"
    };
    let stop = (facts.stop + STOP_MARGIN).max(STOP_LEAST).as_secs();
    let (soft, hard) = (DESCRIPTORS.0.max(facts.minfds), DESCRIPTORS.1.max(facts.minfds));
    format!(
        "# \"supervisord service install\" writes it again as long as nobody changes it. For settings of your own use\n\
         # systemctl edit, which leaves this file as it is.\n\
         [Unit]\n\
         Description=Supervisor of the programs in {description}\n\
         Wants=network-online.target\n\
         After=network-online.target remote-fs.target nss-user-lookup.target\n\
         \n\
         [Service]\n\
         Type=exec\n\
         ExecStart={binary} -n {options}\n\
         {reload}\
         {kill}\
         # What the programs may take, one priority after the other, and some more.\n\
         TimeoutStopSec={stop}\n\
         Restart=on-failure\n\
         RestartSec=5\n\
         # A program that is killed for lack of memory is restarted by the daemon; the others go on.\n\
         OOMPolicy=continue\n\
         # For the daemon and its logs; programs may raise theirs.\n\
         LimitNOFILE={soft}:{hard}\n\
         # The usual limit is for a single service.\n\
         TasksMax=infinity\n\
         # For the limits that programs have of their own: memory_max, cpu_max and the like.\n\
         Delegate=yes\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        description = specifiers(&facts.configuration),
    )
}

/// `%` begins a specifier everywhere in a unit.
fn specifiers(text: &str) -> String {
    text.replace('%', "%%")
}

/// The first word of a command, in which no variable is expanded.
fn executable(text: &str) -> String {
    quoted(&specifiers(text))
}

/// Any other word of a command.
fn word(text: &str) -> String {
    quoted(&specifiers(text).replace('$', "$$"))
}

/// A word as systemd reads it back. Control characters do not get here: see [`fits`].
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:=@%$".contains(c) || !c.is_ascii();
    if text.chars().all(is_plain) {
        return text.to_string();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Whether a path can stand in a unit at all.
pub(crate) fn fits(path: &str) -> bool {
    path.starts_with('/') && !path.chars().any(char::is_control) && !path.contains('\u{fffd}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            binary: "/usr/local/bin/supervisord".into(),
            configuration: "/etc/supervisord.conf".into(),
            env_file: None,
            programs_end_with_it: true,
            stop: Duration::from_secs(10),
            minfds: 1024,
            is_controllable: true,
        }
    }

    #[track_caller]
    fn check(facts: &Facts, lines: &[&str]) {
        let text = text(facts);
        for line in lines {
            let (wanted, line) = line.strip_prefix('!').map_or((true, *line), |line| (false, line));
            assert_eq!(text.lines().any(|found| found.starts_with(line)), wanted, "{line}\n{text}");
        }
        assert_eq!(author(&text), Author::Us);
    }

    #[test]
    fn a_unit_follows_from_its_facts() {
        let exec = "ExecStart=/usr/local/bin/supervisord -n -c /etc/supervisord.conf";
        let reload = "ExecReload=/usr/local/bin/supervisord -c /etc/supervisord.conf ctl update";
        check(&facts(), &["Type=exec", exec, reload, "KillMode=mixed", "TimeoutStopSec=120"]);
        check(
            &facts(),
            &["LimitNOFILE=65536:524288", "OOMPolicy=continue", "Delegate=yes", "Restart=on-failure"],
        );
        check(&Facts { programs_end_with_it: false, ..facts() }, &["KillMode=process", "!KillMode=mixed"]);
        check(&Facts { stop: Duration::from_secs(3600), ..facts() }, &["TimeoutStopSec=3630"]);
        check(&Facts { minfds: 1_000_000, ..facts() }, &["LimitNOFILE=1000000:1000000"]);
        check(&Facts { is_controllable: false, ..facts() }, &[exec, "!ExecReload"]);
        let env_file = Some("/etc/my env".to_string());
        check(&Facts { env_file, ..facts() }, &[&format!("{exec} --env-file \"/etc/my env\"")]);
    }

    #[test]
    fn words_are_read_back_as_they_were() {
        for (path, first, later) in [
            ("/a/b-1.2", "/a/b-1.2", "/a/b-1.2"),
            ("/a b", "\"/a b\"", "\"/a b\""),
            ("/50%", "/50%%", "/50%%"),
            ("/$x", "/$x", "/$$x"),
            ("/\"q\" \\", "\"/\\\"q\\\" \\\\\"", "\"/\\\"q\\\" \\\\\""),
            ("/ä", "/ä", "/ä"),
            ("/a;b'", "\"/a;b'\"", "\"/a;b'\""),
        ] {
            assert_eq!((executable(path).as_str(), word(path).as_str()), (first, later), "{path}");
        }
        for (path, expected) in
            [("/a", true), ("a", false), ("", false), ("/a\nUser=x", false), ("/\u{fffd}", false)]
        {
            assert_eq!(fits(path), expected, "{path:?}");
        }
    }

    #[test]
    fn whose_unit_it_is() {
        let ours = text(&facts());
        for (text, expected) in [
            (ours.clone(), Author::Us),
            (ours.replace("RestartSec=5", "RestartSec=6"), Author::Changed),
            (format!("{ours}# mine\n"), Author::Changed),
            (ours.replace("# Written", "# Changed"), Author::Other),
            ("[Unit]\n".to_string(), Author::Other),
            (String::new(), Author::Other),
        ] {
            assert_eq!(author(&text), expected, "{text}");
        }
    }
}
