//! The manual pages: `supervisord man`.

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
        "supervisord ctl|check|init|service|version|completions|man ...",
    ]));
    page.push_str(DAEMON_DESCRIPTION);
    page.push_str(&option_section(options));
    page.push_str(SERVICE);
    page
}

fn head(title: &str, name: &str, what: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(".TH {title} 1 \"\" \"supervisord {version}\"\n.SH NAME\n{name} \\- {what}\n")
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
Talks to a running supervisord, or to an original Supervisor, and prints what it answers. Without an action it is a shell
in which actions are typed.
.PP
The server's address and the credentials come from the section \\fB[supervisorctl]\\fR of the configuration file; options
go before it.
";

const DAEMON_DESCRIPTION: &str = "\
.SH DESCRIPTION
Starts the programs of a configuration file and starts them again when they end. Reads the files of Supervisor as they
are. The words behind the options make it something else: the client (\\fBctl\\fR), a check of the configuration
(\\fBcheck\\fR), a sample of one (\\fBinit\\fR), the systemd service (\\fBservice\\fR), completions for a shell, or this page.
.PP
With \\fBexitkillall=false\\fR in [supervisord] the end of the daemon leaves its programs running with a process of it,
the keeper, which goes on moving their output to their logs. The next start on the same pidfile takes them up again, if
\\fBstartkillall=false\\fR, and deals with what is configured differently by then as \\fBupdate\\fR does. To end everything
for good, \\fBstop all\\fR before \\fBshutdown\\fR, or send TERM to the keeper some seconds after the end of the daemon; its pid
stands in the lock file beside the pidfile. As PID 1 the daemon always stops its programs.
.PP
If even the keeper was killed, programs are found by the table in \\fBprocessinfomapfile\\fR and taken over, provided that pid,
start time and boot agree.
";

const SERVICE: &str = "\
.SH SERVICE
.TP
\\fBservice install\\fR [\\fB\\-c\\fR \\fIFILENAME\\fR] [\\fB\\-\\-env\\-file\\fR \\fIFILENAME\\fR] [\\fB\\-\\-name\\fR \\fINAME\\fR]
Writes and enables the systemd unit \\fINAME\\fR.service (supervisord.service), which runs this program with that configuration. A unit
that somebody else wrote, or has changed, stays as it is. Called again it brings the unit up to date, for example after
\\fBexitkillall\\fR or the longest \\fBstopwaitsecs\\fR has changed.
.TP
\\fBservice uninstall\\fR
Stops and disables the service, and removes the unit that \\fBservice install\\fR wrote.
.TP
\\fBservice start\\fR, \\fBstop\\fR, \\fBstatus\\fR
Call systemctl for the unit.
.PP
\\fBsystemctl reload\\fR does what \\fBsupervisorctl update\\fR does: programs that did not change go on. With \\fB\\-\\-unit\\-dir\\fR
\\fIDIRECTORY\\fR the unit lies elsewhere, for the image of another machine for example.
The exit status is 0, 1 if something was not done, 2 for wrong words, and for \\fBstatus\\fR that of systemctl.
";

const NAMES: &str = "\
.SH NAMES
A process is \\fIname\\fR, or \\fIgroup\\fR:\\fIname\\fR if its group has another name; to \\fBsupervisord ctl\\fR its name alone
will do if no other process bears it. \\fIgroup\\fR:* is every process of a group, \\fBall\\fR is every process. The signs *, ? and [ ] make
a pattern that names and groups are matched with; quote it, or the shell takes it for files.
";

const EXIT_STATUS: &str = "\
.SH EXIT STATUS
.TP
0
All is well; also for \\fBstart\\fR of what runs and \\fBstop\\fR of what does not.
.TP
1
The action failed, or its arguments are wrong.
.TP
2
An option or the configuration is wrong; \\fBstart\\fR without a name, or of an unknown group.
.TP
3
\\fBstatus\\fR: a process shown is STOPPED, EXITED, FATAL or UNKNOWN. Others: the server does not offer what the client needs.
.TP
4
\\fBstatus\\fR: the server cannot be asked, or a name is unknown. Others: the server refuses the connection.
.TP
5
The server speaks another version of the protocol.
.TP
7
A process did not start, ended while starting, or does not run; or there is no socket file.
.TP
130, 141
Ended by Ctrl\\-C, or because nobody read the output.
";

const ENVIRONMENT: &str = "\
.SH ENVIRONMENT
.TP
\\fBSUPERVISORCTL_PASSWORD\\fR
The password for the server, so that it need not stand on the command line. It goes to a server that was named by
\\fB\\-s\\fR, that is the default, or that stands in a configuration file which only root or the user can change.
.TP
\\fBNETRC\\fR
A file to read user names and passwords from instead of \\fI~/.netrc\\fR. The machine is the server's host, its socket file
or the whole URL; only the last counts for a server that others could have chosen.
.TP
\\fBNO_COLOR\\fR
If set, colours are not used even on a terminal.
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
    fn text_cannot_become_a_request() {
        assert_eq!(escape(".so x"), "\\&.so x");
        assert_eq!(escape("a\\b -c"), "a\\eb \\-c");
    }
}
