//! Where the lines of the activity log go.

use crate::files::location::Missing;
use crate::files::{self, open::Opened};
use crate::log::activity::ActivityError;
use crate::log::sinks::device::Device;
use crate::log::sinks::file::{Limits, SharedFile};
use crate::log::sinks::open;
use crate::log::sinks::syslog::{Form, Syslog};
use crate::log::transform::stamp::Stamp;
use crate::model::config::{ActivityLog, DaemonConfig};
use std::io;
use std::path::{Path, PathBuf};

/// Where the lines go.
pub(super) struct Writer {
    pub(super) place: Place,
    /// The file, if the log is one.
    pub(super) path: Option<PathBuf>,
    /// Standard output, while it gets the lines as well.
    pub(super) copy: Option<Device>,
    /// How many lines were lost since one was written.
    n_lost: u64,
}

pub(super) enum Place {
    File(SharedFile, Limits),
    Device(Device),
    Syslog(Option<Syslog>),
}

impl Writer {
    pub(super) fn open(config: &DaemonConfig, copy_to_stdout: bool) -> Result<Writer, ActivityError> {
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

    pub(super) fn reopen(&mut self) -> io::Result<()> {
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

    pub(super) fn write_line(&mut self, line: &[u8]) {
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
    pub(super) fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
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
