//! Reads the bodies of requests.
//!
//! A body takes memory from the budget as its bytes arrive, so announcing a large body blocks nothing. Its bytes have to arrive
//! in time.

use crate::http::connection::End;
use crate::http::guard::budget::{Budget, Share};
use crate::http::net::limits::{Limits, SMALL};
use crate::http::net::socket::{until, within};
use crate::http::wire::input::Input;
use crate::http::wire::request::{
    BAD_REQUEST, BODY_MAX, Framing, HEAD_MAX, TIMEOUT, TOO_LARGE, UNAVAILABLE, has_bare_line_feed,
};
use std::time::Instant;

/// How many bytes are taken from the budget at a time. They have to arrive within [`Limits::body_step`].
pub(crate) const STEP: usize = 64 << 10;

/// The memory of a decoded body, as a multiple of its size. Measured with the worst case, a list of empty values.
pub(crate) const DECODED: usize = 7;

/// The longest line that is accepted between chunks, in bytes.
const CHUNK_LINE_MAX: usize = 256;

/// The body of a request, and its share of the memory budget.
#[derive(Debug, Default)]
pub(crate) struct RequestBody {
    pub bytes: Vec<u8>,
    pub share: Option<Share>,
}

/// A body that is being received.
pub(crate) struct Incoming<'a> {
    input: &'a mut Input,
    budget: &'a Budget,
    limits: &'a Limits,
    /// The bytes that were taken out of the input.
    body: Vec<u8>,
    share: Share,
    /// When the current step began, and how many of its bytes have arrived.
    step: (Instant, usize),
}

impl<'a> Incoming<'a> {
    pub(crate) fn new(input: &'a mut Input, budget: &'a Budget, limits: &'a Limits) -> Incoming<'a> {
        let step = (Instant::now(), 0);
        Incoming { input, budget, limits, body: Vec::new(), share: budget.nothing(), step }
    }

    /// Reads the body.
    ///
    /// # Errors
    /// If the client leaves or is too slow, the body is malformed or too large, or there is no memory for it.
    pub(crate) async fn read(mut self, framing: Framing) -> Result<RequestBody, End> {
        match framing {
            Framing::Absent => {}
            // Not beyond BODY_MAX, or the head would have been refused.
            Framing::Length(length) => self.read_length(length as usize).await?,
            Framing::Chunked => self.read_chunks().await?,
        }
        let share = (self.share.n_bytes() > 0).then_some(self.share);
        Ok(RequestBody { bytes: self.body, share })
    }

    async fn read_length(&mut self, length: usize) -> Result<(), End> {
        while self.input.unread().len() < length {
            // Twice what is there, and no more than is needed: what is not written to is no memory.
            self.input.reserve(length.min(STEP.max(2 * self.input.unread().len())));
            self.receive_more().await?;
        }
        self.body = self.input.take(length);
        Ok(())
    }

    async fn read_chunks(&mut self) -> Result<(), End> {
        loop {
            let length = self.read_chunk_length().await?;
            if length == 0 {
                return self.read_trailers().await;
            }
            // Neither is beyond BODY_MAX, so nothing overflows here.
            if (self.body.len() + length) as u64 > BODY_MAX {
                return Err(TOO_LARGE.into());
            }
            self.read_chunk(length).await?;
        }
    }

    /// Reads a chunk and the line end after it.
    async fn read_chunk(&mut self, length: usize) -> Result<(), End> {
        let end = self.body.len() + length;
        loop {
            let arrived = self.input.unread().len().min(end - self.body.len());
            self.body.extend_from_slice(&self.input.unread()[..arrived]);
            self.input.consume(arrived);
            if self.body.len() == end {
                break;
            }
            self.receive_more().await?;
        }
        while self.input.unread().len() < 2 {
            self.receive_more().await?;
        }
        if !self.input.unread().starts_with(b"\r\n") {
            return Err(BAD_REQUEST.into());
        }
        self.input.consume(2);
        Ok(())
    }

    /// Reads the line before a chunk: the length of the chunk.
    async fn read_chunk_length(&mut self) -> Result<usize, End> {
        loop {
            match httparse::parse_chunk_size(self.input.unread()) {
                Ok(httparse::Status::Complete((_, length))) if length > BODY_MAX => {
                    return Err(TOO_LARGE.into());
                }
                Ok(httparse::Status::Complete((n_bytes, length))) => {
                    self.input.consume(n_bytes);
                    return Ok(length as usize);
                }
                Ok(httparse::Status::Partial) if self.input.unread().len() < CHUNK_LINE_MAX => {
                    self.receive_more().await?
                }
                Ok(httparse::Status::Partial) | Err(_) => return Err(BAD_REQUEST.into()),
            }
        }
    }

    /// Reads what follows the last chunk: headers, which are ignored, and an empty line.
    async fn read_trailers(&mut self) -> Result<(), End> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 16];
            match httparse::parse_headers(self.input.unread(), &mut headers) {
                Ok(httparse::Status::Complete((n_bytes, _))) => {
                    if has_bare_line_feed(&self.input.unread()[..n_bytes]) {
                        return Err(BAD_REQUEST.into());
                    }
                    self.input.consume(n_bytes);
                    return Ok(());
                }
                Ok(httparse::Status::Partial) if self.input.unread().len() < HEAD_MAX => {
                    self.receive_more().await?
                }
                Ok(httparse::Status::Partial) | Err(_) => return Err(BAD_REQUEST.into()),
            }
        }
    }

    /// Reads more of the body. The input must not end here.
    async fn receive_more(&mut self) -> Result<(), End> {
        self.reserve().await?;
        loop {
            let (begin, n_bytes) = self.step;
            let limits = self.limits;
            let deadline =
                begin + if self.budget.is_short() { limits.stall_when_short } else { limits.body_step };
            if Instant::now() >= deadline {
                return Err(TIMEOUT.into());
            }
            // Memory may become short meanwhile.
            let next_look = deadline.min(Instant::now() + limits.stall_when_short);
            match until(next_look, self.input.receive()).await {
                Some(Ok(0)) => return Err(End::Silent),
                Some(Ok(received)) => {
                    self.step.1 = n_bytes + received;
                    if self.step.1 >= STEP {
                        self.step = (Instant::now(), 0);
                    }
                    return Ok(());
                }
                Some(Err(error)) => return Err(error.into()),
                None => {}
            }
        }
    }

    /// Takes memory for the next bytes if the share is used up.
    async fn reserve(&mut self) -> Result<(), End> {
        let held = self.body.len() + self.input.unread().len();
        if held < SMALL + self.share.n_bytes() {
            return Ok(());
        }
        let begin = Instant::now();
        // Those who hold some and want more could wait for each other for ever.
        let holds_some = self.share.n_bytes() > 0;
        let patience = if holds_some { self.limits.stall_when_short } else { self.limits.memory };
        let share = within(patience, self.budget.take(STEP)).await.ok_or(UNAVAILABLE)?;
        self.share.absorb(share);
        // That was not the client's fault.
        self.step.0 += begin.elapsed();
        Ok(())
    }
}
