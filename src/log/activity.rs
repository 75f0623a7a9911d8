//! The activity log: what the daemon says about itself.
//!
//! Everybody logs through the `log` crate's macros and [`crit!`](crate::crit) and
//! [`blather!`](crate::blather) for Supervisor's two other levels. `env_logger` formats; what stands here is
//! the threshold, which can change at run time, and the writing, which never fails anybody: a line that
//! cannot be written is counted, and the count is told when it works again.
//!
//! `RUST_LOG=supervisord::http=debug` writes the messages of single modules whatever `loglevel` says.

use crate::files::location::Missing;
use crate::files::{self, open::Opened};
use crate::log::sinks::device::Device;
use crate::log::sinks::file::{Limits, SharedFile};
use crate::log::sinks::open;
use crate::log::sinks::syslog::{Form, Syslog};
use crate::log::transform::stamp::Stamp;
use crate::model::config::{ActivityLog, DaemonConfig, Level, LogFormat};
use crate::model::visible::{escaped, escaped_but, is_invisible};
use ::log::{LevelFilter, Log, Metadata, Record};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, Write};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
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

/// Whatever a message quotes, it is one line, and does nothing to the terminal that shows it: names of processes, answers
/// of listeners and requests are chosen by others.
fn format_line(line: &mut env_logger::fmt::Formatter, record: &Record<'_>) -> io::Result<()> {
    let (name, _) = name_and_number(level_of(record.metadata()));
    if !JSON.load(Ordering::Relaxed) {
        let message = record.args().to_string();
        let message = if record.target() == OUTPUT { output(&message) } else { escaped(&message) };
        return writeln!(line, "{} {name} {message}", Stamp::now().supervisor());
    }
    let object = serde_json::json!({
        "time": Stamp::now().rfc3339(),
        "level": name,
        "module": record.target(),
        "message": record.args().to_string(),
    });
    // JSON itself escapes C0 only.
    let text = object.to_string();
    for c in text.chars() {
        match is_invisible(c) {
            true => write!(line, "\\u{:04x}", u32::from(c))?,
            false => write!(line, "{c}")?,
        }
    }
    writeln!(line)
}

/// What a program wrote keeps its lines, but for those that look like lines of ours: they are indented.
fn output(message: &str) -> Cow<'_, str> {
    let message = escaped_but(message, &['\n', '\t']);
    if !message.lines().any(begins_with_stamp) {
        return message;
    }
    let lines = message.split('\n').map(|line| match begins_with_stamp(line) {
        true => format!(" {line}"),
        false => line.to_string(),
    });
    Cow::Owned(lines.collect::<Vec<_>>().join("\n"))
}

