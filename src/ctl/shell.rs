//! The shell: a prompt, line by line, until the user leaves.

use crate::ctl::complete::{self, Source};
use crate::ctl::daemon::Daemon;
use crate::ctl::error::Outcome;
use crate::ctl::exit::Exit;
use crate::ctl::records::{Configured, Process};
use crate::ctl::session::Session;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};
use std::cell::RefCell;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::rc::Rc;

/// How many lines the history keeps.
const MAX_HISTORY: usize = 1000;

/// What the shell begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Greeting {
    Status,
    None,
}

/// Shows the status if wished and runs lines until `quit`, Ctrl-D, or Ctrl-C at the prompt. Whatever the lines did, leaving
/// is a success.
///
/// # Errors
/// If nobody reads the output any more.
pub(crate) fn run(session: Session, greeting: Greeting) -> Outcome {
    let session = Rc::new(RefCell::new(session));
    if greeting == Greeting::Status {
        session.borrow_mut().run_line("status")?;
    }
    let mut lines = Lines::open(&session);
    loop {
        let line = lines.next(&session)?;
        let mut session = session.borrow_mut();
        match line.as_deref().map(str::trim) {
            // The end of input; and its name, which Python's shells take for it.
            None | Some("EOF") => return Ok(session.screen.line("")?),
            Some(line) => session.run_line(line)?,
        }
        if session.leaving {
            return Ok(());
        }
        session.exit = Exit::SUCCESS;
    }
}

/// Where lines come from.
enum Lines {
    /// A terminal, with editing, history and completion.
    Edited(Box<Edited>),
    /// Anything else.
    Piped,
}

struct Edited {
    editor: Editor<Names, FileHistory>,
    history: Option<PathBuf>,
}

impl Lines {
    fn open(session: &Rc<RefCell<Session>>) -> Lines {
        if !io::stdin().is_terminal() {
            return Lines::Piped;
        }
        match Edited::open(session) {
            Ok(edited) => Lines::Edited(Box::new(edited)),
            Err(_) => Lines::Piped,
        }
    }

    /// The next line; `None` if there will be none.
    fn next(&mut self, session: &Rc<RefCell<Session>>) -> io::Result<Option<String>> {
        let prompt = format!("{}> ", session.borrow().settings.prompt);
        match self {
            Lines::Edited(edited) => edited.next(&prompt),
            Lines::Piped => {
                let session = &mut *session.borrow_mut();
                session.screen.bytes(prompt.as_bytes())?;
                session.input.read_line()
            }
        }
    }
}

impl Edited {
    fn open(session: &Rc<RefCell<Session>>) -> rustyline::Result<Edited> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .max_history_size(MAX_HISTORY)?
            .auto_add_history(false)
            .build();
        let mut editor = Editor::with_config(config)?;
        editor.set_helper(Some(Names { session: Rc::clone(session), cache: RefCell::default() }));
        let history = session.borrow().settings.history_file.clone();
        if let Some(path) = &history {
            // That there is none yet is the usual case.
            let _ = editor.load_history(path);
        }
        Ok(Edited { editor, history })
    }

    fn next(&mut self, prompt: &str) -> io::Result<Option<String>> {
        if let Some(names) = self.editor.helper() {
            names.cache.take();
        }
        match self.editor.readline(prompt) {
            Ok(line) => {
                self.remember(&line);
                Ok(Some(line))
            }
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => Ok(None),
            Err(ReadlineError::Io(problem)) => Err(problem),
            Err(_) => Ok(None),
        }
    }

    /// Writes the line to the history at once: Ctrl-C may end the next command and us with it.
    fn remember(&mut self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        let _ = self.editor.add_history_entry(line);
        if let Some(path) = &self.history {
            let _ = self.editor.append_history(path);
        }
    }
}

/// Completes names, asking the daemon once for each line that needs them.
struct Names {
    session: Rc<RefCell<Session>>,
    cache: RefCell<Cache>,
}

#[derive(Default)]
struct Cache {
    processes: Option<Vec<Process>>,
    configured: Option<Vec<Configured>>,
}

impl Helper for Names {}
impl Highlighter for Names {}
impl Validator for Names {}

impl Hinter for Names {
    type Hint = String;
}

impl Completer for Names {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let mut session = self.session.borrow_mut();
        let mut cache = self.cache.borrow_mut();
        let mut source = Asked { daemon: &mut session.daemon, cache: &mut cache };
        Ok(complete::complete(&line[..pos], &mut source))
    }
}

struct Asked<'a> {
    daemon: &'a mut Daemon,
    cache: &'a mut Cache,
}

/// Whatever goes wrong while completing is told by the command, not in the middle of a line.
impl Source for Asked<'_> {
    fn processes(&mut self) -> Vec<Process> {
        let daemon = &mut self.daemon;
        self.cache.processes.get_or_insert_with(|| daemon.all_process_info().unwrap_or_default()).clone()
    }

    fn configured(&mut self) -> Vec<Configured> {
        let daemon = &mut self.daemon;
        self.cache.configured.get_or_insert_with(|| daemon.all_config_info().unwrap_or_default()).clone()
    }

    fn programs(&mut self) -> Vec<String> {
        let programs = self.daemon.programs(&[]).unwrap_or_default();
        programs.into_iter().map(|it| it.program).collect()
    }
}
