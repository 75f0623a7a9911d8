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
