//! What happens, for everybody who looks: the loop tells it once, each viewer reads it at a pace of their own.
//!
//! Everything told has a number and is put into text once. The last megabytes are kept; a viewer who was away for
//! longer, or reads too slowly, is told to look at everything anew. While nobody looks nothing is put into text.

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

/// So many bytes of what was told are kept for viewers who lag behind or come back.
const KEPT_BYTES: usize = 2 << 20;

/// So many changes of state are remembered for the timeline.
const TIMELINE: usize = 1000;

/// After the last viewer has left, what happens is still kept for so long: a browser that lost its connection comes
/// back within seconds.
const LINGER: Duration = Duration::from_secs(60);

/// Where it is told. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Feed(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Tells the numbers of this manager from those of others.
    epoch: u64,
    usage: Usage,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sequence: u64,
    kept: VecDeque<Told>,
    n_bytes: usize,
    viewers: Vec<Sender<()>>,
    /// When the last viewer left.
    left: Option<Instant>,
    timeline: VecDeque<Change>,
}

/// What something told is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A process has changed its state.
    Change,
    /// A process is new, or something else about it.
    Process,
    /// A process is gone.
    Removed,
    /// The daemon as a whole.
    Daemon,
    /// What processes use of the machine.
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

/// Something that was told.
#[derive(Clone, Debug)]
pub struct Told {
    pub sequence: u64,
    pub kind: Kind,
    /// A server-sent event.
    frame: Arc<[u8]>,
    json: Range<usize>,
}

impl Told {
    pub fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// The JSON in it, on one line.
    pub fn json(&self) -> &[u8] {
        &self.frame[self.json.clone()]
    }
}

/// What a viewer has missed.
#[derive(Debug)]
pub enum News {
    Told(Vec<Told>),
    /// More than is kept: whoever wants to know has to look at everything.
    Lost,
}

impl Feed {
    pub fn new(usage: Usage) -> Feed {
        // A manager that takes over gets another number than the one before, unless the clock was set back to the same
        // microsecond.
        let epoch = crate::sys::clock::wall().0 / 1000;
        Feed(Arc::new(Shared { epoch, usage, state: Mutex::default() }))
    }

    /// Tells one manager's numbers from another's.
    pub fn epoch(&self) -> u64 {
        self.0.epoch
    }

    /// The number of the last thing told.
    pub fn sequence(&self) -> u64 {
        self.lock().sequence
    }

    /// Begins to listen after `sequence`, which is one of this epoch.
    pub fn view(&self, sequence: u64) -> Viewer {
        let (sender, notes) = async_channel::bounded(1);
        let mut state = self.lock();
        state.viewers.push(sender);
        Viewer { feed: self.clone(), at: sequence, notes }
    }

    /// How many look right now.
    pub fn n_viewers(&self) -> usize {
        self.lock().viewers.len()
    }

    /// The last changes of state, the latest first.
    pub fn timeline(&self, max: usize) -> Vec<Change> {
        self.lock().timeline.iter().rev().take(max).cloned().collect()
    }

    pub fn tell_change(&self, change: Change, process: impl FnOnce() -> ProcessView) {
        let mut state = self.lock();
        if state.timeline.len() == TIMELINE {
            state.timeline.pop_front();
        }
        state.timeline.push_back(change);
        self.tell_in(&mut state, Kind::Change, |state| {
            let process = process();
            let row = view::row(&process, &self.0.usage);
            view::to_json(&view::Changed::new(state.timeline.back()?, &row))
        });
    }

    pub fn tell_process(&self, process: impl FnOnce() -> ProcessView) {
        self.tell(Kind::Process, || {
            let process = process();
            let row = view::row(&process, &self.0.usage);
            view::to_json(&Added { at: process.info.now, event: "PROCESS", row: &row })
        });
    }

    pub fn tell_removed(&self, group: &str, process: &str) {
        self.tell(Kind::Removed, || {
            let namespec = namespec::display(group, process);
            let at = crate::sys::clock::wall().secs();
            view::to_json(&Removed { at, event: "PROCESS_REMOVED", group, process, namespec: &namespec })
        });
    }

    pub fn tell_daemon(&self, daemon: &DaemonView) {
        self.tell(Kind::Daemon, || {
            let at = crate::sys::clock::wall().secs();
            view::to_json(&view::DaemonChanged::new(at, daemon))
        });
    }

    /// What has changed of what processes use.
    pub fn tell_usage(&self, at: Wall, changed: &[Changed]) {
        self.tell(Kind::Usage, || view::to_json(&view::UsageChanged::new(at.secs(), changed)));
    }

    fn tell(&self, kind: Kind, json: impl FnOnce() -> Option<String>) {
        self.tell_in(&mut self.lock(), kind, |_| json());
    }

    fn tell_in(&self, state: &mut State, kind: Kind, json: impl FnOnce(&State) -> Option<String>) {
        state.sequence += 1;
        if !state.is_watched() {
            (state.kept, state.n_bytes, state.left) = (VecDeque::new(), 0, None);
            return;
        }
        // What cannot be put into text was not told.
        let Some(json) = json(state) else { return };
        let told = self.framed(state.sequence, kind, &json);
        state.n_bytes += told.frame.len();
        state.kept.push_back(told);
        while state.n_bytes > KEPT_BYTES
            && let Some(oldest) = state.kept.pop_front()
        {
            state.n_bytes -= oldest.frame.len();
        }
        // One note is enough, however much is told before it is read.
        state.viewers.retain(|viewer| !matches!(viewer.try_send(()), Err(TrySendError::Closed(()))));
    }

