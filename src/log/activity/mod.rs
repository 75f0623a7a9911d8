//! The activity log: what the daemon says about itself.
//!
//! Everybody logs through the `log` crate's macros and [`crit!`](crate::crit) and
//! [`blather!`](crate::blather) for Supervisor's two other levels. `env_logger` formats. This module has the threshold,
//! which can change at run time, and the writing, which never fails its caller: a line that cannot be written is
//! counted, and the count is written when that works again.
//!
//! `RUST_LOG=supervisord::http=debug` writes the messages of single modules whatever `loglevel` says.

mod line;
mod writer;

use crate::log::activity::line::format_line;
use crate::log::activity::writer::{Place, Writer};
use crate::log::sinks::open;
use crate::model::config::{DaemonConfig, Level, LogFormat};
use ::log::{LevelFilter, Log, Metadata, Record};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, Write};
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// The target that marks a message as critical; the `log` crate has no such level.
pub const CRITICAL: &str = "supervisord::critical";
/// The target that marks what a program wrote, on lines of its own as in Supervisor.
pub const OUTPUT: &str = "supervisord::output";
/// The same as [`CRITICAL`] for a message below trace.
pub const BLATHER: &str = "supervisord::blather";

/// Logs at level CRIT.
#[macro_export]
macro_rules! crit {
    ($($argument:tt)+) => { ::log::error!(target: $crate::log::activity::CRITICAL, $($argument)+) };
}

/// Logs at level BLAT.
#[macro_export]
macro_rules! blather {
    ($($argument:tt)+) => { ::log::trace!(target: $crate::log::activity::BLATHER, $($argument)+) };
}

/// The least level that is written, as a number.
static THRESHOLD: AtomicU8 = AtomicU8::new(20);
/// Whether lines are JSON objects.
static JSON: AtomicBool = AtomicBool::new(false);
/// Where lines go.
static WRITER: Mutex<Option<Writer>> = Mutex::new(None);
/// What RUST_LOG asks for.
static RULES: OnceLock<env_logger::Logger> = OnceLock::new();

/// The name of a level in a log line and its number (Supervisor, loggers.py).
fn name_and_number(level: Level) -> (&'static str, u8) {
    match level {
        Level::Critical => ("CRIT", 50),
        Level::Error => ("ERRO", 40),
        Level::Warn => ("WARN", 30),
        Level::Info => ("INFO", 20),
        Level::Debug => ("DEBG", 10),
        Level::Trace => ("TRAC", 5),
        Level::Blather => ("BLAT", 3),
    }
}

fn level_of(metadata: &Metadata<'_>) -> Level {
    match (metadata.level(), metadata.target()) {
        (::log::Level::Error, CRITICAL) => Level::Critical,
        (::log::Level::Error, _) => Level::Error,
        (::log::Level::Warn, _) => Level::Warn,
        (::log::Level::Info, _) => Level::Info,
        (::log::Level::Debug, _) => Level::Debug,
        (::log::Level::Trace, BLATHER) => Level::Blather,
        (::log::Level::Trace, _) => Level::Trace,
    }
}

/// Why the activity log could not be set up. Its text is meant for a usage error.
#[derive(Debug)]
pub struct ActivityError {
    what: String,
    source: io::Error,
}

impl fmt::Display for ActivityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not open {}: {}", self.what, self.source)
    }
}

impl std::error::Error for ActivityError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Opens the activity log and makes it the place where every log macro writes.
///
/// With `copy_to_stdout` the lines go to standard output as well, unless that is where the log goes already.
///
/// # Errors
/// The log cannot be opened, with path and reason.
pub fn init(config: &DaemonConfig, copy_to_stdout: bool) -> Result<(), ActivityError> {
    reconfigure(config, copy_to_stdout)?;
    let filters = std::env::var("RUST_LOG").unwrap_or_default();
    let rules = RULES.get_or_init(|| env_logger::Builder::new().parse_filters(&filters).build());
    let formatter = env_logger::Builder::new()
        .filter_level(LevelFilter::Trace)
        .format(format_line)
        .target(env_logger::Target::Pipe(Box::new(ToWriter)))
        .build();
    // Fails if there is a logger already, which then is ours from an earlier call.
    let _ = ::log::set_boxed_logger(Box::new(Activity { formatter, rules }));
    apply_threshold(config.loglevel);
    Ok(())
}

/// Puts a new configuration into effect. If its log cannot be opened the old one goes on.
///
/// # Errors
/// As [`init`].
pub fn reconfigure(config: &DaemonConfig, copy_to_stdout: bool) -> Result<(), ActivityError> {
    let fresh = Writer::open(config, copy_to_stdout)?;
    *lock_writer() = Some(fresh);
    JSON.store(config.log_format == LogFormat::Json, Ordering::Relaxed);
    apply_threshold(config.loglevel);
    Ok(())
}

fn apply_threshold(level: Level) {
    THRESHOLD.store(name_and_number(level).1, Ordering::Relaxed);
    let filter = match level {
        Level::Critical | Level::Error => LevelFilter::Error,
        Level::Warn => LevelFilter::Warn,
        Level::Info => LevelFilter::Info,
        Level::Debug => LevelFilter::Debug,
        Level::Trace | Level::Blather => LevelFilter::Trace,
    };
    let raised = match (std::env::var_os("RUST_LOG"), RULES.get()) {
        (Some(_), Some(rules)) => rules.filter(),
        _ => LevelFilter::Off,
    };
    ::log::set_max_level(filter.max(raised));
}

