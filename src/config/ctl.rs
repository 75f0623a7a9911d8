//! `[supervisorctl]`: the part of the file that the client reads.

use crate::config::args::CtlArgs;
use crate::config::document::{Document, SourceFile};
use crate::config::error::{ConfigError, ConfigErrors};
use crate::config::include::Files;
use crate::config::load::search;
use crate::config::reading::Readable;
use crate::config::section::{Context, Note, Section};
use crate::config::servers::{self, ServerToReach};
use crate::config::surroundings::Surroundings;
use crate::config::trust::{self, Others};
use crate::model::config::{Level, Message};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

const SECTION: &str = "supervisorctl";
const FACTORY_KEY: &str = "supervisor.ctl_factory";

/// How the client is to reach its daemon.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct CtlConfig {
    /// `http://host:port` or `unix://` and an absolute path.
    pub serverurl: String,
    pub username: Option<String>,
    pub password: Option<String>,
    pub prompt: String,
    /// Absolute.
    pub history_file: Option<PathBuf>,
    /// The file that was read; `None` if there was none and no `-c`.
    pub path_read: Option<PathBuf>,
    /// Who else may have chosen `serverurl`: whoever can write to the file it stands in. `None` if it is the user's, root's,
    /// or the default.
    pub url_is_of: Option<String>,
    /// Warnings and notes from reading it.
    pub messages: Vec<Message>,
}

/// Does not print the password.
impl std::fmt::Debug for CtlConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CtlConfig")
            .field("serverurl", &self.serverurl)
            .field("username", &self.username)
            .field("path_read", &self.path_read)
            .finish_non_exhaustive()
    }
}

/// Reads `[supervisorctl]` and lays the command line over it. Without that section the servers of the file say where the
/// daemon listens, and for whom. As in Supervisor, `[include]` is not followed if the section is there; if it is not, where
/// Supervisor only has an error, both are looked for in included files, too. Without `-c` a missing file is fine.
///
/// # Errors
/// The file cannot be read, says nothing about a server though the command line does not either, or a value in it is
/// wrong.
pub(crate) fn load_ctl(args: &CtlArgs, surroundings: &Surroundings) -> Result<CtlConfig, ConfigErrors> {
    let name = match (&args.configuration, search(surroundings)) {
        (Some(name), _) => Some(PathBuf::from(name)),
        (None, Ok(found)) => found,
        // Whoever says where the daemon is does not need the file.
        (None, Err(_)) if args.serverurl.is_some() => None,
        (None, Err(error)) => return Err(error.into()),
    };
    let mut document = Document::default();
    if let Some(name) = &name {
        let mut files = Files::new(name, surroundings, Readable::Pipes);
        document = files.main_alone()?;
        if !document.has_section(SECTION) {
            document = with_includes(document, name, args, &mut files)?;
        }
    }
    interpret(&document, args, surroundings, name.as_deref())
}

/// Reads what a file without `[supervisorctl]` includes. What is wrong there, or may not be read by this user, is an error
/// only if nothing else says where the daemon is.
fn with_includes(
    main: Document,
    name: &Path,
    args: &CtlArgs,
    files: &mut Files<'_>,
) -> Result<Document, ConfigErrors> {
    let is_told = args.serverurl.is_some() || servers::are_in(&main);
    let (document, notes) = loop {
        match files.document() {
            Ok(read) => break read,
            // The daemon does without these, too.
            Err(errors) if files.leave_out(errors.iter()) => {}
            Err(_) if is_told => return Ok(main),
            Err(errors) => return Err(errors),
        }
    };
    if is_told || document.has_section(SECTION) || servers::are_in(&document) {
        return Ok(document);
    }
    let mut text = ".ini file does not include supervisorctl section".to_string();
    let problems = notes.iter().filter(|note| note.message.level >= Level::Warn);
    text.extend(problems.flat_map(|note| ["; ", note.message.text.as_str()]));
    Err(ConfigError { file: Some(name.to_path_buf()), ..ConfigError::plain(text) }.into())
}

/// Reads the client's sections of a document.
pub(crate) fn interpret(
    document: &Document,
    args: &CtlArgs,
    surroundings: &Surroundings,
    name: Option<&Path>,
) -> Result<CtlConfig, ConfigErrors> {
    let context = Context::new(document, surroundings);
    let config = read(&context, args, name);
    for plugin in document.sections().filter(|name| name.starts_with("ctlplugin:")) {
        ctlplugin(&context.section(plugin));
    }
    let (errors, notes) = context.finish();
    match ConfigErrors::new(errors) {
        Some(errors) => Err(errors),
        None => Ok(CtlConfig { messages: notes.iter().map(Note::to_message).collect(), ..config }),
    }
}