    fn framed(&self, sequence: u64, kind: Kind, json: &str) -> Told {
        let mut frame =
            format!("id: {}-{sequence}\nevent: {}\ndata: ", self.0.epoch, kind.name()).into_bytes();
        let begin = frame.len();
        frame.extend_from_slice(json.as_bytes());
        let json = begin..frame.len();
        frame.extend_from_slice(b"\n\n");
        Told { sequence, kind, frame: frame.into(), json }
    }

    fn after(&self, sequence: u64) -> News {
        let state = self.lock();
        if sequence == state.sequence {
            return News::Told(Vec::new());
        }
        match state.kept.front() {
            Some(oldest) if oldest.sequence <= sequence + 1 && sequence < state.sequence => {
                let new = state.kept.iter().filter(|told| told.sequence > sequence);
                News::Told(new.cloned().collect())
            }
            _ => News::Lost,
        }
    }

    /// Every change under this lock is complete before anything can panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_watched(&self) -> bool {
        !self.viewers.is_empty() || self.left.is_some_and(|left| left.elapsed() < LINGER)
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

/// Somebody who looks. Ends when it is dropped.
#[derive(Debug)]
pub struct Viewer {
    feed: Feed,
    at: u64,
    /// Holds at most one note.
    notes: Receiver<()>,
}

impl Viewer {
    /// What was told since the last time; nothing, if there is nothing new.
    pub fn news(&mut self) -> News {
        let news = self.feed.after(self.at);
        if let News::Told(told) = &news
            && let Some(last) = told.last()
        {
            self.at = last.sequence;
        }
        news
    }

    /// Goes on after a look at everything that was up to date with this number.
    pub fn skip_to(&mut self, sequence: u64) {
        self.at = sequence;
    }

    /// Waits until there may be news.
    pub async fn wait(&self) {
        // The feed holds the sender, and we the feed: this ends only with a note.
        let _ = self.notes.recv().await;
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.notes.close();
        let mut state = self.feed.lock();
        state.viewers.retain(|viewer| !viewer.is_closed());
        if state.viewers.is_empty() {
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

    fn names(news: News) -> Option<Vec<String>> {
        let News::Told(told) = news else { return None };
        let name = |told: &Told| {
            let json: serde_json::Value = serde_json::from_slice(told.json()).unwrap();
            json["namespec"].as_str().unwrap().to_string()
        };
        Some(told.iter().map(name).collect())
    }

    #[test]
    fn every_viewer_reads_at_a_pace_of_its_own() {
        rt::block_on(async {
            let feed = feed();
            let (mut one, mut other) = (feed.view(feed.sequence()), feed.view(feed.sequence()));
            assert_eq!(names(one.news()), Some(Vec::new()));
            feed.tell_removed("g", "a");
            within(Duration::from_secs(20), one.wait()).await.expect("it is woken");
            assert_eq!(names(one.news()), Some(vec!["g:a".to_string()]));
            feed.tell_removed("b", "b");
            assert_eq!(names(one.news()), Some(vec!["b".to_string()]));
            assert_eq!(names(other.news()), Some(vec!["g:a".to_string(), "b".to_string()]));
            assert_eq!(names(other.news()), Some(Vec::new()));
        });
    }

    #[test]
    fn a_frame_is_a_server_sent_event() {
        let feed = feed();
        let mut viewer = feed.view(0);
        feed.tell_removed("a", "line\nbreak");
        let News::Told(told) = viewer.news() else { panic!("it was lost") };
        let frame = std::str::from_utf8(told[0].frame()).unwrap();
        let lines: Vec<&str> = frame.lines().collect();
        assert_eq!(lines[0], format!("id: {}-1", feed.epoch()));
        assert_eq!(lines[1], "event: removed");
        assert!(lines[2].starts_with("data: {") && lines[2].contains("line\\nbreak"), "{frame}");
        assert!(frame.ends_with("\n\n") && lines.len() == 4, "{frame}");
    }

    #[test]
    fn who_lags_behind_too_far_is_told_so_and_memory_is_bounded() {
        let feed = feed();
        let mut viewer = feed.view(0);
        let name = "x".repeat(10_000);
        for _ in 0..1000 {
            feed.tell_removed("g", &name);
        }
        assert!(matches!(viewer.news(), News::Lost));
        viewer.skip_to(feed.sequence());
        assert_eq!(names(viewer.news()), Some(Vec::new()));
        let state = feed.lock();
        let kept: usize = state.kept.iter().map(|told| told.frame.len()).sum();
        assert_eq!(kept, state.n_bytes);
        assert!(kept <= KEPT_BYTES && kept > KEPT_BYTES / 2, "{kept}");
    }

    #[test]
    fn nothing_is_kept_while_nobody_looks_but_for_those_who_come_back_at_once() {
        let feed = feed();
        feed.tell_removed("a", "a");
        assert!(feed.lock().kept.is_empty());
        assert_eq!(feed.sequence(), 1);
        drop(feed.view(1));
        feed.tell_removed("b", "b");
        let mut back = feed.view(1);
        assert_eq!(names(back.news()), Some(vec!["b".to_string()]));
        drop(back);
        // Long after.
        feed.lock().left = Instant::now().checked_sub(LINGER);
        feed.tell_removed("c", "c");
        assert!(feed.lock().kept.is_empty());
        assert!(matches!(feed.view(2).news(), News::Lost));
        // An id from the future is none of ours.
        assert!(matches!(feed.view(99).news(), News::Lost));
    }
}