/// Whether messages of this level are written.
pub fn enabled(level: Level) -> bool {
    name_and_number(level).1 >= THRESHOLD.load(Ordering::Relaxed)
}

/// Writes a message whose level is only known as a value.
pub fn write(level: Level, text: &str) {
    match level {
        Level::Critical => crit!("{text}"),
        Level::Error => ::log::error!("{text}"),
        Level::Warn => ::log::warn!("{text}"),
        Level::Info => ::log::info!("{text}"),
        Level::Debug => ::log::debug!("{text}"),
        Level::Trace => ::log::trace!("{text}"),
        Level::Blather => blather!("{text}"),
    }
}

/// The file, if the log is one.
pub fn path() -> Option<PathBuf> {
    lock_writer().as_ref().and_then(|writer| writer.path.clone())
}

/// Empties the log; rotated files stay. Anything that is not a regular file is left alone.
///
/// # Errors
/// The system's.
pub fn clear() -> io::Result<()> {
    let mut writer = lock_writer();
    match writer.as_mut().map(|writer| (&writer.place, &writer.path)) {
        Some((Place::File(file, _), _)) => file.clear(),
        Some((_, Some(path))) => open::clear_file(path),
        _ => Ok(()),
    }
}

/// Opens the log anew by its name, after somebody moved it away.
pub fn reopen() {
    let result = match lock_writer().as_mut() {
        Some(writer) => writer.reopen(),
        None => Ok(()),
    };
    if let Err(error) = result {
        // The old file goes on, so there is somewhere to say this.
        ::log::error!("could not reopen the activity log: {error}");
    }
}

/// What a line ends with in the middle of which the manager was killed.
pub const CUT_OFF: &str = " [cut off]";

/// Ends a line in the middle of which a former manager was killed, so that the next one stands by itself. The kernel gives
/// a write up between two pages when whoever writes is killed. What it was to say of a program has not been committed
/// yet, so that is said again.
pub fn end_torn_line() {
    if let Some(writer) = lock_writer().as_mut()
        && let Place::File(file, _) = &writer.place
        && file.ends_within_a_line().unwrap_or(false)
    {
        // Whatever shows a copy has the line as a whole.
        let _ = writer.place.write_all(format!("{CUT_OFF}\n").as_bytes());
    }
}

/// Ends the copy on standard output, when the daemon leaves its terminal.
pub fn stop_copying() {
    if let Some(writer) = lock_writer().as_mut() {
        writer.copy = None;
    }
}

/// Recovers the lock after a panic: a line may be missing then, nothing worse.
fn lock_writer() -> Locked {
    let busy = Busy::begin();
    Locked { writer: WRITER.lock().unwrap_or_else(PoisonError::into_inner), _busy: busy }
}

/// The writer, and this thread is busy with it. What is logged meanwhile follows when both are given up, in this order.
struct Locked {
    writer: MutexGuard<'static, Option<Writer>>,
    _busy: Option<Busy>,
}

impl Deref for Locked {
    type Target = Option<Writer>;

    fn deref(&self) -> &Option<Writer> {
        &self.writer
    }
}

impl DerefMut for Locked {
    fn deref_mut(&mut self) -> &mut Option<Writer> {
        &mut self.writer
    }
}

thread_local! {
    /// Whether this thread is writing to the log already.
    static IS_BUSY: Cell<bool> = const { Cell::new(false) };
    /// What it had to say meanwhile: level, target and text.
    static POSTPONED: RefCell<Vec<(::log::Level, String, String)>> = const { RefCell::new(Vec::new()) };
}

/// While this lives, what this thread logs is put off. Whoever writes to a log may have something to say of it, for example
/// that its directory had to be made again, and would wait for itself.
struct Busy;

impl Busy {
    /// `None` if this thread is busy already.
    fn begin() -> Option<Busy> {
        (!IS_BUSY.replace(true)).then_some(Busy)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        IS_BUSY.set(false);
        for (level, target, text) in POSTPONED.take() {
            ::log::log!(target: &target, level, "{text}");
        }
    }
}

/// The logger that the `log` crate knows.
struct Activity {
    formatter: env_logger::Logger,
    rules: &'static env_logger::Logger,
}

impl Log for Activity {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        enabled(level_of(metadata)) || self.rules.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        let foreign = !record.target().starts_with("supervisord");
        // The libraries' own chatter is written when RUST_LOG asks for it.
        let wanted = !foreign && enabled(level_of(record.metadata()));
        if !wanted && !self.rules.matches(record) {
            return;
        }
        match Busy::begin() {
            Some(_busy) => self.formatter.log(record),
            None => {
                let (target, text) = (record.target().to_string(), record.args().to_string());
                POSTPONED.with_borrow_mut(|postponed| postponed.push((record.level(), target, text)));
            }
        }
    }

    fn flush(&self) {}
}

/// What `env_logger` writes its lines to, one call per line.
struct ToWriter;

impl Write for ToWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(writer) = lock_writer().as_mut() {
            writer.write_line(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
