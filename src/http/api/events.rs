//! The streams of events: `/api/v1/events` and `/events`.

use super::view;
use crate::control::ask;
use crate::control::request::Target;
use crate::http::context::Context;
use crate::http::guard::budget::Share;
use crate::http::live::feed::{FeedEvent, Kind, Published, Subscription};
use crate::http::live::usage::Watching;
use crate::http::net::socket::within;
use std::io;
use std::time::Duration;

/// How often an idle stream sends a sign of life. Proxies close connections after a minute of silence.
const HEARTBEAT: Duration = Duration::from_secs(45);

/// An estimate of the JSON of one process, in bytes.
const PER_PROCESS: usize = 900;

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Server-sent events, with a snapshot of everything first.
    ServerSent,
    /// One JSON object per line: only changes of state, from now on.
    Lines,
}

/// One client's stream of events.
#[derive(Debug)]
pub(crate) struct EventStream {
    context: Context,
    subscription: Subscription,
    style: Style,
    /// Whether the client knows the state at the position of the subscription.
    is_up_to_date: bool,
    /// The memory of the snapshot that is being sent.
    share: Option<Share>,
    /// Keeps the sampler running for clients that receive usage.
    _watching: Option<Watching>,
}

impl EventStream {
    /// `last` is the id of the last event that the client has received, if it reconnects.
    pub(crate) fn new(context: &Context, style: Style, last: Option<&str>) -> EventStream {
        let feed = context.feed();
        let seen = last.and_then(|id| {
            let (epoch, sequence) = id.trim().split_once('-')?;
            let is_ours = epoch.parse() == Ok(feed.epoch());
            sequence.parse::<u64>().ok().filter(|_| is_ours)
        });
        let watching = (style == Style::ServerSent).then(|| context.sampler().watch());
        let subscription = feed.subscribe(seen.unwrap_or_else(|| feed.sequence()));
        let is_up_to_date = style == Style::Lines || seen.is_some();
        let context = context.clone();
        EventStream { context, subscription, style, is_up_to_date, share: None, _watching: watching }
    }

    /// Waits for the next bytes to send.
    ///
    /// # Errors
    /// If there is too little memory, or the daemon ends.
    pub(crate) async fn next(&mut self) -> io::Result<Vec<u8>> {
        // The snapshot has been sent.
        self.share = None;
        loop {
            if !std::mem::replace(&mut self.is_up_to_date, true) {
                return self.snapshot().await;
            }
            match self.subscription.take_new() {
                Published::Lost if self.style == Style::Lines => {
                    self.subscription.skip_to(self.context.feed().sequence());
                    return Ok(lost_line());
                }
                Published::Lost => self.is_up_to_date = false,
                Published::Events(events) => {
                    let text = self.encode(&events);
                    if !text.is_empty() {
                        return Ok(text);
                    }
                    if events.is_empty() && within(HEARTBEAT, self.subscription.wait()).await.is_none() {
                        return Ok(self.heartbeat());
                    }
                }
            }
        }
    }

    fn encode(&self, events: &[FeedEvent]) -> Vec<u8> {
        let mut text = Vec::new();
        for event in events {
            match (self.style, event.kind) {
                (Style::ServerSent, _) => text.extend_from_slice(event.frame()),
                (Style::Lines, Kind::Change | Kind::Removed | Kind::Daemon) => {
                    text.extend_from_slice(event.json());
                    text.push(b'\n');
                }
                (Style::Lines, Kind::Process | Kind::Usage) => {}
            }
        }
        text
    }

    /// A sign of life that clients ignore: a comment, or an empty line.
    fn heartbeat(&self) -> Vec<u8> {
        match self.style {
            Style::ServerSent => b": alive\n\n".to_vec(),
            Style::Lines => b"\n".to_vec(),
        }
    }

    /// The state of the daemon and all its processes, as an event.
    async fn snapshot(&mut self) -> io::Result<Vec<u8>> {
        let gone = || io::Error::from(io::ErrorKind::NotConnected);
        let _reserved = self.context.reserve_memory().await.ok_or_else(gone)?;
        let Ok(overview) = self.context.handle().call(ask::Overview(Target::All)).await else {
            return Err(gone());
        };
        let n_bytes = PER_PROCESS * overview.processes.len();
        let share = within(self.context.limits().memory, self.context.outgoing().take(n_bytes)).await;
        self.share = Some(share.ok_or_else(gone)?);
        let feed = self.context.feed();
        let (epoch, sequence) = (feed.epoch(), overview.sequence);
        self.subscription.skip_to(sequence);
        let snapshot = view::snapshot(&overview, epoch, self.context.usage());
        let json = view::to_json(&snapshot).ok_or_else(gone)?;
        Ok(format!("retry: 1000\nid: {epoch}-{sequence}\nevent: snapshot\ndata: {json}\n\n").into_bytes())
    }
}

/// The line for a client that reads too slowly.
fn lost_line() -> Vec<u8> {
    let at = crate::sys::clock::wall().secs();
    let event = serde_json::json!({"at": at, "event": "EVENTS_LOST", "detail": "they were not read in time"});
    format!("{event}\n").into_bytes()
}
