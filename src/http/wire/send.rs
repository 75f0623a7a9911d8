//! Sends answers. Logs and streams are sent piece by piece, so that they are never in memory as a whole.

use crate::http::guard::budget::Budget;
use crate::http::net::limits::{Limits, SMALL};
use crate::http::net::socket::{Socket, within};
use crate::http::wire::response::{Body, Live, Persistence, Response};
use crate::rpc::server::logs::{LogSlice, TextDecoder};
use crate::rpc::server::reply::{Document, Part};
use std::io;
use std::time::Instant;

/// How many bytes a client has to read within [`Limits::stall_when_short`] while others wait for memory.
const STEP: usize = 64 << 10;

/// Where an answer goes, and in which form.
pub(crate) struct Output<'a> {
    pub socket: &'a Socket,
    pub budget: &'a Budget,
    pub limits: &'a Limits,
    /// The minor version of the request: 0 or 1.
    pub minor: u8,
    /// Whether only the head is wanted.
    pub is_head: bool,
}

impl Output<'_> {
    /// Sends an answer. Returns whether the connection stays open.
    ///
    /// # Errors
    /// If the client is gone or does not read.
    pub(crate) async fn send(
        &self,
        mut response: Response,
        intended: Persistence,
    ) -> io::Result<Persistence> {
        match std::mem::replace(&mut response.body, Body::Whole(Vec::new())) {
            Body::Whole(body) => self.send_whole(&response, &body, intended).await,
            Body::Document(document) => self.send_document(&response, document, intended).await,
            Body::Log(log) => self.send_log(&response, log, intended).await,
            Body::Live(live) => self.send_live(&response, *live).await,
        }
    }

    async fn send_whole(
        &self,
        response: &Response,
        body: &[u8],
        persistence: Persistence,
    ) -> io::Result<Persistence> {
        self.send_parts(response, &[body], persistence).await
    }

    /// Sends a body that consists of several parts.
    async fn send_parts(
        &self,
        response: &Response,
        parts: &[&[u8]],
        persistence: Persistence,
    ) -> io::Result<Persistence> {
        let n_bytes = parts.iter().map(|part| part.len()).sum();
        let mut head = response.head(self.minor, Some(n_bytes), persistence);
        let mut rest = if self.is_head { &[] } else { parts };
        if n_bytes <= SMALL {
            rest.iter().for_each(|part| head.extend_from_slice(part));
            rest = &[];
        }
        self.write(&head, !rest.is_empty()).await?;
        while let Some((part, others)) = rest.split_first() {
            self.write(part, !others.is_empty()).await?;
            rest = others;
        }
        Ok(persistence)
    }

    /// Sends the answer to a call. If it contains a large part of a log, its length is not known before the log was read, so it
    /// is sent while the log is read.
    async fn send_document(
        &self,
        response: &Response,
        document: Document,
        persistence: Persistence,
    ) -> io::Result<Persistence> {
        let Document { head, part, rest } = document;
        match part {
            None => self.send_whole(response, head.as_bytes(), persistence).await,
            Some(Part::Shared(text)) => {
                let parts = [head.as_bytes(), text.as_str().as_bytes(), rest.as_bytes()];
                self.send_parts(response, &parts, persistence).await
            }
            Some(Part::Log(log)) if log.len() <= SMALL as u64 => {
                let mut text = Text { out: head, decoder: TextDecoder::default() };
                text.read_all(log).await?;
                text.out.push_str(&rest);
                self.send_whole(response, text.out.as_bytes(), persistence).await
            }
            Some(Part::Log(log)) => {
                let mut stream = self.begin_stream(response, persistence).await?;
                let mut text = Text { out: head, decoder: TextDecoder::default() };
                stream.send_log(&mut text, log).await?;
                text.out.push_str(&rest);
                stream.send_piece(text.out.as_bytes()).await?;
                stream.end().await
            }
        }
    }

    /// Sends a part of a log, byte for byte. A large part is sent while it is read.
    async fn send_log(
        &self,
        response: &Response,
        mut log: LogSlice,
        persistence: Persistence,
    ) -> io::Result<Persistence> {
        if log.len() <= SMALL as u64 {
            let mut bytes = Vec::new();
            while !log.is_empty() {
                bytes.extend(log.next_piece().await?);
            }
            return self.send_whole(response, &bytes, persistence).await;
        }
        let mut stream = self.begin_stream(response, persistence).await?;
        while !log.is_empty() && !self.is_head {
            stream.send_piece(&log.next_piece().await?).await?;
        }
        stream.end().await
    }

    async fn send_live(&self, response: &Response, mut live: Live) -> io::Result<Persistence> {
        let mut stream = self.begin_stream(response, Persistence::Keep).await?;
        loop {
            stream.send_piece(&live.next().await?).await?;
        }
    }

    /// Sends the head of an answer whose length is not known.
    async fn begin_stream(&self, response: &Response, intended: Persistence) -> io::Result<Stream<'_>> {
        let chunked = self.minor > 0;
        let persistence = if chunked { intended } else { Persistence::Close };
        let head = response.head(self.minor, None, persistence);
        self.write_all(&head).await?;
        Ok(Stream { output: self, chunked, persistence })
    }
}

