//! `ExecStart=` and its kin as one `command`.

use crate::config::command;
use crate::convert::import;
use crate::convert::systemd::parse::Directive;
use crate::convert::systemd::reader::{Reader, SERVICE};
use crate::convert::systemd::words::{Piece, blank_separated, is_blank, pieces, split_command};

/// One command of a unit.
struct Line {
    /// As values of a configuration; `Err` has words for the shell, because variables are in it.
    words: Vec<Vec<Piece>>,
    /// Whether its failure means nothing.
    may_fail: bool,
}

impl Reader<'_> {
    /// Sets `command`. Whether there is one.
    pub(super) fn commands(&mut self, is_forking: bool) -> bool {
        let before = self.lines("ExecStartPre");
        let mut lines = self.lines("ExecStart");
        let Some(last) = lines.pop() else { return false };
        let mut all: Vec<Line> = before;
        all.extend(lines);
        let is_plain = |line: &Line| line.words.iter().flatten().all(|piece| matches!(piece, Piece::Text(_)));
        let mut value = if all.is_empty() && is_plain(&last) {
            import::command_of_values(&last.words.iter().map(|word| text_of(word)).collect::<Vec<_>>())
        } else {
            let script = self.script(&all, &last);
            import::command_of_values(&["/bin/sh".to_string(), "-c".to_string(), script])
        };
        if last.may_fail
            && let Some(directive) = self.unit.take(SERVICE, "ExecStart")
        {
            self.lose(
                &directive,
                "no exit code means nothing: list the codes that are expected in exitcodes",
            );
        }
        let pidfile = self.take("PIDFile");
        if is_forking {
            match pidfile {
                Some(pidfile) => {
                    let path = self.value(&pidfile.value, &pidfile);
                    value = format!("supervisord pidproxy {} {value}", import::command_of_values(&[path]));
                    self.lose(
                        &pidfile,
                        "pidproxy waits for the process: better, start the program in the foreground",
                    );
                }
                None => self.losses.note(
                    format!("{} Type", self.unit.name),
                    "forking",
                    "a program must stay in the foreground: use its option for that",
                ),
            }
        } else if let Some(pidfile) = pidfile {
            self.lose(&pidfile, "the process that is started is the one that counts");
        }
        self.set("command", value);
        self.others();
        true
    }

    /// Several commands for a shell. One process to the outside: the last command takes the place of the shell.
    fn script(&mut self, before: &[Line], last: &Line) -> String {
        let mut script = String::new();
        let lines = before.iter().chain([last]);
        let split = lines.flat_map(|line| line.words.iter().flatten()).find_map(|piece| match piece {
            Piece::Words(name) => Some(name),
            Piece::Text(_) | Piece::Variable(_) => None,
        });
        if let Some(name) = split {
            // systemd takes the words as they are, even if they look like patterns.
            script += "set -f; ";
            let why = "the shell splits the value at blanks alone, while systemd obeys the quotes in it: write arguments with \
                       blanks into the command";
            self.losses.note(format!("{} ExecStart", self.unit.name), format!("${name}"), why);
        }
        for line in before {
            let words = for_shell(line);
            script +=
                &if line.may_fail { format!("{{ {words} || true; }} && ") } else { format!("{words} && ") };
        }
        script + &format!("exec {}", for_shell(last))
    }

    /// What has no key.
    fn others(&mut self) {
        for directive in self.unit.take_all(SERVICE, "ExecStop") {
            match killing(&directive.value) {
                Some(signal) if self.unit.directives.iter().all(|other| other.key != "KillSignal") => {
                    self.set("stopsignal", signal);
                }
                _ => self.lose(&directive, "a program is stopped by stopsignal alone"),
            }
        }
        self.lose_all(SERVICE, "ExecReload", "use supervisorctl signal HUP, or update, instead of a reload");
        self.lose_all(
            SERVICE,
            "ExecStartPost",
            "nothing runs after a start: let another program depend on this one",
        );
        self.lose_all(SERVICE, "ExecStopPost", "nothing runs after the end of a program");
        self.lose_all(
            SERVICE,
            "ExecCondition",
            "nothing decides whether a program starts: test it in the command",
        );
    }

    fn lines(&mut self, key: &str) -> Vec<Line> {
        let directives = self.unit.take_all(SERVICE, key);
        directives.into_iter().flat_map(|directive| self.line(&directive)).collect()
    }

    /// The commands of one assignment: a `;` separates several.
    fn line(&mut self, directive: &Directive) -> Vec<Line> {
        // A `;` that is quoted or escaped is an argument; only a bare one separates.
        let parts = separated(&directive.value);
        parts.iter().filter_map(|part| self.command(part, directive)).collect()
    }

    fn command(&mut self, text: &str, directive: &Directive) -> Option<Line> {
        let text = text.trim_matches(is_blank);
        let (mut may_fail, mut has_name, mut has_variables) = (false, false, true);
        let mut rest = text;
        while let Some(prefix) = rest.chars().next().filter(|c| "-@:+!|".contains(*c)) {
            match prefix {
                '-' => may_fail = true,
                '@' => has_name = true,
                ':' => has_variables = false,
                _ => self
                    .lose(directive, "every command of a program runs as its user: the prefix is left out"),
            }
            rest = &rest[prefix.len_utf8()..];
        }
        let mut words = match split_command(rest) {
            Ok(words) => words,
            Err(why) => {
                self.lose(directive, why);
                return None;
            }
        };
        if words.is_empty() {
            return None;
        }
        if has_name && words.len() > 1 {
            words.remove(1);
            self.lose(directive, "a program gets its own name as its first word");
        }
        let mut found = Vec::new();
        for (at, word) in words.iter().enumerate() {
            let word = self.value(word, directive);
            found.push(if has_variables && at > 0 { pieces(&word) } else { vec![Piece::Text(word)] });
        }
        Some(Line { words: found, may_fail })
    }
}

