//! How many bytes one write takes, so that a file ends with a line.

use crate::log::spool::tee;
use rustix::io::Errno;
use std::os::fd::AsFd;

/// So many bytes beyond its limit a file waits for the end of a line, so that no line is cut in two.
pub(super) const OVERHANG: u64 = 64 * 1024;

/// How what was just written ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// With a line: here one file may end and the next begin.
    Line,
    /// Within a line.
    Within,
    /// Nobody has checked.
    Unknown,
}

/// How much of a pipe goes into a file with `room` more bytes until its limit, at most `max`, and how that ends.
///
/// Where the limit may come in between, what is in the pipe is looked at before it is moved, and only whole lines are: a
/// killed manager must not leave the beginning of a line behind which another stream of the same file goes on.
pub(super) fn splice_length(pipe: impl AsFd, max: usize, room: u64) -> Result<(usize, Ending), Errno> {
    let below = usize::try_from(room.saturating_sub(1)).unwrap_or(usize::MAX);
    if below >= max {
        return Ok((max, Ending::Unknown));
    }
    let waiting = rustix::io::ioctl_fionread(&pipe).map_or(usize::MAX, |waiting| waiting as usize);
    if below > 0 && waiting <= below {
        // Not more than that, should more come meanwhile; nothing is the end, or a pipe to wait for.
        return Ok((if waiting == 0 { below } else { waiting }, Ending::Unknown));
    }
    let mut found = (0, Ending::Unknown);
    let looked = tee::peek(pipe, |bytes| {
        let bytes = &bytes[..bytes.len().min(max)];
        let last_below = bytes[..bytes.len().min(below)].iter().rposition(|byte| *byte == b'\n');
        found = last_below.map_or_else(|| append_length(bytes, room), |newline| (newline + 1, Ending::Line));
    });
    match looked {
        // It is the end of the pipe, which splicing tells as well.
        Ok(0) => Ok((max, Ending::Unknown)),
        Ok(_) => Ok(found),
        Err(Errno::AGAIN) => Err(Errno::AGAIN),
        // No pipe to look into: exactly at the limit, then.
        Err(_) => Ok((max.min(room.max(1) as usize), Ending::Unknown)),
    }
}

/// How much of `bytes` goes into a file with `room` more bytes until its limit, and how that ends.
pub(super) fn append_length(bytes: &[u8], room: u64) -> (usize, Ending) {
    let from = usize::try_from(room.saturating_sub(1)).unwrap_or(usize::MAX);
    let Some(rest) = bytes.get(from..).filter(|rest| !rest.is_empty()) else {
        return (bytes.len(), Ending::Unknown);
    };
    match rest.iter().position(|byte| *byte == b'\n') {
        Some(newline) => (from + newline + 1, Ending::Line),
        None => (from + rest.len().min(OVERHANG as usize + 1), Ending::Within),
    }
}
