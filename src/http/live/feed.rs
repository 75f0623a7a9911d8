//! The feed of changes: the loop publishes each change once, and every subscriber reads at its own pace.
//!
//! Each change has a number and is encoded once. The feed keeps the last two megabytes. A subscriber that was away for
//! longer, or reads too slowly, is told to read the whole state again. Without subscribers nothing is encoded.

use crate::control::overview::{Change, DaemonView, ProcessView};
use crate::http::api::view;
use crate::http::live::usage::{Changed, Usage};
use crate::model::namespec;
use crate::model::time::Wall;
use async_channel::{Receiver, Sender, TrySendError};
use serde::Serialize;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many bytes of events are kept for subscribers that lag behind or come back.
const KEPT_BYTES: usize = 2 << 20;

/// How many changes of state are kept for the timeline.
const TIMELINE: usize = 1000;

/// How long events are kept after the last subscriber has left: a browser that lost its connection comes back within
/// seconds.
const LINGER: Duration = Duration::from_secs(60);

/// The feed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Feed(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Distinguishes the numbers of this manager from those of others.
    epoch: u64,
    usage: Usage,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sequence: u64,
    kept: VecDeque<FeedEvent>,
    n_bytes: usize,
    subscribers: Vec<Sender<()>>,
    /// When the last subscriber left.
    left: Option<Instant>,
    timeline: VecDeque<Change>,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A process has changed its state.
    Change,
    /// A process is new, or something but its state has changed.
    Process,
    /// A process is gone.
    Removed,
    /// The state of the daemon has changed.
    Daemon,
    /// Processes use more or less of processor and memory.
    Usage,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Change => "change",
            Kind::Process => "process",
            Kind::Removed => "removed",
            Kind::Daemon => "daemon",
            Kind::Usage => "usage",
        }
    }
}

/// A published event.
#[derive(Clone, Debug)]
pub struct FeedEvent {
    /// Its number; the numbers of one epoch have no gaps.
    pub sequence: u64,
    /// What it is about.
    pub kind: Kind,
    /// A server-sent event.
    frame: Arc<[u8]>,
    json: Range<usize>,
}

impl FeedEvent {
    /// The whole server-sent event, with the empty line at its end.
    pub fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// The JSON in the frame, on one line.
    pub fn json(&self) -> &[u8] {
        &self.frame[self.json.clone()]
    }
}

/// What was published since a subscriber read last.
#[derive(Debug)]
pub enum Published {
    /// In the order they were published; empty if there is nothing new.
    Events(Vec<FeedEvent>),
    /// More than the feed keeps. The subscriber has to read the whole state.
    Lost,
}

impl Feed {
    /// A feed that nobody follows yet. `usage` supplies what processes use, for the rows that are published.
    pub fn new(usage: Usage) -> Feed {
        // A manager that takes over gets another number than the one before, unless the clock was set back to the same
        // microsecond.
        let epoch = crate::sys::clock::wall().0 / 1000;
        Feed(Arc::new(Shared { epoch, usage, state: Mutex::default() }))
    }

    /// A number that distinguishes this manager from others; part of the id of each event.
    pub fn epoch(&self) -> u64 {
        self.0.epoch
    }

    /// The number of the last event.
    pub fn sequence(&self) -> u64 {
        self.lock().sequence
    }

    /// Subscribes to the events after `sequence`, which is a number of this epoch.
    pub fn subscribe(&self, sequence: u64) -> Subscription {
        let (sender, notes) = async_channel::bounded(1);
        let mut state = self.lock();
        state.subscribers.push(sender);
        Subscription { feed: self.clone(), at: sequence, notes }
    }

    /// Whether somebody follows, or may come back and go on where it was.
    pub fn is_watched(&self) -> bool {
        self.lock().is_watched()
    }

    /// How many subscribers there are.
    pub fn n_subscribers(&self) -> usize {
        self.lock().subscribers.len()
    }

    /// The last changes of state, the latest first.
    pub fn timeline(&self, max: usize) -> Vec<Change> {
        self.lock().timeline.iter().rev().take(max).cloned().collect()
    }

    /// Publishes a change of state, and keeps it for the timeline. `process` is called only while somebody follows.
    pub fn publish_change(&self, change: Change, process: impl FnOnce() -> ProcessView) {
        let mut state = self.lock();
        if state.timeline.len() == TIMELINE {
            state.timeline.pop_front();
        }
        state.timeline.push_back(change);
        self.publish_locked(&mut state, Kind::Change, |state| {
            let process = process();
            let row = view::row(&process, &self.0.usage);
            view::to_json(&view::Changed::new(state.timeline.back()?, &row))
        });
    }

