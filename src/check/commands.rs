//! Commands that need a shell and do not name one.

use crate::config::command;

/// Words that a shell acts upon. Digits may stand before those with an arrow.
const OPERATORS: [&str; 9] = ["&&", "||", "|", "&", ";", "<", ">", ">>", "|&"];

/// A warning about a command with words that only a shell acts upon; `None` if it has none.
pub(super) fn shell_words(command: &str) -> Option<String> {
    let words = command::split(command).ok()?;
    let operator = words.iter().skip(1).find(|word| is_operator(word))?;
    Some(format!(
        "no shell is involved, so the program gets {operator:?} as an argument; write sh -c '...' around it, with \
         stopasgroup=true and killasgroup=true"
    ))
}

/// A hint about a command that stands between the daemon and the program that is meant, and does not pass signals on;
/// `None` if it is another one.
pub(super) fn wrapper(command: &str) -> Option<String> {
    const SHELLS: [&str; 6] = ["sh", "bash", "dash", "ash", "ksh", "zsh"];
    const RUNNERS: [&str; 5] = ["npm", "npx", "yarn", "yarnpkg", "pnpm"];
    let words = command::split(command).ok()?;
    let name = words.first()?.rsplit('/').next()?;
    if RUNNERS.contains(&name) {
        return Some(format!(
            "{name} starts the program as a child and does not reliably pass signals on, so the program may outlive a \
             stop: write stop_scope=tree, or the program itself instead of {name}"
        ));
    }
    let takes_script =
        |word: &&String| word.starts_with('-') && !word.starts_with("--") && word.ends_with('c');
    let at =
        words.iter().skip(1).take_while(|word| word.starts_with('-')).position(|word| takes_script(&word))?;
    let script = words.get(at + 2).filter(|_| SHELLS.contains(&name))?;
    let has_exec = script.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "exec");
    (!has_exec).then(|| {
        format!(
            "{name} does not pass signals on, so what it runs may outlive a stop: write exec before the last command, or \
             stop_scope=tree"
        )
    })
}

fn is_operator(word: &str) -> bool {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit());
    OPERATORS.contains(&word)
        || OPERATORS.contains(&rest) && rest.contains(['<', '>'])
        || ["2>&1", "1>&2", ">&2", "&>", "&>>"].contains(&word)
        || rest.len() > 1 && rest.starts_with('>') && !rest.starts_with(">=") && looks_like_target(rest)
        || word.len() > 1
            && word.ends_with('&')
            && word.trim_end_matches('&').chars().all(char::is_alphanumeric)
}

/// Whether an arrow is followed by a name, as in `>/dev/null` and `2>>log`.
fn looks_like_target(arrow: &str) -> bool {
    let target = arrow.trim_start_matches(['>', '&']);
    target.starts_with(['/', '.', '$']) || target.ends_with(".log") || target == "1" || target == "2"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_are_found() {
        for (command, expected) in [
            ("sh -c 'cd /srv && ./server'", Some("sh does not pass")),
            ("/bin/bash -lc \"./a; ./b\"", Some("bash does not pass")),
            ("bash -e -c ./a", Some("bash does not pass")),
            ("npm run start", Some("npm starts")),
            ("/usr/bin/yarn start", Some("yarn starts")),
            ("sh -c 'cd /srv && exec ./server'", None),
            ("sh -c 'exec ./server'", None),
            ("sh script", None),
            ("sh --rc", None),
            ("bash", None),
            ("python -c 'import x'", None),
            ("cat", None),
            ("'", None),
        ] {
            let found = wrapper(command);
            assert_eq!(found.is_some(), expected.is_some(), "{command}: {found:?}");
            assert!(found.unwrap_or_default().contains(expected.unwrap_or_default()), "{command}");
        }
    }

    #[test]
    fn what_only_a_shell_does_is_found() {
        for command in [
            "cd /app && run",
            "a | b",
            "run > /tmp/x",
            "run 2>&1",
            "run >/dev/null",
            "run 2>>err.log",
            "run < in",
            "sleep 10 &",
            "a ; b",
        ] {
            assert!(shell_words(command).is_some(), "{command}");
        }
        for command in [
            "sh -c 'cd /app && run > x 2>&1'",
            "/bin/bash -c \"a | b\"",
            "run --when >=3 --and '<b>'",
            "curl http://h/?a=1&b=2",
            "awk '{print $1 > \"x\"}' f",
            "run",
            "\"unclosed",
        ] {
            assert_eq!(shell_words(command), None, "{command}");
        }
    }
}