/// Splits at `;` between blanks.
fn separated(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quote = None;
    let mut chars = text.chars().peekable();
    let mut after_blank = true;
    while let Some(c) = chars.next() {
        let ends = chars.peek().is_none_or(|next| is_blank(*next));
        if c == ';' && quote.is_none() && after_blank && ends {
            parts.push(String::new());
            continue;
        }
        after_blank = is_blank(c);
        // There is always a last part.
        let Some(part) = parts.last_mut() else { break };
        part.push(c);
        match (c, quote) {
            ('\\', _) => part.extend(chars.next()),
            (c, Some(end)) if c == end => quote = None,
            ('"' | '\'', None) => quote = Some(c),
            _ => {}
        }
    }
    parts
}

/// A word without variables.
fn text_of(word: &[Piece]) -> String {
    let texts = word.iter().map(|piece| match piece {
        Piece::Text(text) => text.as_str(),
        Piece::Variable(_) | Piece::Words(_) => "",
    });
    texts.collect()
}

/// A command in the words of a shell, which expands variables as systemd does.
fn for_shell(line: &Line) -> String {
    let word = |pieces: &Vec<Piece>| {
        let parts = pieces.iter().map(|piece| match piece {
            Piece::Text(text) => command::quoted(text),
            Piece::Variable(name) => format!("\"${{{name}}}\""),
            Piece::Words(name) => format!("${name}"),
        });
        parts.collect::<String>()
    };
    line.words.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// The signal that a command sends to the main process, if it does nothing else: `/bin/kill -s QUIT $MAINPID`.
fn killing(text: &str) -> Option<String> {
    let words: Vec<&str> = blank_separated(text.trim_start_matches(['-', '+'])).collect();
    let (program, rest) = words.split_first()?;
    if !program.ends_with("kill") || !["$MAINPID", "${MAINPID}"].contains(rest.last()?) {
        return None;
    }
    let signal = match &rest[..rest.len() - 1] {
        [] => "TERM",
        ["-s", name] => name,
        [option] => option.strip_prefix('-')?,
        _ => return None,
    };
    let signal = crate::model::signal::Signal::parse(signal)?;
    Some(signal.name()?.trim_start_matches("SIG").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stops_by_a_signal_alone() {
        for (text, expected) in [
            ("/bin/kill -s QUIT $MAINPID", Some("QUIT")),
            ("kill -3 ${MAINPID}", Some("QUIT")),
            ("-/bin/kill -TERM $MAINPID", Some("TERM")),
            ("/bin/kill $MAINPID", Some("TERM")),
            ("/bin/kill -s QUIT 1", None),
            ("/usr/bin/app stop", None),
            ("", None),
        ] {
            assert_eq!(killing(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn several_commands_are_separated_by_a_bare_semicolon() {
        for (text, expected) in [
            ("a ; b", vec!["a ", " b"]),
            ("a \\; b", vec!["a \\; b"]),
            ("a ';' \" ; \" b;c", vec!["a ';' \" ; \" b;c"]),
            ("a\u{a0}; b", vec!["a\u{a0}; b"]),
            ("", vec![""]),
        ] {
            assert_eq!(separated(text), expected, "{text}");
        }
    }
}
