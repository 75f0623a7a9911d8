//! The manual pages: `supervisord man`.

use crate::config::schema::{self, KINDS, Key, Kind};
use crate::ctl::commands::COMMANDS;

/// The page of the client, for `man -l -`.
pub(crate) fn ctl_page(options: &str) -> String {
    let mut page = head("SUPERVISORCTL", "supervisorctl", "control programs that run under supervisord");
    page.push_str(&synopsis(&[
        "supervisorctl [\\fIoptions\\fR] [\\fIaction\\fR [\\fIarguments\\fR]]",
        "supervisord ctl [\\fIoptions\\fR] [\\fIaction\\fR [\\fIarguments\\fR]]",
    ]));
    page.push_str(DESCRIPTION);
    page.push_str(&option_section(options));
    page.push_str(".SH ACTIONS\n");
    for command in COMMANDS {
        for (form, meaning) in command.forms {
            page.push_str(&format!(".TP\n\\fB{}\\fR\n{}.\n", escape(form), escape(meaning)));
        }
        if !command.note.is_empty() {
            page.push_str(&format!(".IP\n{}\n", escape(command.note)));
        }
    }
    page.push_str(NAMES);
    page.push_str(EXIT_STATUS);
    page.push_str(ENVIRONMENT);
    page
}

/// The page of the daemon.
pub(crate) fn daemon_page(options: &str) -> String {
    let mut page = head("SUPERVISORD", "supervisord", "run programs and keep them running");
    page.push_str(&synopsis(&[
        "supervisord [\\fIoptions\\fR]",
        "supervisord ctl|check|init|service|export|import|schema|version|completions|man ...",
    ]));
    page.push_str(DAEMON_DESCRIPTION);
    page.push_str(&option_section(options));
    page.push_str(SERVICE);
    page.push_str(CONVERSION);
    page
}

/// The page of the configuration file: every section and every key of the schema.
pub(crate) fn configuration_page() -> String {
    let mut page =
        head_in_section(5, "SUPERVISORD.CONF", "supervisord.conf", "what supervisord runs, and how");
    page.push_str(CONFIGURATION);
    for kind in &KINDS {
        page.push_str(&section_of(kind));
    }
    page.push_str(CONFIGURATION_END);
    page
}

/// A section and its keys. Those that it shares with a program are described there.
fn section_of(kind: &Kind) -> String {
    let is_like_program = ["eventlistener:", "fcgi-program:"].contains(&kind.prefix);
    let is_its_own = |key: &&Key| !is_like_program || !schema::knows("program:x", key.name);
    let keys: String = kind.keys().filter(is_its_own).map(entry).collect();
    format!(".SH [{}{}]\n{}\n{keys}", escape(kind.prefix), escape(kind.example), escape(kind.help))
}

fn entry(key: &Key) -> String {
    let value = key.example.or(key.default).unwrap_or_default();
    let default = match key.default {
        Some("") => " Default: empty.".to_string(),
        Some(default) => format!(" Default: {}.", escape(default)),
        None => String::new(),
    };
    let new = if key.new { " Supervisor does not know it." } else { "" };
    let others: String = schema::aliases_of(key.name).map(|name| format!(" Also written {name}.")).collect();
    format!(
        ".TP\n\\fB{}\\fR=\\fI{}\\fR\n{}.{default}{new}{}\n",
        escape(key.name),
        escape(value),
        escape(key.help),
        escape(&others)
    )
}

fn head(title: &str, name: &str, what: &str) -> String {
    head_in_section(1, title, name, what)
}

fn head_in_section(section: u8, title: &str, name: &str, what: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(".TH {title} {section} \"\" \"supervisord {version}\"\n.SH NAME\n{name} \\- {what}\n")
}

fn synopsis(lines: &[&str]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| format!("{}\n", line.replace('-', "\\-"))).collect();
    format!(".SH SYNOPSIS\n{}", lines.join(".br\n"))
}

/// Makes a section of lines like `-c/--configuration FILENAME -- configuration file path`.
fn option_section(options: &str) -> String {
    let mut section = ".SH OPTIONS\n".to_string();
    for (names, meaning) in options.lines().filter_map(|line| line.split_once(" -- ")) {
        section.push_str(&format!(".TP\n\\fB{}\\fR\n{}.\n", escape(names), escape(meaning)));
    }
    section
}

