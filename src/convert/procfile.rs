//! A configuration of a Procfile, as foreman and its kin read them: `name: command`, one a line.

use crate::config::command as config_command;
use crate::convert::import::{Imported, command, environment, name};
use crate::convert::losses::Losses;

/// The port of the first program, as foreman gives it.
const FIRST_PORT: u32 = 5000;
/// The distance to the port of the next one.
const PORT_STEP: u32 = 100;
/// What is run once before a deployment, by those who deploy.
const RELEASE: &str = "release";

/// Makes a configuration of the text of a Procfile.
///
/// # Errors
/// A line that is not of this form.
pub(super) fn import(text: &str, file: &str, losses: &mut Losses) -> Result<Imported, String> {
    let mut imported = Imported::default();
    let mut port = FIRST_PORT;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = format!("{file}:{number}");
        let (own, run) = entry(line).ok_or_else(|| {
            format!("{place}: this is no line of a Procfile, which are written as NAME: COMMAND")
        })?;
        let section = format!("program:{}", name(own));
        if imported.has(&section) {
            losses.note(place, own, "a program of this name is there already: this line is left out");
            continue;
        }
        program(&mut imported, &section, run, port);
        if own == RELEASE {
            imported.set(&section, "type", "oneshot");
            imported.set(&section, "autostart", "false");
            let why = "it is run for each deployment, and not at every start: run it with \"supervisord ctl start release\"";
            losses.note(place, own, why);
        } else {
            imported.set(&section, "autorestart", "true");
        }
        port += PORT_STEP;
    }
    if !imported.is_empty() {
        let why = "each program has its own in environment, as foreman gives them: 5000, 5100 and so on; where .env sets another \
                   PORT, foreman counts from that";
        losses.note(format!("{file} PORT"), "", why);
        let why =
            "foreman ends all programs when one ends; here it is started again (essential=true ends all)";
        losses.note(file, "", why);
    }
    Ok(imported)
}

/// `name: command`.
fn entry(line: &str) -> Option<(&str, &str)> {
    let (name, run) = line.split_once(':')?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    let run = run.trim();
    (!name.is_empty() && name.chars().all(is_name) && !run.is_empty()).then_some((name, run))
}

fn program(imported: &mut Imported, section: &str, run: &str, port: u32) {
    let (words, is_in_front) = words(run);
    imported.set(section, "command", command(&words));
    imported.set(section, "directory", "%(here)s");
    imported.set(section, "environment_file", "-%(here)s/.env");
    imported.set(section, "environment", environment([("PORT", port.to_string().as_str())]));
    imported.set(section, "redirect_stderr", "true");
    if is_in_front {
        // The shell stays the parent of what it runs.
        imported.set(section, "stopasgroup", "true");
    }
}

/// The words of a command line, and whether they are those of a shell that stays in front of the program.
pub(super) fn words(run: &str) -> (Vec<String>, bool) {
    let signs = signs(run);
    let shell = |line: String| vec!["/bin/sh".to_string(), "-c".into(), line];
    match (signs.needs_shell, config_command::split(run)) {
        (false, Ok(words)) if !words.is_empty() => (words, false),
        _ => match replaced(run, &signs) {
            Some(line) => (shell(line), false),
            None => (shell(run.to_string()), true),
        },
    }
}

/// What a shell would do with a line.
struct Signs {
    /// It means something else than its words.
    needs_shell: bool,
    /// It is more than simple commands joined by `&&`.
    is_complex: bool,
    /// Where the last of these commands begins.
    last: usize,
}

/// What begins no program that could take the place of the shell.
const BUILTINS: [&str; 42] = [
    "cd", "export", "set", "unset", "if", "for", "while", "until", "case", "trap", "wait", "eval", "exec",
    "source", ".", ":", "read", "umask", "ulimit", "!", "exit", "return", "break", "continue", "alias",
    "unalias", "shift", "command", "builtin", "local", "declare", "typeset", "readonly", "let", "function",
    "getopts", "hash", "type", "times", "jobs", "fg", "bg",
];

