//! Endpoints for logs: parts of them, downloads, and following them.

use super::route::Part;
use crate::control::ask;
use crate::control::request::Target;
use crate::http::answer::{ApiRequest, ApiResult};
use crate::http::context::Context;
use crate::http::live::follow::{Begin, Follower, Piece, Position};
use crate::http::net::socket::within;
use crate::http::wire::problem::Problem;
use crate::http::wire::response::{Body, Live, Response};
use crate::log::source::LogSource;
use crate::model::stream::Stream;
use crate::rpc::server::logs;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io;
use std::time::Duration;

/// How much of a log is sent by default, in bytes.
const USUAL: u64 = 64 << 10;

/// The most that is sent of a log before it is followed, in bytes.
const TAIL_MAX: u64 = 4 << 20;

/// How often the stream of a quiet log sends a sign of life.
const HEARTBEAT: Duration = Duration::from_secs(45);

/// Answers a request for a log; `None` is the activity log.
pub(crate) async fn answer(
    log: Option<(Target, Stream)>,
    part: Part,
    context: &Context,
    request: &ApiRequest<'_>,
) -> ApiResult {
    let name = file_name(&log);
    let source = context.handle().call(ask::Log(log)).await?;
    match part {
        Part::Range => {
            let offset = number(request, "offset", i64::MIN..=i64::MAX)?;
            let length = number(request, "length", 0..=i64::MAX)?;
            // Without an offset: the end.
            let offset =
                offset.unwrap_or(-i64::try_from(length.map_or(USUAL, i64::unsigned_abs)).unwrap_or(i64::MAX));
            let length = length.map_or(USUAL, i64::unsigned_abs);
            range(source, offset, length).await
        }
        Part::Whole => download(source, &name).await,
        Part::Follow => follow(source, context, request).await,
    }
}

/// Parses a number in the query; `None` if it is missing.
fn number(
    request: &ApiRequest<'_>,
    name: &str,
    allowed: std::ops::RangeInclusive<i64>,
) -> Result<Option<i64>, Problem> {
    let Some(text) = request.query.get(name) else { return Ok(None) };
    match text.parse::<i64>() {
        Ok(number) if allowed.contains(&number) => Ok(Some(number)),
        _ => Err(Problem::new(400, format!("{name} must be a number of bytes, not {text:?}"))),
    }
}

async fn range(source: LogSource, offset: i64, length: u64) -> ApiResult {
    let part = logs::part(source, offset, Some(length)).await.map_err(unreadable)?;
    Ok(bytes(part, "text/plain; charset=utf-8"))
}

async fn download(source: LogSource, name: &str) -> ApiResult {
    let part = logs::part(source, 0, None).await.map_err(unreadable)?;
    let disposition = format!("attachment; filename=\"{name}\"");
    Ok(bytes(part, "application/octet-stream").with_header("Content-Disposition", disposition))
}

fn bytes(part: logs::Part, content_type: &str) -> Response {
    let (offset, size) = (part.offset.to_string(), part.size.to_string());
    Response::new(200, content_type, Body::Log(part.slice))
        .private()
        .with_header("X-Log-Offset", offset)
        .with_header("X-Log-Size", size)
}

async fn follow(source: LogSource, context: &Context, request: &ApiRequest<'_>) -> ApiResult {
    let tail = number(request, "tail", 0..=i64::MAX)?.map_or(USUAL, i64::unsigned_abs).min(TAIL_MAX);
    let last = request.head.header("last-event-id").or_else(|| request.query.get("after"));
    let begin = match last.and_then(position_of) {
        Some(position) => Begin::At(position, tail),
        None => Begin::Tail(tail),
    };
    let follower = Follower::open_at(source, context.watcher().clone(), begin).await.map_err(unreadable)?;
    let goes_on = matches!(begin, Begin::At(position, _) if position == follower.position());
    let live = Live::LogEvents(LogEvents { follower, pending: Vec::new(), begun: false, goes_on });
    Ok(Response::new(200, "text/event-stream", Body::Live(Box::new(live)))
        .private()
        .with_header("X-Accel-Buffering", "no"))
}

fn unreadable(error: io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::NotFound => {
            Problem::new(404, "there is no such log, or nothing was written to it yet")
        }
        _ => Problem::new(500, format!("the log cannot be read: {error}")),
    }
}

/// A file name for a download: the name of the process and the stream, in characters that are safe in headers and file
/// systems.
fn file_name(log: &Option<(Target, Stream)>) -> String {
    let whose = match log {
        Some((Target::Name { sent, .. }, stream)) => format!("{sent}-{}", stream.name()),
        _ => "supervisord".to_string(),
    };
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    format!("{}.log", whose.chars().take(100).map(safe).collect::<String>().trim_start_matches('.'))
}

/// A log as server-sent events. The id of each is the position in the log, so that a client can continue after it reconnects.
#[derive(Debug)]
pub(crate) struct LogEvents {
    follower: Follower,
    /// The first bytes of a character that is incomplete.
    pending: Vec<u8>,
    begun: bool,
    /// Whether the stream continues where the client stopped.
    goes_on: bool,
}

impl LogEvents {
    /// Whether it holds an open file.
    pub(crate) fn holds_file(&self) -> bool {
        self.follower.holds_file()
    }