/// Whether a line begins as each of ours does: `2026-11-20 13:24:55,123 `.
fn begins_with_stamp(line: &str) -> bool {
    const SHAPE: &[u8] = b"0000-00-00 00:00:00,000 ";
    let shape = line.bytes().take(SHAPE.len()).map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
    shape.eq(SHAPE.iter().copied())
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

/// Where the lines go.
struct Writer {
    place: Place,
    path: Option<PathBuf>,
    copy: Option<Device>,
    n_lost: u64,
}

enum Place {
    File(SharedFile, Limits),
    Device(Device),
    Syslog(Option<Syslog>),
}

impl Writer {
    fn open(config: &DaemonConfig, copy_to_stdout: bool) -> Result<Writer, ActivityError> {
        let (place, path) = match &config.logfile {
            ActivityLog::Syslog => (Place::Syslog(None), None),
            ActivityLog::File(path) => {
                let limits = Limits { maxbytes: config.logfile_maxbytes, backups: config.logfile_backups };
                let place = Place::open(path, limits).map_err(|source| {
                    let what = format!("logfile {}", path.display());
                    ActivityError { what, source }
                })?;
                (place, Some(path.clone()))
            }
        };
        let copy = if copy_to_stdout && !place.is_stdout() { stdout_device() } else { None };
        Ok(Writer { place, path, copy, n_lost: 0 })
    }

    fn reopen(&mut self) -> io::Result<()> {
        match (&mut self.place, &self.path) {
            (Place::File(file, _), _) => file.reopen(),
            (Place::Device(device), Some(path)) => {
                let limits = Limits { maxbytes: 0, backups: 0 };
                if let Place::Device(fresh) = Place::open(path, limits)? {
                    *device = fresh;
                }
                Ok(())
            }
            (Place::Syslog(connection), _) => {
                *connection = None;
                Ok(())
            }
            (Place::Device(_), None) => Ok(()),
        }
    }

    fn write_line(&mut self, line: &[u8]) {
        if let Some(copy) = &self.copy {
            // A terminal that does not take it now misses this line.
            let _ = copy.write(line);
        }
        if self.n_lost > 0 {
            let (stamp, n_lost) = (Stamp::now().supervisor(), self.n_lost);
            let text = format!("{stamp} WARN {n_lost} lines before this one could not be written\n");
            if self.place.write_all(text.as_bytes()).is_ok() {
                self.n_lost = 0;
            }
        }
        if self.place.write_all(line).is_err() {
            self.n_lost += 1;
        }
    }
}

impl Place {
    fn open(path: &Path, limits: Limits) -> io::Result<Place> {
        if let Some(device) = Device::standard_stream(path)? {
            return Ok(Place::Device(device));
        }
        let mode = open::PLAIN_MODE;
        Ok(match files::open::for_writing(path, mode, Missing::Make)? {
            Opened::File(fd, stat) => {
                Place::File(SharedFile::join(path, mode, fd.into(), stat.into()), limits)
            }
            Opened::Device(fd) => Place::Device(Device::opened(fd)?),
            Opened::Stream(fd) => Place::Device(Device::borrowed(fd)?),
        })
    }

    /// Whether this is the very thing that standard output is.
    fn is_stdout(&self) -> bool {
        let identity = match self {
            Place::File(file, _) => file.facts(),
            Place::Device(device) => device.facts(),
            Place::Syslog(_) => return false,
        };
        match (identity, open::facts(io::stdout())) {
            (Ok(ours), Ok(stdout)) => ours.identity == stdout.identity,
            _ => false,
        }
    }

    /// # Errors
    /// The line, or the rest of it, was not written.
    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let n_bytes = match self {
                // A rotation that fails is no reason to lose the line, and there is no log to say it in.
                Place::File(file, limits) => file.append(bytes, *limits)?.n_bytes,
                Place::Device(device) => device.write(bytes)?,
                Place::Syslog(connection) => write_syslog(connection, bytes)?,
            };
            if n_bytes == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = &bytes[n_bytes..];
        }
        Ok(())
    }
}

/// Sends to syslog, over a new connection if the old one is dead.
fn write_syslog(connection: &mut Option<Syslog>, bytes: &[u8]) -> io::Result<usize> {
    if let Some(syslog) = connection
        && let Ok(n_bytes) = syslog.write(bytes)
    {
        return Ok(n_bytes);
    }
    connection.insert(Syslog::connect(Form::of_daemon())?).write(bytes)
}

