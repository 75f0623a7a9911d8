//! Completions for shells: `supervisord completions bash|zsh|fish`.
//!
//! The scripts know the actions from the same table as the client, and ask the daemon for names by running the client
//! with the options that are on the line already.

use crate::ctl::commands::{COMMANDS, Completes};

/// The shells there are scripts for.
pub const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// The script for a shell, to be read by it at its start; `None` for shells we do not know.
pub fn completions(shell: &str) -> Option<String> {
    match shell {
        "bash" => Some(filled(BASH)),
        "zsh" => Some(filled(ZSH)),
        "fish" => Some(fish()),
        _ => None,
    }
}

/// The names of the actions whose words are of these kinds.
fn actions(kinds: &[Completes], separator: &str) -> String {
    let of_kind = COMMANDS.iter().filter(|command| kinds.contains(&command.completes));
    let names: Vec<&str> = of_kind.map(|command| command.name).collect();
    names.join(separator)
}

/// Puts the lists of actions into a script.
fn filled(script: &str) -> String {
    let all: Vec<&str> = COMMANDS.iter().map(|command| command.name).collect();
    script
        .replace("@ACTIONS@", &all.join(" "))
        .replace("@PROCESSES@", &actions(&[Completes::Processes], "|"))
        .replace("@SIGNAL@", &actions(&[Completes::SignalThenProcesses], "|"))
        .replace("@GROUPS@", &actions(&[Completes::Groups, Completes::AnyGroups], "|"))
        .replace("@INACTIVE@", &actions(&[Completes::InactiveGroups], "|"))
        .replace("@HELP@", &actions(&[Completes::Commands], "|"))
}

const BASH: &str = r#"# Completion of supervisorctl and supervisord for bash.
# Use: source <(supervisord completions bash)

_supervisor() {
    # Bash splits words at colons, which belong to names here: split the line ourselves.
    local line=${COMP_LINE:0:COMP_POINT} cur= word action= value= part=
    local -a words=() command=() candidates=()
    read -ra words <<<"$line"
    if [[ $line != *[[:space:]] ]]; then
        cur=${words[-1]}
        unset 'words[-1]'
    fi
    [[ ${words[0]##*/} == supervisorctl ]] && part=ctl
    for word in "${words[@]}"; do
        if [[ ${#command[@]} == 0 ]]; then command=("$word")
        elif [[ -n $value ]]; then value=; command+=("$word")
        elif [[ -n $action ]]; then break
        elif [[ $word == -[csupr] || $word == --@(configuration|serverurl|username|password|history[-_]file) ]]; then
            value=$word; command+=("$word")
        elif [[ $word == -* ]]; then command+=("$word")
        elif [[ -z $part ]]; then part=$word; command+=("$word")
        else action=$word
        fi
    done
    case $value in
        -c|--configuration|-r|--history*) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        ?*) return ;;
    esac
    case $part in
        '') candidates=(ctl check init version completions man) ;;
        completions) candidates=(bash zsh fish) ;;
        ctl) case $action in
            '') candidates=(@ACTIONS@) ;;
            @PROCESSES@) _supervisor_processes ;;
            @SIGNAL@) if [[ ${words[-1]} == "$action" ]]
                then candidates=(TERM HUP INT QUIT KILL USR1 USR2 STOP CONT)
                else _supervisor_processes
                fi ;;
            @GROUPS@) mapfile -t candidates < <("${command[@]}" status 2>/dev/null | awk '{ print $1 }' | cut -d: -f1 | sort -u) ;;
            @INACTIVE@) mapfile -t candidates < <("${command[@]}" avail 2>/dev/null | awk '$2 == "avail" { print $1 }' | cut -d: -f1 | sort -u) ;;
            @HELP@) candidates=(@ACTIONS@) ;;
        esac ;;
    esac
    COMPREPLY=()
    for word in "${candidates[@]}"; do
        [[ $word == "$cur"* ]] && COMPREPLY+=("$word")
    done
    # What stands before the last colon is on the line already, as far as bash knows.
    if [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${cur%"${cur##*:}"}"}")
    fi
}

_supervisor_processes() {
    mapfile -t candidates < <("${command[@]}" status 2>/dev/null |
        awk '{ print $1; if (split($1, part, ":") > 1 && part[1] != last) { print part[1] ":*"; last = part[1] } }')
    candidates+=(all)
}

complete -F _supervisor supervisorctl supervisord
"#;

const ZSH: &str = r#"#compdef supervisorctl supervisord
# Completion of supervisorctl and supervisord for zsh.
# Use: source <(supervisord completions zsh), after compinit