impl Output<'_> {
    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// If the client is gone or reads nothing for too long.
    pub(crate) async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.write(bytes, false).await
    }

    async fn write(&self, mut bytes: &[u8], more_follows: bool) -> io::Result<()> {
        let mut step = (Instant::now(), 0);
        while !bytes.is_empty() {
            let n_bytes = self.write_some(bytes, more_follows).await?;
            bytes = &bytes[n_bytes..];
            step.1 += n_bytes;
            if step.1 >= STEP {
                step = (Instant::now(), 0);
            } else if step.0.elapsed() >= self.limits.stall_when_short && self.budget.is_short() {
                // It takes something now and then, but not enough for those who wait.
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    /// Sends some of `bytes`. Returns how many.
    async fn write_some(&self, bytes: &[u8], more_follows: bool) -> io::Result<usize> {
        let begin = Instant::now();
        loop {
            let next_look = self.limits.stall_when_short.min(self.limits.stall);
            if let Some(written) = within(next_look, self.socket.write(bytes, more_follows)).await {
                return written;
            }
            if begin.elapsed() >= self.limits.stall || self.budget.is_short() {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

/// An answer that is sent in pieces.
struct Stream<'a> {
    output: &'a Output<'a>,
    chunked: bool,
    persistence: Persistence,
}

impl Stream<'_> {
    async fn send_piece(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.chunked {
            return self.output.write_all(bytes).await;
        }
        if bytes.is_empty() {
            // An empty chunk would end the answer.
            return Ok(());
        }
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend_from_slice(bytes);
        chunk.extend_from_slice(b"\r\n");
        self.output.write_all(&chunk).await
    }

    /// Sends a part of a log. Its last bytes may stay in `text`.
    async fn send_log(&mut self, text: &mut Text, mut log: LogSlice) -> io::Result<()> {
        while !log.is_empty() {
            let piece = log.next_piece().await?;
            text.decoder.push(&piece, &mut text.out);
            self.send_piece(text.out.as_bytes()).await?;
            text.out.clear();
        }
        text.decoder.finish(&mut text.out);
        Ok(())
    }

    async fn end(self) -> io::Result<Persistence> {
        if self.chunked && !self.output.is_head {
            self.output.write_all(b"0\r\n\r\n").await?;
        }
        Ok(self.persistence)
    }
}

/// Text of an answer that has not been sent, and the decoder for the log that it contains.
struct Text {
    out: String,
    decoder: TextDecoder,
}

impl Text {
    async fn read_all(&mut self, mut log: LogSlice) -> io::Result<()> {
        while !log.is_empty() {
            let piece = log.next_piece().await?;
            self.decoder.push(&piece, &mut self.out);
        }
        self.decoder.finish(&mut self.out);
        Ok(())
    }
}
