//! Completions for shells: `supervisord completions bash|zsh|fish`.
//!
//! The scripts know the actions from the same table as the client, and ask the daemon for names by running the client
//! with the options that are on the line already.

use crate::ctl::commands::{COMMANDS, Completes};

/// The shells there are scripts for.
pub(crate) const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// The script for a shell, to be read by it at its start; `None` for shells we do not know. `exports` and `imports` are
/// the formats that the daemon's command line takes, with blanks between them.
pub(crate) fn completions(shell: &str, exports: &str, imports: &str) -> Option<String> {
    let script = match shell {
        "bash" => filled(BASH, "|"),
        "zsh" => filled(ZSH, "|"),
        "fish" => filled(FISH, " "),
        _ => return None,
    };
    Some(script.replace("@EXPORTS@", exports).replace("@IMPORTS@", imports))
}

/// The names of the actions whose words are of these kinds.
fn actions(kinds: &[Completes], separator: &str) -> String {
    let of_kind = COMMANDS.iter().filter(|command| kinds.contains(&command.completes));
    let names: Vec<&str> = of_kind.map(|command| command.name).collect();
    names.join(separator)
}

/// Puts the lists of actions into a script whose `case` separates words like this.
fn filled(script: &str, separator: &str) -> String {
    let all: Vec<&str> = COMMANDS.iter().map(|command| command.name).collect();
    script
        .replace("@ACTIONS@", &all.join(" "))
        .replace("@MEANINGS@", &meanings())
        .replace("@PROCESSES@", &actions(&[Completes::Processes], separator))
        .replace("@SIGNAL@", &actions(&[Completes::SignalThenProcesses], separator))
        .replace("@GROUPS@", &actions(&[Completes::Groups], separator))
        .replace("@ANY@", &actions(&[Completes::AnyGroups], separator))
        .replace("@INACTIVE@", &actions(&[Completes::InactiveGroups], separator))
        .replace("@PROGRAMS@", &actions(&[Completes::Programs], separator))
        .replace("@HELP@", &actions(&[Completes::Commands], separator))
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
        elif [[ $word == -[csupro] || $word == --@(configuration|output|image|serverurl|username|password|history[-_]file|color|env[-_]file|unit[-_]dir|name) ]]; then
            value=$word; command+=("$word")
        elif [[ $word == -* ]]; then command+=("$word")
        elif [[ -z $part ]]; then part=$word; command+=("$word")
        else action=$word
        fi
    done
    case $value in
        -c|--configuration|-o|--output|-r|--history*) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        ?*) return ;;
    esac
    case $part in
        '') candidates=(ctl check init service export import schema version completions man) ;;
        completions) candidates=(bash zsh fish) ;;
        service) [[ -n $action ]] || candidates=(install uninstall start stop status) ;;
        export) [[ -n $action ]] || candidates=(@EXPORTS@) ;;
        import)
            [[ -n $action ]] && { mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return; }
            candidates=(@IMPORTS@) ;;
        schema) candidates=(check) ;;
        ctl) case $action in
            '') candidates=(@ACTIONS@) ;;
            @PROCESSES@) _supervisor_processes ;;
            @SIGNAL@) if [[ ${words[-1]} == "$action" ]]
                then candidates=(TERM HUP INT QUIT KILL USR1 USR2 STOP CONT)
                else _supervisor_processes
                fi ;;
            @GROUPS@) mapfile -t candidates < <(_supervisor_groups) ;;
            @INACTIVE@) mapfile -t candidates < <(_supervisor_inactive) ;;
            @ANY@) mapfile -t candidates < <({ _supervisor_groups; _supervisor_inactive; } | sort -u) ;;
            @PROGRAMS@) mapfile -t candidates < <(_supervisor_programs) ;;
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

# These see the words of the line that calls the client.
_supervisor_groups() {
    "${command[@]}" status 2>/dev/null | awk '{ print $1 }' | cut -d: -f1 | sort -u
}

_supervisor_inactive() {
    "${command[@]}" avail 2>/dev/null | awk '$2 == "avail" { print $1 }' | cut -d: -f1 | sort -u
}

_supervisor_programs() {
    "${command[@]}" scale 2>/dev/null | awk '{ print $1 }'
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
        elif [[ $word == -[csupro] || $word == --(configuration|output|image|serverurl|username|password|history[-_]file|color|env[-_]file|unit[-_]dir|name) ]]; then
            value=$word; command+=("$word")
        elif [[ $word == -* ]]; then command+=("$word")
        elif [[ -z $part ]]; then part=$word; command+=("$word")
        else action=$word
        fi
    done
    case $value in
        -c|--configuration|-o|--output|-r|--history*) _files; return ;;
        ?*) return ;;
    esac
    case $part in
        '') candidates=(ctl check init service export import schema version completions man) ;;
        completions) candidates=(bash zsh fish) ;;
        service) [[ -n $action ]] || candidates=(install uninstall start stop status) ;;
        export) [[ -n $action ]] || candidates=(@EXPORTS@) ;;
        import)
            [[ -n $action ]] && { _files; return; }
            candidates=(@IMPORTS@) ;;
        schema) candidates=(check) ;;
        ctl) case $action in
            '') candidates=(@ACTIONS@) ;;
            @PROCESSES@) _supervisor_processes ;;
            @SIGNAL@) if [[ $typed[-1] == $action ]]
                then candidates=(TERM HUP INT QUIT KILL USR1 USR2 STOP CONT)
                else _supervisor_processes
                fi ;;
            @GROUPS@) candidates=(${(uf)"$(_supervisor_groups)"}) ;;
            @INACTIVE@) candidates=(${(uf)"$(_supervisor_inactive)"}) ;;
            @ANY@) candidates=(${(uf)"$(_supervisor_groups; _supervisor_inactive)"}) ;;
            @PROGRAMS@) candidates=(${(f)"$(_supervisor_programs)"}) ;;
            @HELP@) candidates=(@ACTIONS@) ;;
        esac ;;
    esac
    compadd -a candidates
}