/// Text as roff wants it: no line may begin with a dot or an apostrophe, hyphens are to be typed as they are.
fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

const DESCRIPTION: &str = "\
.SH DESCRIPTION
Sends requests to a running supervisord, or to an original Supervisor, and prints the answers. Without an action it starts
a shell that reads actions.
.PP
The server's address and the credentials come from the section \\fB[supervisorctl]\\fR of the configuration file. Options
override them.
";

const DAEMON_DESCRIPTION: &str = "\
.SH DESCRIPTION
Starts the programs of a configuration file, and starts them again when they end. Reads the configuration files of
Supervisor unchanged. A word after the options selects another part of the program: the client (\\fBctl\\fR), a check of the
configuration (\\fBcheck\\fR), a sample configuration (\\fBinit\\fR), the systemd service (\\fBservice\\fR), the files of other
programs (\\fBexport\\fR, \\fBimport\\fR), a JSON Schema of the configuration (\\fBschema\\fR), completions for a shell
(\\fBcompletions\\fR), or this page (\\fBman\\fR).
.PP
With \\fBexitkillall=false\\fR in [supervisord], programs keep running when the daemon ends. One process of the daemon, the
keeper, stays with them and moves their output to their logs. If \\fBstartkillall=false\\fR, the next start with the same
pidfile resumes them, and applies changes of the configuration as \\fBupdate\\fR does. To end everything for good, use
\\fBstop all\\fR before \\fBshutdown\\fR, or send TERM to the keeper some seconds after the end of the daemon. The lock file
beside the pidfile holds the keeper's pid. As PID 1 the daemon always stops its programs.
.PP
If the keeper was killed too, the next start finds programs by the table in \\fBprocessinfomapfile\\fR. It takes over those
whose pid, start time and boot agree.
";

const SERVICE: &str = "\
.SH SERVICE
.TP
\\fBservice install\\fR [\\fB\\-c\\fR \\fIFILENAME\\fR] [\\fB\\-\\-env\\-file\\fR \\fIFILENAME\\fR] [\\fB\\-\\-name\\fR \\fINAME\\fR]
Writes and enables the systemd unit \\fINAME\\fR.service (default supervisord.service), which runs this program with that
configuration. It never replaces a unit that somebody else wrote or changed. Run it again to bring the unit up to date, for
example after \\fBexitkillall\\fR or the longest \\fBstopwaitsecs\\fR has changed.
.TP
\\fBservice uninstall\\fR
Stops and disables the service, and removes the unit that \\fBservice install\\fR wrote.
.TP
\\fBservice start\\fR, \\fBstop\\fR, \\fBstatus\\fR
Call systemctl for the unit.
.PP
\\fBsystemctl reload\\fR does what \\fBsupervisorctl update\\fR does: programs whose settings did not change run on. With
\\fB\\-\\-unit\\-dir\\fR \\fIDIRECTORY\\fR the unit is written to another directory, for example in the image of a machine.
The exit status is 0 for success, 1 for failure, 2 for wrong usage, and for \\fBstatus\\fR that of systemctl.
";

const CONVERSION: &str = "\
.SH EXPORT AND IMPORT
.TP
\\fBexport\\fR \\fIFORMAT\\fR [\\fB\\-o\\fR \\fIPATH\\fR] [\\fB\\-\\-image\\fR \\fINAME\\fR] [\\fIPROGRAM\\fR|\\fIGROUP\\fR...]
Writes the programs of the configuration in the format of another program. \\fBexport \\-h\\fR lists the formats.
.TP
\\fBimport\\fR \\fIFORMAT\\fR [\\fB\\-o\\fR \\fIPATH\\fR] \\fIFILE\\fR...
Makes a configuration of another program's files. \\fBimport \\-h\\fR lists the formats.
.TP
\\fBschema\\fR [\\fBcheck\\fR]
Prints a JSON Schema of the configuration, or of what \\fBcheck \\-\\-json\\fR prints.
.PP
What the other side cannot say is listed on standard error, and in comments at the head of what was written: nothing is
dropped silently. Without \\fB\\-o\\fR everything goes to standard output. No file is ever replaced. Files that may hold a
password have mode 0600.
";