    /// Publishes what a process looks like now, though its state is the same.
    pub fn publish_process(&self, process: impl FnOnce() -> ProcessView) {
        self.publish(Kind::Process, || {
            let process = process();
            let row = view::row(&process, &self.0.usage);
            view::to_json(&Added { at: process.info.now, event: "PROCESS", row: &row })
        });
    }

    /// Publishes that a process is gone.
    pub fn publish_removed(&self, group: &str, process: &str) {
        self.publish(Kind::Removed, || {
            let namespec = namespec::display(group, process);
            let at = crate::sys::clock::wall().secs();
            view::to_json(&Removed { at, event: "PROCESS_REMOVED", group, process, namespec: &namespec })
        });
    }

    /// Publishes what the daemon as a whole does.
    pub fn publish_daemon(&self, daemon: &DaemonView) {
        self.publish(Kind::Daemon, || {
            let at = crate::sys::clock::wall().secs();
            view::to_json(&view::DaemonChanged::new(at, daemon))
        });
    }

    /// Publishes what processes use, for those of which it has changed.
    pub fn publish_usage(&self, at: Wall, changed: &[Changed]) {
        self.publish(Kind::Usage, || view::to_json(&view::UsageChanged::new(at.secs(), changed)));
    }

    fn publish(&self, kind: Kind, json: impl FnOnce() -> Option<String>) {
        self.publish_locked(&mut self.lock(), kind, |_| json());
    }

    fn publish_locked(&self, state: &mut State, kind: Kind, json: impl FnOnce(&State) -> Option<String>) {
        state.sequence += 1;
        if !state.is_watched() {
            (state.kept, state.n_bytes, state.left) = (VecDeque::new(), 0, None);
            return;
        }
        // What cannot be encoded is not published.
        let Some(json) = json(state) else { return };
        let event = self.frame_event(state.sequence, kind, &json);
        state.n_bytes += event.frame.len();
        state.kept.push_back(event);
        while state.n_bytes > KEPT_BYTES
            && let Some(oldest) = state.kept.pop_front()
        {
            state.n_bytes -= oldest.frame.len();
        }
        // One note is enough, however much is published before it is read.
        state
            .subscribers
            .retain(|subscriber| !matches!(subscriber.try_send(()), Err(TrySendError::Closed(()))));
    }

    fn frame_event(&self, sequence: u64, kind: Kind, json: &str) -> FeedEvent {
        let mut frame =
            format!("id: {}-{sequence}\nevent: {}\ndata: ", self.0.epoch, kind.name()).into_bytes();
        let begin = frame.len();
        frame.extend_from_slice(json.as_bytes());
        let json = begin..frame.len();
        frame.extend_from_slice(b"\n\n");
        FeedEvent { sequence, kind, frame: frame.into(), json }
    }

    fn published_after(&self, sequence: u64) -> Published {
        let state = self.lock();
        if sequence == state.sequence {
            return Published::Events(Vec::new());
        }
        match state.kept.front() {
            Some(oldest) if oldest.sequence <= sequence + 1 && sequence < state.sequence => {
                let new = state.kept.iter().filter(|event| event.sequence > sequence);
                Published::Events(new.cloned().collect())
            }
            _ => Published::Lost,
        }
    }

    /// Every change under this lock is complete before anything can panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_watched(&self) -> bool {
        !self.subscribers.is_empty() || self.left.is_some_and(|left| left.elapsed() < LINGER)
    }
}

#[derive(Serialize)]
struct Added<'a> {
    at: i64,
    event: &'static str,
    row: &'a view::Row<'a>,
}

#[derive(Serialize)]
struct Removed<'a> {
    at: i64,
    event: &'static str,
    group: &'a str,
    process: &'a str,
    namespec: &'a str,
}

/// A subscription. Dropping it ends it.
#[derive(Debug)]
pub struct Subscription {
    feed: Feed,
    at: u64,
    /// Holds at most one note.
    notes: Receiver<()>,
}