fn stdout_device() -> Option<Device> {
    open::duplicate(io::stdout()).and_then(Device::borrowed).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::read_to_string;

    fn config(logfile: &Path) -> DaemonConfig {
        let text = |name: &str| logfile.with_file_name(name);
        DaemonConfig { logfile: ActivityLog::File(logfile.into()), pidfile: text("pid"), ..defaults() }
    }

    fn defaults() -> DaemonConfig {
        DaemonConfig {
            logfile: ActivityLog::Syslog,
            logfile_maxbytes: 0,
            logfile_backups: 0,
            loglevel: Level::Info,
            pidfile: PathBuf::new(),
            umask: 0o22,
            umask_is_given: false,
            nodaemon: true,
            silent: true,
            minfds: 1024,
            minprocs: 200,
            nocleanup: true,
            childlogdir: PathBuf::new(),
            user: None,
            directory: None,
            strip_ansi: false,
            environment: Default::default(),
            identifier: "supervisor".to_string(),
            nodename: None,
            log_format: LogFormat::Text,
            exit_when: crate::model::config::ExitWhen::Never,
            processinfomapfile: None,
            manager_watchdog: DaemonConfig::default_watchdog(),
            startkillall: false,
            exitkillall: true,
        }
    }

    /// The lines without their stamps, after checking the shape of those.
    #[track_caller]
    fn lines_of(path: &Path) -> Vec<String> {
        let text = read_to_string(path).unwrap();
        let lines = text.lines().map(|line| {
            let (stamp, rest) = line.split_at(24);
            let shape: String = stamp.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
            assert_eq!(shape, "0000-00-00 00:00:00,000 ", "{line}");
            rest.to_string()
        });
        lines.collect()
    }

    /// One test, because there is one activity log in a process.
    #[test]
    fn the_whole_life_of_an_activity_log() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("activity");
        init(&config(&log), false).unwrap();
        crit!("one {}", 1);
        ::log::error!("two");
        ::log::warn!("three");
        ::log::info!("four");
        ::log::debug!("not written");
        assert_eq!(lines_of(&log), ["CRIT one 1", "ERRO two", "WARN three", "INFO four"]);
        assert_eq!(path(), Some(log.clone()));

        clear().unwrap();
        reconfigure(&DaemonConfig { loglevel: Level::Blather, ..config(&log) }, false).unwrap();
        ::log::debug!("five");
        ::log::trace!("six");
        blather!("seven");
        assert_eq!(lines_of(&log), ["DEBG five", "TRAC six", "BLAT seven"]);

        let moved = dir.path().join("moved");
        std::fs::rename(&log, &moved).unwrap();
        reopen();
        write(Level::Warn, "eight");
        assert_eq!((lines_of(&log).len(), lines_of(&moved).len()), (1, 3));

        clear().unwrap();
        ::log::warn!("killing '\n\x1b[41m CRIT x' \u{202e}");
        ::log::debug!(target: OUTPUT, "'a' stdout output:\nb\x07\n{} CRIT x\n", Stamp::now().supervisor());
        let text = read_to_string(&log).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].ends_with(" WARN killing '\\n\\x1b[41m CRIT x' \\u{202e}"), "{text:?}");
        assert_eq!((lines[2], lines[3].get(..2), lines.len()), ("b\\x07", Some(" 2"), 5), "{text:?}");

        // A log whose directory is gone makes it again, and says so while it is at it.
        let inner = dir.path().join("gone/activity");
        reconfigure(&config(&inner), false).unwrap();
        std::fs::remove_dir_all(dir.path().join("gone")).unwrap();
        reopen();
        ::log::info!("after");
        let lines = lines_of(&inner);
        assert!(lines[0].starts_with("INFO made directory "), "{lines:?}");
        assert_eq!(lines.last().map(String::as_str), Some("INFO after"));
        reconfigure(&config(&log), false).unwrap();

        let bad = config(Path::new("/proc/none/log"));
        let error = reconfigure(&bad, false).unwrap_err().to_string();
        assert!(error.starts_with("could not open logfile /proc/none/log: "), "{error}");
        clear().unwrap();
        ::log::info!("nine");
        assert_eq!(lines_of(&log), ["INFO nine"]);

        let small = DaemonConfig { logfile_maxbytes: 100, logfile_backups: 2, ..config(&log) };
        reconfigure(&small, false).unwrap();
        for number in 0..9 {
            ::log::info!("line {number}");
        }
        let (first, second) = (rotated(&log, 1), rotated(&log, 2));
        let all: Vec<String> = [lines_of(&second), lines_of(&first), lines_of(&log)].concat();
        let expected: Vec<String> = (9 - all.len()..9).map(|number| format!("INFO line {number}")).collect();
        assert_eq!((all.len() >= 6, all), (true, expected));

        reconfigure(&DaemonConfig { log_format: LogFormat::Json, ..config(&log) }, false).unwrap();
        clear().unwrap();
        ::log::info!("a \"quoted\"\nmessage\u{9b}");
        let text = read_to_string(&log).unwrap();
        assert!(!text.contains('\u{9b}'), "{text:?}");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["message"], "a \"quoted\"\nmessage\u{9b}");
        assert_eq!(value["level"], "INFO");
        ::log::set_max_level(LevelFilter::Off);
    }

    fn rotated(path: &Path, number: u32) -> PathBuf {
        crate::log::sinks::rotate::backup_name(path, number)
    }
}
