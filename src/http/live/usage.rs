//! Samples of the processor time and memory that processes use.
//!
//! Samples are taken only while clients are interested, because an idle daemon must not wake up. The first request for usage
//! starts the sampler. It stops an hour after the last request, so that a client that comes back finds the last hour.
//! Sampling takes less than half a percent of one processor, however many processes there are: if a sample takes longer, the
//! pause after it is longer.

use crate::control::ask;
use crate::control::overview::Alive;
use crate::control::request::Handle;
use crate::http::live::feed::Feed;
use crate::model::namespec;
use crate::model::usage::Used;
use crate::rt::{self, Timer};
use crate::sys::{clock, process};
use async_channel::{Receiver, Sender};
use futures_lite::FutureExt;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The time between two samples while a client follows the feed.
const WATCHED: Duration = Duration::from_secs(2);

/// The time between two samples otherwise.
const UNWATCHED: Duration = Duration::from_secs(10);

/// The time between the first two samples. The processor time needs both, so the second comes soon.
const SECOND: Duration = Duration::from_millis(500);

/// The pause after a sample is at least so many times as long as the sample took.
const PAUSE: u32 = 200;

/// How long samples are kept, and how long they are taken after the last request.
const HOUR: Duration = Duration::from_secs(3600);

/// How many points are kept of all processes together.
const POINTS: usize = 1 << 20;

/// How many points are kept of one process.
const POINTS_OF_ONE: usize = 360;

/// Memory counts as changed if it changes by at least this, in bytes.
const NOTICEABLE: u64 = 64 << 10;

/// What a process uses now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Now {
    /// Processor time in percent of one processor, rounded to a tenth; may exceed 100. `None` before the second sample.
    pub cpu_percent: Option<f64>,
    pub memory_bytes: u64,
}

/// One point of a chart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Seconds since 1970.
    pub at: i64,
    pub cpu_percent: f32,
    pub memory_kib: u32,
}

/// The last samples. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Usage(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    /// By namespec.
    records: HashMap<String, Record>,
}

#[derive(Debug)]
struct Record {
    pid: i32,
    cpu: Duration,
    at: Instant,
    now: Now,
    /// What was last published.
    published: Option<Now>,
    points: VecDeque<Point>,
}

/// What a process uses now, by its namespec.
pub(crate) type Changed = (String, Now);

impl Usage {
    /// What a process uses now. `None` if there is no sample with this pid.
    pub fn of(&self, namespec: &str, pid: i32) -> Option<Now> {
        let table = self.lock();
        table.records.get(namespec).filter(|record| pid > 0 && record.pid == pid).map(|record| record.now)
    }

    /// The points of the last hour of a process, the latest last.
    pub fn history(&self, namespec: &str) -> Vec<Point> {
        let table = self.lock();
        table.records.get(namespec).map(|record| record.points.iter().copied().collect()).unwrap_or_default()
    }

    /// Records a sample of all processes that are alive. Returns those that differ noticeably from what was published.
    fn record(&self, sample: Vec<(Alive, Used)>, at: Instant, wall: i64) -> Vec<Changed> {
        let mut table = self.lock();
        let most = (POINTS / sample.len().max(1)).clamp(12, POINTS_OF_ONE);
        let step = HOUR.as_secs() as i64 / most as i64;
        let mut changed = Vec::new();
        for (alive, used) in sample {
            let namespec = namespec::display(&alive.group, &alive.name);
            let record = table.records.entry(namespec.clone()).or_insert_with(|| Record {
                pid: 0,
                cpu: used.cpu,
                at,
                now: Now { cpu_percent: None, memory_bytes: used.resident },
                published: None,
                points: VecDeque::new(),
            });
            record.advance(&alive, used, at);
            record.add_point(wall, step, most);
            if record.is_noticeable() {
                record.published = Some(record.now);
                changed.push((namespec, record.now));
            }
        }
        let oldest = wall - HOUR.as_secs() as i64;
        // A process that has been gone for an hour is dropped.
        table.records.retain(|_, record| {
            record.at == at || record.points.back().is_some_and(|point| point.at > oldest)
        });
        changed
    }