const NAMES: &str = "\
.SH NAMES
A process is \\fIname\\fR, or \\fIgroup\\fR:\\fIname\\fR if its group has another name. \\fBsupervisord ctl\\fR also takes the name alone if
no other process has it. \\fIgroup\\fR:* means every process of a group, \\fBall\\fR means every process. A word with *, ? or [ ] is a
pattern for the names of processes and groups. Quote it, so that the shell does not replace it with names of files.
";

const EXIT_STATUS: &str = "\
.SH EXIT STATUS
.TP
0
Success. This includes \\fBstart\\fR of a running process and \\fBstop\\fR of a stopped one.
.TP
1
The action failed, or its arguments are wrong.
.TP
2
An option or the configuration is wrong. \\fBstart\\fR: no name was given, or an unknown group.
.TP
3
\\fBstatus\\fR: a process shown is STOPPED, EXITED, FATAL or UNKNOWN. Other actions: the server lacks the methods that the
client needs.
.TP
4
\\fBstatus\\fR: the server does not answer, or a name is unknown. Other actions: the server refuses the connection.
.TP
5
The server speaks another version of the protocol.
.TP
7
A process did not start, ended while starting, or does not run. Also: the socket file does not exist.
.TP
130, 141
Ended by Ctrl\\-C, or because nobody read the output.
";

const ENVIRONMENT: &str = "\
.SH ENVIRONMENT
.TP
\\fBSUPERVISORCTL_PASSWORD\\fR
The password for the server, to keep it off the command line. The client sends it to a server that \\fB\\-s\\fR names, to the
default server, or to one from a configuration file that only root or the user can change.
.TP
\\fBNETRC\\fR
A file to read user names and passwords from instead of \\fI~/.netrc\\fR. A machine in it is the server's host, its socket file
or its whole URL. For a server that other users could have chosen, only the whole URL counts.
.TP
\\fBNO_COLOR\\fR
If set, the client uses no colours, not even on a terminal.
";

const CONFIGURATION: &str = "\
.SH DESCRIPTION
Sections in brackets, below them a key and a value in a line. A line that begins with a blank goes on with the value above. A
semicolon behind a blank begins a comment. \\fB%(here)s\\fR is the directory of the file, \\fB%(ENV_X)s\\fR the
environment variable X, and \\fB%%\\fR a percent sign.
.PP
Files of Supervisor are read as they are. \\fBsupervisord check\\fR says what is wrong with a file, \\fBsupervisord
init\\fR prints one with every key, and \\fBsupervisorctl update\\fR applies what changed.
";

const CONFIGURATION_END: &str = "\
.SH SEE ALSO
.BR supervisord (1),
.BR supervisorctl (1)
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_hold_every_action_and_option() {
        let page = ctl_page("-c/--configuration FILENAME -- configuration file path\n");
        for command in COMMANDS {
            assert!(page.contains(&escape(command.forms[0].0)), "{}", command.name);
        }
        assert!(page.contains("\\-c/\\-\\-configuration FILENAME"));
        assert!(daemon_page("-n -- x").contains("\\fB\\-n\\fR\nx."));
    }

    #[test]
    fn the_page_of_the_configuration_holds_every_key_once() {
        let page = configuration_page();
        for kind in &KINDS {
            assert!(page.contains(&format!(".SH [{}", escape(kind.prefix))), "{}", kind.prefix);
            for key in kind.keys() {
                assert!(page.contains(&format!("\\fB{}\\fR=", escape(key.name))), "{}", key.name);
            }
        }
        assert_eq!(page.matches("\\fBautorestart\\fR=").count(), 1);
        let line = "\\fBstartsecs\\fR=\\fI1\\fR\n";
        assert!(page.contains(line), "{page}");
    }

    #[test]
    fn text_cannot_become_a_request() {
        assert_eq!(escape(".so x"), "\\&.so x");
        assert_eq!(escape("a\\b -c"), "a\\eb \\-c");
    }
}