fn read(context: &Context<'_>, args: &CtlArgs, name: Option<&Path>) -> CtlConfig {
    let around = context.surroundings;
    let section = context.section(SECTION);
    let text = |key: &str| section.text(key).map(|text| text.into_owned());
    let server = server(context, args);
    let written = text("serverurl").or(server.as_ref().map(|server| server.urls[0].clone()));
    let login = server.and_then(|server| server.login);
    let login = login.filter(|login| args.username.as_ref().is_none_or(|name| *name == login.username));
    let from_file = args.serverurl.is_none() && written.is_some();
    let serverurl = args.serverurl.clone().or(written);
    let serverurl = serverurl.unwrap_or_else(|| section.default_text("serverurl").to_string());
    let of_others =
        name.and_then(|_| files_that_choose(context.document).iter().find_map(|path| who_chose(path)));
    let mut history_file = args.history_file.clone().or(text("history_file"));
    if let (Some(why), Some(_), None) = (&of_others, &history_file, &args.history_file) {
        // Lines would be written to a file of their choice.
        section.note(Some("history_file"), Level::Warn, format!("no history is kept in it: {why}"));
        history_file = None;
    }
    CtlConfig {
        serverurl: with_absolute_path(around, serverurl),
        username: args
            .username
            .clone()
            .or(text("username"))
            .or(login.as_ref().map(|login| login.username.clone())),
        password: args.password.clone().or(text("password")).or(login.and_then(|login| login.password)),
        prompt: section.text_or_default("prompt").into_owned(),
        history_file: history_file
            .filter(|path| !path.is_empty())
            .map(|path| around.absolute_with_home(&path)),
        url_is_of: of_others.filter(|_| from_file),
        path_read: name.map(|name| around.absolute(name)),
        messages: Vec::new(),
    }
}

/// The server of a file without `[supervisorctl]` that the client is to use: the one that `-s` names, if it is one of
/// them; else the first that is open to this user.
fn server(context: &Context<'_>, args: &CtlArgs) -> Option<ServerToReach> {
    if context.document.has_section(SECTION) {
        return None;
    }
    let mut servers = servers::to_reach(context, args.serverurl.is_none());
    let chosen = match &args.serverurl {
        Some(url) => {
            let url = with_absolute_path(context.surroundings, url.clone());
            servers
                .iter()
                .position(|server| server.urls.iter().any(|known| known == url.trim_end_matches('/')))?
        }
        None => servers.iter().position(|server| server.is_open).unwrap_or(0),
    };
    (chosen < servers.len()).then(|| servers.swap_remove(chosen))
}

/// The files that say where the daemon is: the main one if it has `[supervisorctl]`, else all of them.
fn files_that_choose(document: &Document) -> Vec<PathBuf> {
    let files = document.files();
    let main_alone =
        document.header(SECTION).is_some_and(|place| Some(document.file(place)) == files.first());
    files.iter().take(if main_alone { 1 } else { files.len() }).map(SourceFile::path).collect()
}

/// Who else can write to a file, in words. A group that may is trusted: it is there to share the file.
fn who_chose(path: &Path) -> Option<String> {
    let doubts = trust::doubts_of(path, path, &mut HashSet::new());
    let doubt = doubts.into_iter().find(|doubt| !matches!(doubt.others, Others::Group { .. }))?;
    Some(format!("{}: {doubt}", path.display()))
}

fn with_absolute_path(around: &Surroundings, url: String) -> String {
    match url.strip_prefix("unix://") {
        Some(path) => format!("unix://{}", around.absolute_with_home(path).display()),
        None => url,
    }
}

