//! Reading the bodies of requests.

use super::budget::{Budget, Share};
use super::connection::End;
use super::input::Input;
use super::request::{BAD_REQUEST, BODY_MAX, Framing, HEAD_MAX, TOO_LARGE, has_bare_line_feed};

/// Bodies up to this many bytes are not counted against the budget.
pub const SMALL: usize = 64 << 10;

/// What a body occupies while it is decoded, as a multiple of its size. Measured: the worst a client can do,
/// a list of nothing but empty values, takes seven times.
const DECODED: usize = 8;

/// A line between chunks is not longer than this, or somebody plays games.
const CHUNK_LINE_MAX: usize = 256;

/// The body of a request, and what it occupies of the memory for bodies.
#[derive(Debug, Default)]
pub struct RequestBody {
    pub bytes: Vec<u8>,
    pub share: Option<Share>,
}

/// Reads a body.
///
/// # Errors
/// If the client leaves before its end, or it is malformed or too large.
pub async fn read(input: &mut Input, framing: Framing, budget: &Budget) -> Result<RequestBody, End> {
    match framing {
        Framing::Absent => Ok(RequestBody::default()),
        // Not beyond BODY_MAX, or the head would have been refused.
        Framing::Length(length) => measured(input, length as usize, budget).await,
        Framing::Chunked => chunked(input, budget).await,
    }
}

async fn measured(input: &mut Input, length: usize, budget: &Budget) -> Result<RequestBody, End> {
    let share = if length > SMALL { Some(budget.take(DECODED * length).await) } else { None };
    // Room for it now, or the buffer would grow to twice what was set aside.
    input.reserve(length);
    while input.unread().len() < length {
        more(input).await?;
    }
    Ok(RequestBody { bytes: input.take(length), share })
}

async fn chunked(input: &mut Input, budget: &Budget) -> Result<RequestBody, End> {
    let mut body = RequestBody::default();
    loop {
        let length = chunk_length(input).await?;
        if length == 0 {
            trailers(input).await?;
            return Ok(body);
        }
        // Neither is beyond BODY_MAX, so nothing overflows here.
        let total = body.bytes.len() + length;
        if total as u64 > BODY_MAX {
            return Err(TOO_LARGE.into());
        }
        if total > SMALL && body.share.is_none() {
            // It may become as large as it likes, so that much is set aside.
            body.share = Some(budget.take(DECODED * BODY_MAX as usize).await);
        }
        while input.unread().len() < length + 2 {
            more(input).await?;
        }
        let (chunk, end) = input.unread()[..length + 2].split_at(length);
        if end != b"\r\n" {
            return Err(BAD_REQUEST.into());
        }
        body.bytes.extend_from_slice(chunk);
        input.consume(length + 2);
    }
}

/// Reads the line before a chunk: the length of the chunk.
async fn chunk_length(input: &mut Input) -> Result<usize, End> {
    loop {
        match httparse::parse_chunk_size(input.unread()) {
            Ok(httparse::Status::Complete((_, length))) if length > BODY_MAX => return Err(TOO_LARGE.into()),
            Ok(httparse::Status::Complete((n_bytes, length))) => {
                input.consume(n_bytes);
                return Ok(length as usize);
            }
            Ok(httparse::Status::Partial) if input.unread().len() < CHUNK_LINE_MAX => more(input).await?,
            Ok(httparse::Status::Partial) | Err(_) => return Err(BAD_REQUEST.into()),
        }
    }
}

/// Reads what follows the last chunk: headers nobody wants, and an empty line.
async fn trailers(input: &mut Input) -> Result<(), End> {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 16];
        match httparse::parse_headers(input.unread(), &mut headers) {
            Ok(httparse::Status::Complete((n_bytes, _))) => {
                if has_bare_line_feed(&input.unread()[..n_bytes]) {
                    return Err(BAD_REQUEST.into());
                }
                input.consume(n_bytes);
                return Ok(());
            }
            Ok(httparse::Status::Partial) if input.unread().len() < HEAD_MAX => more(input).await?,
            Ok(httparse::Status::Partial) | Err(_) => return Err(BAD_REQUEST.into()),
        }
    }
}

/// Reads more of a body, which must not end here.
async fn more(input: &mut Input) -> Result<(), End> {
    match input.receive().await? {
        0 => Err(End::Silent),
        _ => Ok(()),
    }
}