fn signs(line: &str) -> Signs {
    let mut signs = Signs { needs_shell: false, is_complex: false, last: 0 };
    let mut chars = line.char_indices().peekable();
    let mut quote = None;
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (Some('\''), _) => {}
            (_, '\\') => {
                signs.needs_shell = true;
                chars.next();
            }
            (_, '$' | '`') => signs.needs_shell = true,
            (Some(_), _) => {}
            (None, '&') if chars.next_if(|(_, next)| *next == '&').is_some() => {
                signs.needs_shell = true;
                signs.last = at + 2;
            }
            (None, '&') => {
                // Part of a redirection, or a command that is left alone.
                signs.needs_shell = true;
                let is_redirection = line[..at].ends_with(['>', '<']) || line[at + 1..].starts_with('>');
                signs.is_complex |= !is_redirection;
            }
            (None, ';' | '|' | '(' | ')' | '{' | '}') => {
                signs.needs_shell = true;
                signs.is_complex = true;
            }
            (None, '<' | '>' | '*' | '?' | '[' | ']' | '~' | '#' | '!') => signs.needs_shell = true,
            (None, _) => {}
        }
    }
    // A variable that is set for the command alone.
    let first = line.split_whitespace().next().unwrap_or_default();
    signs.needs_shell |= is_assignment(first) || BUILTINS.contains(&first);
    signs.is_complex |= quote.is_some();
    signs
}

fn is_assignment(word: &str) -> bool {
    let is_name = |name: &str| {
        !name.starts_with(|c: char| c.is_ascii_digit())
            && !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    word.split_once('=').is_some_and(|(name, _)| is_name(name))
}

/// The line with its last command in the place of the shell; `None` where that is not possible.
fn replaced(line: &str, signs: &Signs) -> Option<String> {
    let (before, last) = line.split_at(signs.last);
    let last = last.trim_start();
    let first = last.split_whitespace().next()?;
    if signs.is_complex || BUILTINS.contains(&first) && first != "exec" {
        return None;
    }
    let gap = if before.is_empty() { "" } else { " " };
    Some(match first {
        "exec" => line.to_string(),
        first if is_assignment(first) => {
            format!("{before}{gap}{}", with_variables(last, !before.is_empty())?)
        }
        _ => format!("{before}{gap}exec {last}"),
    })
}

/// A command behind variables of its own, in the place of the shell; `None` where that is not possible. `is_joined`: another
/// command runs before it.
fn with_variables(line: &str, is_joined: bool) -> Option<String> {
    let (mut variables, mut run) = (Vec::new(), line);
    while let (word, behind) = first_word(run)
        && is_assignment(word)
    {
        variables.push(word);
        run = behind;
    }
    let (first, _) = first_word(run);
    if first.is_empty() || BUILTINS.contains(&first) {
        return None;
    }
    if !variables.iter().any(|word| word.contains(['$', '`', '~', '*', '?', '['])) {
        return Some(format!("exec env {line}"));
    }
    // As an argument of env the value would be split into words, and its patterns expanded.
    let names = variables.iter().filter_map(|word| Some(word.split_once('=')?.0));
    let is_told_twice = names.clone().any(|name| mentions(run, name));
    if !has_simple_expansions(line) || is_told_twice || is_joined && run.contains('#') {
        return None;
    }
    let exports: String =
        variables.iter().zip(names).map(|(word, name)| format!("{word}; export {name}; ")).collect();
    Some(if is_joined { format!("{{ {exports}exec {run}; }}") } else { format!("{exports}exec {run}") })
}

/// The first word as the shell has it, with its quotes, and what follows.
fn first_word(line: &str) -> (&str, &str) {
    let mut quote = None;
    let mut chars = line.char_indices();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None | Some('"'), '\\') => _ = chars.next(),
            (None, c) if c.is_whitespace() => return (&line[..at], line[at..].trim_start()),
            _ => {}
        }
    }
    (line, "")
}