_supervisor() {
    local word action value part
    local -a command candidates typed
    typed=("${(@Q)words[1,CURRENT-1]}")
    [[ ${typed[1]:t} == supervisorctl ]] && part=ctl
    for word in "${typed[@]}"; do
        if (( ! $#command )); then command=("$word")
        elif [[ -n $value ]]; then value=; command+=("$word")
        elif [[ -n $action ]]; then break
        elif [[ $word == -[csupr] || $word == --(configuration|serverurl|username|password|history[-_]file) ]]; then
            value=$word; command+=("$word")
        elif [[ $word == -* ]]; then command+=("$word")
        elif [[ -z $part ]]; then part=$word; command+=("$word")
        else action=$word
        fi
    done
    case $value in
        -c|--configuration|-r|--history*) _files; return ;;
        ?*) return ;;
    esac
    case $part in
        '') candidates=(ctl check init version completions man) ;;
        completions) candidates=(bash zsh fish) ;;
        ctl) case $action in
            '') candidates=(@ACTIONS@) ;;
            @PROCESSES@) _supervisor_processes ;;
            @SIGNAL@) if [[ $typed[-1] == $action ]]
                then candidates=(TERM HUP INT QUIT KILL USR1 USR2 STOP CONT)
                else _supervisor_processes
                fi ;;
            @GROUPS@) candidates=(${(uf)"$("${command[@]}" status 2>/dev/null | awk '{ print $1 }' | cut -d: -f1)"}) ;;
            @INACTIVE@) candidates=(${(uf)"$("${command[@]}" avail 2>/dev/null | awk '$2 == "avail" { print $1 }' | cut -d: -f1)"}) ;;
            @HELP@) candidates=(@ACTIONS@) ;;
        esac ;;
    esac
    compadd -a candidates
}

_supervisor_processes() {
    candidates=(${(f)"$("${command[@]}" status 2>/dev/null |
        awk '{ print $1; if (split($1, part, ":") > 1 && part[1] != last) { print part[1] ":*"; last = part[1] } }')"} all)
}

compdef _supervisor supervisorctl supervisord
"#;

/// The head of the script for fish; the actions follow.
const FISH: &str = r#"# Completion of supervisorctl and supervisord for fish.
# Use: supervisord completions fish | source

function __supervisor_rest
    # The action and what follows it.
    set -l words (commandline -opc)[2..-1]
    while set -q words[1]
        switch $words[1]
            case -c -s -u -p -r --configuration --serverurl --username --password
                set words $words[3..-1]
            case '-*' ctl
                set words $words[2..-1]
            case '*'
                break
        end
    end
    string join \n -- $words
end

function __supervisor_action
    set -l rest (__supervisor_rest)
    test (count $rest) -gt 0; and contains -- $rest[1] $argv
end

function __supervisor_needs_action
    set -l words (commandline -opc)
    test (count (__supervisor_rest)) -eq 0; or return 1
    string match -q '*supervisorctl' -- $words[1]; or contains -- ctl $words
end

function __supervisor_run
    set -l words (commandline -opc)
    set -l n_rest (count (__supervisor_rest))
    $words[1..(math (count $words) - $n_rest)] $argv 2>/dev/null
end

function __supervisor_processes
    __supervisor_run status | awk '{ print $1; if (split($1, part, ":") > 1 && part[1] != last) { print part[1] ":*"; last = part[1] } } END { print "all" }'
end

function __supervisor_groups
    __supervisor_run status | awk '{ print $1 }' | cut -d: -f1 | sort -u
end

function __supervisor_inactive
    __supervisor_run avail | awk '$2 == "avail" { print $1 }' | cut -d: -f1 | sort -u
end

"#;

fn fish() -> String {
    let mut script = FISH.to_string();
    for program in ["supervisorctl", "supervisord"] {
        script.push_str(&format!("complete -c {program} -f\n"));
        for command in COMMANDS {
            // The meaning of the first form stands for the whole; a quote ends at a quote.
            let meaning = command.forms.first().map_or("", |(_, meaning)| meaning).replace('\'', "\\'");
            let name = command.name;
            script.push_str(&format!(
                "complete -c {program} -n __supervisor_needs_action -a {name} -d '{meaning}'\n"
            ));
        }
        for (kinds, words) in [
            (&[Completes::Processes, Completes::SignalThenProcesses][..], "(__supervisor_processes)"),
            (&[Completes::SignalThenProcesses], "TERM HUP INT QUIT KILL USR1 USR2 STOP CONT"),
            (&[Completes::Groups, Completes::AnyGroups], "(__supervisor_groups)"),
            (&[Completes::InactiveGroups, Completes::AnyGroups], "(__supervisor_inactive)"),
        ] {
            let actions = actions(kinds, " ");
            script.push_str(&format!(
                "complete -c {program} -n '__supervisor_action {actions}' -a '{words}'\n"
            ));
        }
    }
    script.push_str(
        "complete -c supervisord -n __fish_use_subcommand -a 'ctl check init version completions man'\n",
    );
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_knows_every_action() {
        for shell in SHELLS {
            let script = completions(shell).unwrap();
            assert!(!script.contains('@') || shell != "fish", "{shell}: a list is missing");
            for command in COMMANDS {
                assert!(script.contains(command.name), "{shell}: {}", command.name);
            }
        }
        assert_eq!(completions("tcsh"), None);
    }
}