    fn clear(&self) {
        self.lock().records = HashMap::new();
    }

    /// The data is valid whenever the lock can be had.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn advance(&mut self, alive: &Alive, used: Used, at: Instant) {
        let is_same = self.pid == alive.pid;
        let passed = at.duration_since(self.at).as_secs_f64();
        let cpu_percent = if is_same && passed > 0.0 {
            let worked = used.cpu.saturating_sub(self.cpu).as_secs_f64();
            Some((worked / passed * 1000.0).round() / 10.0)
        } else {
            None
        };
        self.now = Now { cpu_percent, memory_bytes: used.resident };
        (self.pid, self.cpu, self.at) = (alive.pid, used.cpu, at);
        if !is_same {
            self.published = None;
        }
    }

    /// Adds a point if the last one is `step` seconds old, and keeps at most `most` of them.
    fn add_point(&mut self, wall: i64, step: i64, most: usize) {
        let Some(cpu_percent) = self.now.cpu_percent else { return };
        // A clock that was set back begins a new chart.
        if self.points.back().is_some_and(|point| point.at > wall) {
            self.points.clear();
        }
        if self.points.back().is_some_and(|point| wall - point.at < step) {
            return;
        }
        while self.points.len() >= most {
            self.points.pop_front();
        }
        let memory_kib = u32::try_from(self.now.memory_bytes >> 10).unwrap_or(u32::MAX);
        self.points.push_back(Point { at: wall, cpu_percent: cpu_percent as f32, memory_kib });
    }

    fn is_noticeable(&self) -> bool {
        let Some(published) = self.published else { return true };
        published.cpu_percent != self.now.cpu_percent
            || published.memory_bytes.abs_diff(self.now.memory_bytes) >= NOTICEABLE
    }
}

/// Takes the samples. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Sampler(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    handle: Handle,
    usage: Usage,
    feed: Feed,
    state: Mutex<State>,
    /// Holds at most one note: a client requested samples.
    requested: (Sender<()>, Receiver<()>),
}

#[derive(Debug, Default)]
struct State {
    is_running: bool,
    last_request: Option<Instant>,
    n_watching: usize,
}

/// The interest of a client that follows the feed, until this is dropped.
#[derive(Debug)]
pub(crate) struct Watching(Sampler);

impl Drop for Watching {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.n_watching -= 1;
        state.last_request = Some(Instant::now());
    }
}

impl Sampler {
    pub(crate) fn new(handle: Handle, usage: Usage, feed: Feed) -> Sampler {
        let requested = async_channel::bounded(1);
        Sampler(Arc::new(Shared { handle, usage, feed, state: Mutex::default(), requested }))
    }

    /// Notes that a client is interested now, and starts sampling if it does not run.
    pub(crate) fn request_samples(&self) {
        let mut state = self.lock();
        state.last_request = Some(Instant::now());
        // The channel is full: another client requests samples at the same moment.
        let _ = self.0.requested.0.try_send(());
        if !std::mem::replace(&mut state.is_running, true) {
            rt::spawn(self.clone().run()).detach();
        }
    }

    /// Notes that a client is interested until the result is dropped.
    pub(crate) fn watch(&self) -> Watching {
        self.lock().n_watching += 1;
        self.request_samples();
        Watching(self.clone())
    }

    async fn run(self) {
        let mut n_samples = 0_u32;
        while self.is_wanted() {
            let took = self.sample().await;
            n_samples = n_samples.saturating_add(1);
            self.pause(n_samples, took).await;
        }
    }

    /// Whether to continue. After this returned false, the next request starts sampling again.
    fn is_wanted(&self) -> bool {
        let mut state = self.lock();
        let recently = state.last_request.is_some_and(|request| request.elapsed() < HOUR);
        state.is_running = recently || state.n_watching > 0;
        if !state.is_running {
            self.0.usage.clear();
        }
        state.is_running
    }