/// Whether a text expands the variable of this name. The shell does that before it sets the variables of the command.
fn mentions(text: &str, name: &str) -> bool {
    text.split('$').skip(1).any(|behind| behind.trim_start_matches('{').starts_with(name))
}

/// Whether nothing is expanded but `$NAME` and `${NAME}`, in which there are no quotes.
fn has_simple_expansions(text: &str) -> bool {
    let is_simple = |behind: &str| match behind.strip_prefix('{') {
        Some(inside) => inside.split_once('}').is_some_and(|(name, _)| is_assignment(&format!("{name}="))),
        None => !behind.starts_with('('),
    };
    !text.contains('`') && text.split('$').skip(1).all(is_simple)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_is_there_only_where_it_is_needed() {
        for (line, expected, is_in_front) in [
            (
                "bundle exec puma -C config/puma.rb",
                &["bundle", "exec", "puma", "-C", "config/puma.rb"][..],
                false,
            ),
            ("node 'my app.js' \"x y\"", &["node", "my app.js", "x y"], false),
            ("echo '$x; *'", &["echo", "$x; *"], false),
            ("puma -p $PORT", &["/bin/sh", "-c", "exec puma -p $PORT"], false),
            ("echo \"$x\"", &["/bin/sh", "-c", "exec echo \"$x\""], false),
            ("cd web && npm start", &["/bin/sh", "-c", "cd web && exec npm start"], false),
            ("A=1 B=2 npm start", &["/bin/sh", "-c", "exec env A=1 B=2 npm start"], false),
            ("A=$X npm start", &["/bin/sh", "-c", "A=$X; export A; exec npm start"], false),
            (
                "cd x && A=\"$X y\" B=~/b npm start $Y",
                &["/bin/sh", "-c", "cd x && { A=\"$X y\"; export A; B=~/b; export B; exec npm start $Y; }"],
                false,
            ),
            ("A=1 echo $A", &["/bin/sh", "-c", "exec env A=1 echo $A"], false),
            ("A=$X echo ${A}", &["/bin/sh", "-c", "A=$X echo ${A}"], true),
            ("A=\"$(date \"+%s\")\" x", &["/bin/sh", "-c", "A=\"$(date \"+%s\")\" x"], true),
            ("A=1", &["/bin/sh", "-c", "A=1"], true),
            ("A=1 exec x", &["/bin/sh", "-c", "A=1 exec x"], true),
            ("true && exit 1", &["/bin/sh", "-c", "true && exit 1"], true),
            ("command x", &["/bin/sh", "-c", "command x"], true),
            ("exec npm start > x", &["/bin/sh", "-c", "exec npm start > x"], false),
            ("x 2>&1", &["/bin/sh", "-c", "exec x 2>&1"], false),
            ("a | b", &["/bin/sh", "-c", "a | b"], true),
            ("a; b", &["/bin/sh", "-c", "a; b"], true),
            ("a & b", &["/bin/sh", "-c", "a & b"], true),
            ("while true; do x; done", &["/bin/sh", "-c", "while true; do x; done"], true),
            ("cd x", &["/bin/sh", "-c", "cd x"], true),
            ("a 'b", &["/bin/sh", "-c", "a 'b"], true),
        ] {
            let expected: Vec<String> = expected.iter().map(|word| word.to_string()).collect();
            assert_eq!(words(line), (expected, is_in_front), "{line}");
        }
    }

    #[test]
    fn lines_are_names_and_commands() {
        assert_eq!(entry("web: x: y"), Some(("web", "x: y")));
        for wrong in ["web", "web:", "we b: x", ": x", "http://x"] {
            assert!(entry(wrong).is_none() || wrong.starts_with("http"), "{wrong}");
        }
    }
}