# These see the words of the line that calls the client.
_supervisor_groups() {
    "${command[@]}" status 2>/dev/null | awk '{ print $1 }' | cut -d: -f1
}

_supervisor_inactive() {
    "${command[@]}" avail 2>/dev/null | awk '$2 == "avail" { print $1 }' | cut -d: -f1
}

_supervisor_programs() {
    "${command[@]}" scale 2>/dev/null | awk '{ print $1 }'
}

_supervisor_processes() {
    candidates=(${(f)"$("${command[@]}" status 2>/dev/null |
        awk '{ print $1; if (split($1, part, ":") > 1 && part[1] != last) { print part[1] ":*"; last = part[1] } }')"} all)
}

compdef _supervisor supervisorctl supervisord
"#;

const FISH: &str = r#"# Completion of supervisorctl and supervisord for fish.
# Use: supervisord completions fish | source

function __supervisor_complete
    set -l words (commandline -opc)
    set -l client $words[1]
    set -l part ''
    set -l action ''
    set -l value ''
    string match -q '*supervisorctl' -- $words[1]; and set part ctl
    for word in $words[2..-1]
        if test -n "$action"
            break
        else if test -n "$value"
            set value ''
            set client $client $word
        else if contains -- $word -c -s -u -p -r -o --output --image --configuration --serverurl --username --password --history_file --color --env-file --unit-dir --name
            set value $word
            set client $client $word
        else if string match -q -- '-*' $word
            set client $client $word
        else if test -z "$part"
            set part $word
            set client $client $word
        else
            set action $word
        end
    end
    switch "$value"
        case -c --configuration -o --output -r --history_file
            __fish_complete_path (commandline -ct)
            return
        case '?*'
            return
    end
    switch "$part"
        case ''
            printf '%s\n' ctl check init service export import schema version completions man
        case completions
            printf '%s\n' bash zsh fish
        case service
            test -z "$action"; and printf '%s\n' install uninstall start stop status
        case export
            test -z "$action"; and printf '%s\n' @EXPORTS@
        case import
            if test -n "$action"
                __fish_complete_path (commandline -ct)
            else
                printf '%s\n' @IMPORTS@
            end
        case schema
            printf '%s\n' check
        case ctl
            switch "$action"
                case ''
                    printf '%s\t%s\n' @MEANINGS@
                case @PROCESSES@
                    __supervisor_processes $client
                case @SIGNAL@
                    if test "$words[-1]" = "$action"
                        printf '%s\n' TERM HUP INT QUIT KILL USR1 USR2 STOP CONT
                    else
                        __supervisor_processes $client
                    end
                case @GROUPS@
                    __supervisor_groups $client
                case @INACTIVE@
                    __supervisor_inactive $client
                case @ANY@
                    begin; __supervisor_groups $client; __supervisor_inactive $client; end | sort -u
                case @PROGRAMS@
                    __supervisor_programs $client
                case @HELP@
                    printf '%s\n' @ACTIONS@
            end
    end
end

function __supervisor_groups
    $argv status 2>/dev/null | awk '{ print $1 }' | cut -d: -f1 | sort -u
end

function __supervisor_inactive
    $argv avail 2>/dev/null | awk '$2 == "avail" { print $1 }' | cut -d: -f1 | sort -u
end

function __supervisor_programs
    $argv scale 2>/dev/null | awk '{ print $1 }'
end

function __supervisor_processes
    $argv status 2>/dev/null | awk '{ print $1; if (split($1, part, ":") > 1 && part[1] != last) { print part[1] ":*"; last = part[1] } }
        END { print "all" }'
end

complete -c supervisorctl -f -a '(__supervisor_complete)'
complete -c supervisord -f -a '(__supervisor_complete)'
"#;

/// Every action and what its first form does, as arguments of fish's `printf`.
fn meanings() -> String {
    let pairs = COMMANDS.iter().filter_map(|command| {
        let (_, meaning) = command.forms.first()?;
        Some(format!("{} '{}'", command.name, meaning.replace('\'', "\\'")))
    });
    pairs.collect::<Vec<String>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_knows_every_action() {
        for shell in SHELLS {
            let script = completions(shell, "systemd other", "unit").unwrap();
            let is_marker =
                |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_uppercase());
            assert!(!script.split('@').any(is_marker), "{shell}: a list is missing");
            for command in COMMANDS {
                assert!(script.contains(command.name), "{shell}: {}", command.name);
            }
        }
        assert_eq!(completions("tcsh", "", ""), None);
    }
}