    /// Waits for the next bytes to send.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub(crate) async fn next(&mut self) -> io::Result<Vec<u8>> {
        if !std::mem::replace(&mut self.begun, true) {
            let position = self.follower.position();
            let json = serde_json::json!({"offset": position.at, "resumed": self.goes_on});
            return Ok(event("begin", position, &json));
        }
        loop {
            match within(HEARTBEAT, self.follower.next_piece()).await {
                None => return Ok(b": alive\n\n".to_vec()),
                Some(piece) => {
                    if let Some(event) = self.event_for(piece?) {
                        return Ok(event);
                    }
                }
            }
        }
    }

    /// The event for a piece; `None` if it contains no complete character.
    fn event_for(&mut self, piece: Piece) -> Option<Vec<u8>> {
        let mut position = self.follower.position();
        let Piece::Bytes(new) = piece else {
            self.pending.clear();
            return Some(event("truncated", position, &serde_json::json!({"offset": position.at})));
        };
        let mut bytes = std::mem::take(&mut self.pending);
        // Of a file that was replaced the rest of the character never comes.
        bytes.extend(new);
        let end = match std::str::from_utf8(&bytes) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => bytes.len(),
        };
        self.pending = bytes.split_off(end);
        position.at = position.at.saturating_sub(self.pending.len() as u64);
        if bytes.is_empty() {
            return None;
        }
        let offset = position.at.saturating_sub(bytes.len() as u64);
        let json = match String::from_utf8(bytes) {
            Ok(text) => serde_json::json!({"offset": offset, "text": text}),
            Err(error) => serde_json::json!({"offset": offset, "base64": STANDARD.encode(error.as_bytes())}),
        };
        Some(event("data", position, &json))
    }
}

fn event(name: &str, position: Position, json: &serde_json::Value) -> Vec<u8> {
    let Position { file: (device, inode), at } = position;
    format!("id: {device}.{inode}.{at}\nevent: {name}\ndata: {json}\n\n").into_bytes()
}

/// Parses the id of an event.
fn position_of(id: &str) -> Option<Position> {
    let mut numbers = id.trim().split('.').map(str::parse::<u64>);
    let mut next = || numbers.next()?.ok();
    let position = Position { file: (next()?, next()?), at: next()? };
    next().is_none().then_some(position)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::live::watch::Watcher;
    use crate::rt;
    use std::io::Write;
    use std::path::Path;

    fn append(path: &Path, bytes: &[u8]) {
        std::fs::File::options().append(true).create(true).open(path).unwrap().write_all(bytes).unwrap();
    }

    async fn opened(path: &Path, begin: Begin) -> LogEvents {
        let source = LogSource::File(path.to_path_buf());
        let follower = Follower::open_at(source, Watcher::default(), begin).await.unwrap();
        LogEvents { follower, pending: Vec::new(), begun: true, goes_on: false }
    }

    /// The id and the data of the next event.
    async fn next(events: &mut LogEvents) -> (Position, String) {
        let text = within(Duration::from_secs(20), events.next()).await.expect("nothing came").unwrap();
        let text = String::from_utf8(text).unwrap();
        let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_string();
        (position_of(&line("id: ")).unwrap(), line("data: "))
    }

    #[test]
    fn any_bytes_are_sent_and_reading_goes_on_where_it_was() {
        rt::block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("log");
            append(&path, "first\n\u{1b}[1mü\u{c3}".as_bytes());
            append(&path, b"\xc3");
            let mut events = opened(&path, Begin::Tail(1024)).await;
            let (_, data) = next(&mut events).await;
            assert_eq!(data, r#"{"offset":0,"text":"first\n\u001b[1müÃ"}"#);
            append(&path, b"\xbc.\n");
            let (position, data) = next(&mut events).await;
            assert_eq!(data, r#"{"offset":14,"text":"ü.\n"}"#);
            append(&path, b"\xff\xfe");
            assert_eq!(next(&mut events).await.1, r#"{"base64":"//4=","offset":18}"#);

            // It was rotated while nobody looked: what was not seen of the old file comes first.
            drop(events);
            std::fs::rename(&path, dir.path().join("log.1")).unwrap();
            append(&path, b"new\n");
            let mut events = opened(&path, Begin::At(position, 4)).await;
            assert_eq!(next(&mut events).await.1, r#"{"base64":"//4=","offset":18}"#);
            assert_eq!(next(&mut events).await.1, r#"{"offset":0,"text":"new\n"}"#);

            // Rotated twice: only the end of what is there can be had.
            std::fs::rename(&path, dir.path().join("log.1")).unwrap();
            append(&path, b"newest\n");
            let mut events = opened(&path, Begin::At(position, 4)).await;
            assert_eq!(next(&mut events).await.1, r#"{"offset":3,"text":"est\n"}"#);
        });
    }

    #[test]
    fn ids_are_places() {
        for (id, expected) in [
            ("1.2.3", Some(Position { file: (1, 2), at: 3 })),
            (" 1.2.3 ", Some(Position { file: (1, 2), at: 3 })),
            ("1.2", None),
            ("1.2.3.4", None),
            ("a.b.c", None),
            ("", None),
        ] {
            assert_eq!(position_of(id), expected, "{id}");
        }
    }

    #[test]
    fn file_names_are_harmless() {
        let log = |name: &str| Some((Target::parse(name), Stream::Stderr));
        assert_eq!(file_name(&log("g:a\"\r\n/../ü")), "g_a____..__-stderr.log");
        assert_eq!(file_name(&None), "supervisord.log");
    }
}