/// Notes that a plug-in for the client, which is Python code, cannot be loaded.
fn ctlplugin(section: &Section<'_>) {
    match section.raw(FACTORY_KEY) {
        None => {
            let text = format!("section [{}] does not specify a {FACTORY_KEY}", section.name);
            section.error(None, text);
        }
        Some(factory) => {
            let text = format!(
                "[{}] names the plug-in '{}', which is Python code and cannot be loaded; its commands are not \
                 available",
                section.name, factory.text
            );
            section.note(Some(FACTORY_KEY), Level::Warn, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn surroundings(directory: &Path) -> Surroundings {
        Surroundings {
            environment: BTreeMap::from([("HOME".to_string(), "/home/me".to_string())]),
            current_dir: directory.to_path_buf(),
            host_node_name: "box".into(),
            executable: "/nowhere/bin/supervisord".into(),
            is_root: false,
        }
    }

    /// Reads a file with this text.
    fn load(text: &str, args: CtlArgs) -> Result<CtlConfig, String> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(directory.path().join("x.conf"), text).expect("written");
        let args = CtlArgs { configuration: Some("x.conf".into()), ..args };
        load_ctl(&args, &surroundings(directory.path())).map_err(|errors| errors.first().text.clone())
    }

    #[test]
    fn the_section_is_found_behind_other_includes() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a directory")).expect("created");
            std::fs::write(path, text).expect("written");
        };
        write("conf.d/a.conf", "[include]\nfiles=more/*.conf\n");
        write("conf.d/b.conf", "oops\n");
        write("conf.d/more/ctl.conf", "[supervisorctl]\nserverurl=http://h:1\n");
        for (mode, expected) in [("skip", Some("http://h:1")), ("fail", None)] {
            write(
                "x.conf",
                &format!("[program:x]\ncommand=x\n[include]\nfiles=conf.d\ninclude_errors={mode}\n"),
            );
            let args = CtlArgs { configuration: Some("x.conf".into()), ..CtlArgs::default() };
            let found = load_ctl(&args, &surroundings(directory.path()));
            assert_eq!(found.ok().map(|config| config.serverurl).as_deref(), expected, "{mode}");
        }
    }

    #[test]
    fn everything_is_read_and_the_command_line_wins() {
        let text = "[supervisorctl]\nserverurl=unix://~/s.sock\nusername=u\npassword=p\nprompt=mine\n\
                    history_file=~/.h\n[include]\nfiles=%(not expanded\n";
        let config = load(text, CtlArgs::default()).expect("it is right");
        assert_eq!(config.serverurl, "unix:///home/me/s.sock");
        assert_eq!((config.username.as_deref(), config.password.as_deref()), (Some("u"), Some("p")));
        assert_eq!(config.prompt, "mine");
        assert_eq!(config.history_file.as_deref(), Some(Path::new("/home/me/.h")));
        let url = Some("http://other:1".to_string());
        let config =
            load(text, CtlArgs { serverurl: url, username: Some("me".into()), ..CtlArgs::default() });
        let config = config.expect("it is right");
        assert_eq!((config.serverurl.as_str(), config.username.as_deref()), ("http://other:1", Some("me")));
    }

    #[test]
    fn defaults_without_a_file() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = load_ctl(&CtlArgs::default(), &surroundings(directory.path())).expect("no file is fine");
        assert_eq!(
            (config.serverurl.as_str(), config.prompt.as_str()),
            ("http://localhost:9001", "supervisor")
        );
        assert_eq!(config.path_read, None);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, message) in [
            ("[supervisord]\n", ".ini file does not include supervisorctl section"),
            ("[inet_http_server]\nport=x\n", "not a valid port number: 'x' "),
            (
                "[supervisorctl]\n[ctlplugin:foo]\n",
                "section [ctlplugin:foo] does not specify a supervisor.ctl_factory",
            ),
            (
                "[supervisorctl]\nprompt=%(x)s\n",
                "Format string '%(x)s' for 'supervisorctl.prompt' contains names ('x') which cannot be expanded. \
                 Available names: here",
            ),
        ] {
            assert_eq!(load(text, CtlArgs::default()).expect_err(text), message);
        }
        let args = CtlArgs { configuration: Some("/nope.conf".into()), ..CtlArgs::default() };
        let error = load_ctl(&args, &surroundings(Path::new("/"))).expect_err("there is no such file");
        assert_eq!(error.first().text, "could not find config file /nope.conf");
    }

    const SERVERS: &str = "[inet_http_server]\nport=*:9001\nusername=u\npassword=p\n[unix_http_server]\nfile=s.sock\n\
                           username=v\npassword={SHA}00\n";

    #[track_caller]
    fn check_server(text: &str, args: CtlArgs, url: &str, login: (Option<&str>, Option<&str>)) {
        let config = load(text, args).expect("it is right");
        assert_eq!(config.serverurl.rsplit('/').next(), Some(url), "{text}");
        assert_eq!((config.username.as_deref(), config.password.as_deref()), login, "{text}");
    }

    #[test]
    fn servers_stand_in_for_the_section() {
        let at = |url: &str| CtlArgs { serverurl: Some(url.into()), ..CtlArgs::default() };
        let inet = SERVERS.split("[unix").next().unwrap_or_default();
        check_server(inet, CtlArgs::default(), "localhost:9001", (Some("u"), Some("p")));
        // A hash is no password.
        check_server(SERVERS, CtlArgs::default(), "s.sock", (Some("v"), None));
        // Credentials go to the server that they are for.
        check_server(SERVERS, at("http://127.0.0.1:9001"), "127.0.0.1:9001", (Some("u"), Some("p")));
        check_server(SERVERS, at("http://localhost:9001"), "localhost:9001", (Some("u"), Some("p")));
        check_server(SERVERS, at("http://other:9001"), "other:9001", (None, None));
        check_server("[program:a]\ncommand=a\n", at("http://other:9001"), "other:9001", (None, None));
        let other_user = CtlArgs { username: Some("me".into()), ..CtlArgs::default() };
        check_server(inet, other_user, "localhost:9001", (Some("me"), None));
        check_server(&format!("{inet}[supervisorctl]\n"), CtlArgs::default(), "localhost:9001", (None, None));
        check_server("[unix_http_server]\n", CtlArgs::default(), "supervisord.sock", (None, None));
    }

    #[test]
    fn included_files_are_looked_at_where_supervisor_only_has_an_error() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a directory")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        let unix = "[unix_http_server]\nfile=%(here)s/s.sock\nusername=u\npassword=p\n";
        write("servers/a.conf", unix);
        write("client/a.conf", "[supervisorctl]\nserverurl=http://inc:1\n");
        write("bad/a.conf", "garbage\n");
        std::fs::create_dir_all(directory.path().join("unreadable/a.conf")).expect("made");
        let load = |text: &str, args: CtlArgs| {
            write("x.conf", text);
            let args = CtlArgs { configuration: Some("x.conf".into()), ..args };
            let config = load_ctl(&args, &surroundings(directory.path()));
            config
                .map(|config| (config.serverurl, config.username))
                .map_err(|errors| errors.first().text.clone())
        };
        let here = directory.path().display();
        let inc = |files: &str| format!("[include]\nfiles={files}/*.conf\n");
        let from = |url: &str, username: Option<&str>| Ok((url.to_string(), username.map(str::to_string)));
        let inet = "[inet_http_server]\nport=127.0.0.1:9001\n";
        for (text, expected) in [
            (inc("servers"), from(&format!("unix://{here}/servers/s.sock"), Some("u"))),
            (inc("client"), from("http://inc:1", None)),
            // As in Supervisor the section of the main file is all there is.
            (format!("{}[supervisorctl]\n", inc("servers")), from("http://localhost:9001", None)),
            (format!("{}[supervisorctl]\nserverurl=http://x:1\n", inc("client")), from("http://x:1", None)),
            (format!("{}{inet}", inc("client")), from("http://inc:1", None)),
            (format!("{}{inet}", inc("bad")), from("http://127.0.0.1:9001", None)),
            (format!("{}{inet}", inc("unreadable")), from("http://127.0.0.1:9001", None)),
        ] {
            assert_eq!(load(&text, CtlArgs::default()), expected, "{text}");
        }
        for (files, expected) in [
            ("bad", "File contains no section headers."),
            ("unreadable", ".ini file does not include supervisorctl section; could not read included file"),
            ("none", ".ini file does not include supervisorctl section; No file matches via include"),
        ] {
            let error = load(&inc(files), CtlArgs::default()).expect_err(files);
            assert!(error.starts_with(expected), "{files}: {error}");
        }
        let url = Some("http://other:1".to_string());
        let given = load(&inc("bad"), CtlArgs { serverurl: url, ..CtlArgs::default() });
        assert_eq!(given, from("http://other:1", None));
    }

    #[test]
    fn whoever_can_change_an_included_file_chooses_the_server() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("open.conf");
        std::fs::write(&path, "[supervisorctl]\nserverurl=http://inc:1\n").expect("written");
        let mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
        let args = CtlArgs { configuration: Some("x.conf".into()), ..CtlArgs::default() };
        std::fs::write(directory.path().join("x.conf"), "[include]\nfiles=open.conf\n").expect("written");
        for (bits, is_of_others) in [(0o600, false), (0o666, true)] {
            std::fs::set_permissions(&path, mode(bits)).expect("set");
            let config = load_ctl(&args, &surroundings(directory.path())).expect("it is right");
            let said = config.url_is_of.unwrap_or_default();
            assert_eq!(said.contains("open.conf: everybody can change this file"), is_of_others, "{said}");
        }
    }

    #[test]
    fn a_plug_in_is_said_to_be_missing() {
        let text = "[supervisorctl]\n[ctlplugin:foo]\nsupervisor.ctl_factory=a:b\n";
        let config = load(text, CtlArgs::default()).expect("it is right");
        assert_eq!(config.messages.len(), 1);
    }
}