    /// Takes one sample. Returns how much processor time that took.
    async fn sample(&self) -> Duration {
        let Ok(alive) = self.0.handle.call(ask::Alive).await else {
            return Duration::ZERO;
        };
        let (sample, at, took) = rt::unblock(move || {
            // The cost is the processor time of this thread, however long it waits for a processor.
            let (at, begin) = (Instant::now(), clock::own_thread());
            let used = |alive: Alive| process::used(alive.pid).map(|used| (alive, used));
            let sample: Vec<_> = alive.into_iter().filter_map(used).collect();
            (sample, at, clock::own_thread().saturating_sub(begin))
        })
        .await;
        let wall = clock::wall();
        let changed = self.0.usage.record(sample, at, wall.secs());
        if !changed.is_empty() {
            self.0.feed.publish_usage(wall, &changed);
        }
        took
    }

    async fn pause(&self, n_samples: u32, took: Duration) {
        let least = took * PAUSE;
        if n_samples == 1 {
            Timer::after(SECOND.max(least)).await;
            return;
        }
        Timer::after(WATCHED.max(least)).await;
        if self.lock().n_watching > 0 {
            return;
        }
        // A client that becomes interested does not wait for the end of the long pause.
        let rest = async {
            Timer::after(UNWATCHED.saturating_sub(WATCHED.max(least))).await;
        };
        let requested = async {
            let _ = self.0.requested.1.recv().await;
        };
        rest.or(requested).await;
    }

    /// The data is valid whenever the lock can be had.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(pid: i32, millis: u64, kib: u64) -> Vec<(Alive, Used)> {
        let alive = Alive { group: "g".into(), name: "a".into(), pid };
        vec![(alive, Used { cpu: Duration::from_millis(millis), resident: kib << 10, tasks: 1 })]
    }

    #[test]
    fn what_is_told_is_what_changed() {
        let usage = Usage::default();
        let begin = Instant::now();
        let mut at = 0;
        let mut take = |pid, millis, kib| {
            at += 2;
            usage.record(sample(pid, millis, kib), begin + Duration::from_secs(at), 1000 + at as i64)
        };
        let published =
            |cpu_percent, kib: u64| vec![("g:a".to_string(), Now { cpu_percent, memory_bytes: kib << 10 })];
        assert_eq!(take(7, 100, 1000), published(None, 1000));
        assert_eq!(take(7, 1100, 1000), published(Some(50.0), 1000));
        assert_eq!(take(7, 2100, 1001), []);
        assert_eq!(take(7, 3100, 1100), published(Some(50.0), 1100));
        assert_eq!(take(7, 3100, 1100), published(Some(0.0), 1100));
        assert_eq!(take(8, 10, 500), published(None, 500));
        assert_eq!(usage.of("g:a", 7), None);
        assert_eq!(usage.of("g:a", 8), Some(Now { cpu_percent: None, memory_bytes: 500 << 10 }));
    }

    #[test]
    fn an_hour_is_remembered_and_no_more() {
        let usage = Usage::default();
        let begin = Instant::now();
        for n in 0..4000_u64 {
            usage.record(sample(7, n, 1000), begin + Duration::from_secs(2 * n), 2 * n as i64);
        }
        let points = usage.history("g:a");
        assert_eq!(points.len(), POINTS_OF_ONE);
        assert_eq!(points[359].at - points[358].at, 10);
        // It ends; after an hour nobody remembers.
        usage.record(Vec::new(), begin + Duration::from_secs(8010), 8010);
        assert_eq!(usage.history("g:a").len(), POINTS_OF_ONE);
        usage.record(Vec::new(), begin + Duration::from_secs(12_000), 12_000);
        assert_eq!(usage.history("g:a").len(), 0);
    }
}
