//! What is open behind a sink.

use crate::files::location::Missing;
use crate::files::{self, open::Opened};
use crate::log::sinks::device::Device;
use crate::log::sinks::file::SharedFile;
use crate::log::sinks::memory::Ring;
use crate::log::sinks::remote::Remote;
use crate::log::sinks::sink::SinkSpec;
use crate::log::sinks::syslog::Syslog;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// An open target. A name in the file system turns out to be one of the first two.
#[derive(Debug)]
pub(super) enum Target {
    File(SharedFile),
    Device(Device),
    Syslog(Box<Syslog>),
    Remote(Remote),
    Memory(Arc<Ring>),
}

/// Opens what is to be written to.
pub(super) fn open_target(spec: &SinkSpec) -> io::Result<Target> {
    Ok(match spec {
        SinkSpec::Path { path, mode, .. } => open_path(path, *mode)?,
        SinkSpec::Syslog { form } => Target::Syslog(Box::new(Syslog::connect(form.clone())?)),
        SinkSpec::Remote(_) => return Err(io::ErrorKind::NotConnected.into()),
        SinkSpec::Memory(ring) => Target::Memory(Arc::clone(ring)),
    })
}

fn open_path(path: &Path, mode: u32) -> io::Result<Target> {
    if let Some(device) = Device::standard_stream(path)? {
        return Ok(Target::Device(device));
    }
    Ok(match files::open::for_writing(path, mode, Missing::Make)? {
        Opened::File(fd, stat) => Target::File(SharedFile::join(path, mode, fd.into(), stat.into())),
        Opened::Device(fd) => Target::Device(Device::opened(fd)?),
        Opened::Stream(fd) => Target::Device(Device::borrowed(fd)?),
    })
}