impl Subscription {
    /// Returns what was published since the last call, without waiting.
    pub fn take_new(&mut self) -> Published {
        let published = self.feed.published_after(self.at);
        if let Published::Events(events) = &published
            && let Some(last) = events.last()
        {
            self.at = last.sequence;
        }
        published
    }

    /// Continues after the event with this number, once the subscriber has read a state that contains it.
    pub fn skip_to(&mut self, sequence: u64) {
        self.at = sequence;
    }

    /// Waits until there may be new events.
    pub async fn wait(&self) {
        // The feed holds the sender, and we the feed: this ends only with a note.
        let _ = self.notes.recv().await;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.notes.close();
        let mut state = self.feed.lock();
        state.subscribers.retain(|subscriber| !subscriber.is_closed());
        if state.subscribers.is_empty() {
            state.left = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::net::socket::within;
    use crate::rt;

    fn feed() -> Feed {
        Feed::new(Usage::default())
    }

    fn names(published: Published) -> Option<Vec<String>> {
        let Published::Events(events) = published else { return None };
        let name = |event: &FeedEvent| {
            let json: serde_json::Value = serde_json::from_slice(event.json()).unwrap();
            json["namespec"].as_str().unwrap().to_string()
        };
        Some(events.iter().map(name).collect())
    }

    #[test]
    fn every_viewer_reads_at_a_pace_of_its_own() {
        rt::block_on(async {
            let feed = feed();
            let (mut one, mut other) = (feed.subscribe(feed.sequence()), feed.subscribe(feed.sequence()));
            assert_eq!(names(one.take_new()), Some(Vec::new()));
            feed.publish_removed("g", "a");
            within(Duration::from_secs(20), one.wait()).await.expect("it is woken");
            assert_eq!(names(one.take_new()), Some(vec!["g:a".to_string()]));
            feed.publish_removed("b", "b");
            assert_eq!(names(one.take_new()), Some(vec!["b".to_string()]));
            assert_eq!(names(other.take_new()), Some(vec!["g:a".to_string(), "b".to_string()]));
            assert_eq!(names(other.take_new()), Some(Vec::new()));
        });
    }

    #[test]
    fn a_frame_is_a_server_sent_event() {
        let feed = feed();
        let mut subscription = feed.subscribe(0);
        feed.publish_removed("a", "line\nbreak");
        let Published::Events(events) = subscription.take_new() else { panic!("it was lost") };
        let frame = std::str::from_utf8(events[0].frame()).unwrap();
        let lines: Vec<&str> = frame.lines().collect();
        assert_eq!(lines[0], format!("id: {}-1", feed.epoch()));
        assert_eq!(lines[1], "event: removed");
        assert!(lines[2].starts_with("data: {") && lines[2].contains("line\\nbreak"), "{frame}");
        assert!(frame.ends_with("\n\n") && lines.len() == 4, "{frame}");
    }

    #[test]
    fn who_lags_behind_too_far_is_told_so_and_memory_is_bounded() {
        let feed = feed();
        let mut subscription = feed.subscribe(0);
        let name = "x".repeat(10_000);
        for _ in 0..1000 {
            feed.publish_removed("g", &name);
        }
        assert!(matches!(subscription.take_new(), Published::Lost));
        subscription.skip_to(feed.sequence());
        assert_eq!(names(subscription.take_new()), Some(Vec::new()));
        let state = feed.lock();
        let kept: usize = state.kept.iter().map(|event| event.frame.len()).sum();
        assert_eq!(kept, state.n_bytes);
        assert!(kept <= KEPT_BYTES && kept > KEPT_BYTES / 2, "{kept}");
    }

    #[test]
    fn nothing_is_kept_while_nobody_looks_but_for_those_who_come_back_at_once() {
        let feed = feed();
        feed.publish_removed("a", "a");
        assert!(feed.lock().kept.is_empty());
        assert_eq!(feed.sequence(), 1);
        drop(feed.subscribe(1));
        feed.publish_removed("b", "b");
        let mut back = feed.subscribe(1);
        assert_eq!(names(back.take_new()), Some(vec!["b".to_string()]));
        drop(back);
        // Long after.
        feed.lock().left = Instant::now().checked_sub(LINGER);
        feed.publish_removed("c", "c");
        assert!(feed.lock().kept.is_empty());
        assert!(matches!(feed.subscribe(2).take_new(), Published::Lost));
        // An id from the future is none of ours.
        assert!(matches!(feed.subscribe(99).take_new(), Published::Lost));
    }
}
