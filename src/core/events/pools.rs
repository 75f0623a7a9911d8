//! The pools: queues of events, and the listeners that take them.
//!
//! [`Pools::step`] is the only way to change them. It depends on its arguments only, so the same inputs lead to the
//! same queues: a successor rebuilds them from the recorded inputs (see `manager::events::journal`).

use crate::core::events::payload;
use crate::core::events::protocol::{Conversation, Mood, Said};
use crate::model::config::{Level, PayloadLength, PoolConfig, ResultHandler};
use crate::model::event::{Kind, Kinds};
use crate::model::state::ProcessState;
use crate::model::time::Monotonic;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// The number by which a listener's process is known.
pub type Slot = u32;

/// The largest serial number (Supervisor, process.py: Python's `maxint`); the next one is 0 again.
const LAST_SERIAL: u64 = i64::MAX as u64;

/// How long an event rests after it was rejected for the second time in a row; doubled each time. Supervisor
/// sends it again at once, which keeps a processor busy as long as a listener always rejects.
const FIRST_REST: Duration = Duration::from_millis(10);
const LONGEST_REST: Duration = Duration::from_secs(1);

/// Everything that can change the pools.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// A pool comes into being, with its listeners in the order in which they are asked.
    Add {
        /// The pool's name: that of its group.
        pool: String,
        /// The keys of its section.
        config: PoolConfig,
        /// Each process with its name for messages.
        listeners: Vec<(Slot, String)>,
    },
    /// A pool goes, with what is in its queue.
    Remove {
        /// Its name.
        pool: String,
    },
    /// A listener comes to a pool, the last to be asked.
    AddListener {
        /// The pool's name: that of its group.
        pool: String,
        /// The listener's process.
        slot: Slot,
        /// Its name for messages.
        name: String,
    },
    /// A listener goes from its pool.
    RemoveListener {
        /// The listener's process.
        slot: Slot,
    },
    /// Something happened. Asked for only if somebody [wants](Pools::wants) it.
    Publish {
        /// The type of the event. Only pools that subscribed to it get it.
        kind: Kind,
        /// What follows the header, as [`payload`] writes it.
        payload: String,
    },
    /// A listener's process has changed its state.
    Changed {
        /// The listener's process.
        slot: Slot,
        /// The state that it has entered. Only a RUNNING listener gets events.
        state: ProcessState,
    },
    /// A listener's process has ended, and everything it wrote was heard.
    Reaped {
        /// The listener's process.
        slot: Slot,
        /// The moment at which the end was seen. What the listener was busy with goes back to the queue.
        now: Monotonic,
    },
    /// A listener has written something.
    Heard {
        /// The listener's process.
        slot: Slot,
        /// What it wrote to its standard output, in pieces of any length.
        #[serde(with = "as_text")]
        bytes: Vec<u8>,
        /// The moment at which that was read. The rest of a rejected event is counted from here.
        now: Monotonic,
    },
    /// An event could not be written: the listener has closed its standard input.
    Undelivered {
        /// The listener's process. It gets nothing more until it is started again.
        slot: Slot,
    },
    /// Events may be sent now.
    Dispatch {
        /// The present moment, for events that rest.
        now: Monotonic,
    },
    /// The time on the wall, in seconds since 1970.
    Clock {
        /// Makes ticks due. It may jump in either direction.
        secs: i64,
    },
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Effect {
    /// Write this line to the activity log.
    Log(Level, String),
    /// Write this to the listener's standard input. If it is closed, answer with [`Input::Undelivered`].
    /// Each message to a listener has another number, even if it sends the same event again.
    Send {
        /// The listener's process.
        slot: Slot,
        /// How many events were sent to this listener, this one included. A successor tells by it what has been
        /// written already.
        number: u64,
        /// The header and the payload.
        bytes: Vec<u8>,
    },
    /// Write this to the daemon's standard output.
    Print(String),
}

/// All pools. Serial numbers go on when pools come and go.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pools {
    /// How this daemon is called in events.
    server: String,
    next_serial: u64,
    pools: Vec<Pool>,
    /// The places of a listener: pool, then listener.
    places: HashMap<Slot, (usize, usize)>,
    /// For each tick its last time; `None` as long as nobody waits for it.
    last_ticks: [Option<i64>; 3],
}

/// The ticks and their periods in seconds.
const TICKS: [(Kind, i64); 3] = [(Kind::Tick5, 5), (Kind::Tick60, 60), (Kind::Tick3600, 3600)];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pool {
    queue: Queue,
    listeners: Vec<Listener>,
}

/// What waits for the listeners of a pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Queue {
    pool: String,
    config: PoolConfig,
    kinds: Kinds,
    next_serial: u64,
    events: VecDeque<Queued>,
    /// How often in a row an event was rejected.
    n_rejected: u32,
    /// Nothing is sent before.
    rests_until: Monotonic,
}

/// An event in the queue of a pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Queued {
    event: Arc<Event>,
    pool_serial: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Event {
    serial: u64,
    kind: Kind,
    payload: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Listener {
    slot: Slot,
    name: String,
    is_running: bool,
    /// It has closed its standard input.
    is_deaf: bool,
    conversation: Conversation,
    /// What it is busy with.
    event: Option<Queued>,
    /// How many events were sent to it.
    n_sent: u64,
    /// How many bytes were heard from it.
    n_heard: u64,
}

impl Pools {
    /// No pools yet. `server` is the daemon's `identifier`, which stands in every event.
    pub fn new(server: &str) -> Pools {
        Pools { server: server.to_string(), ..Pools::default() }
    }

    /// How this daemon is called.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Changes how this daemon is called.
    pub fn rename_server(&mut self, server: &str) {
        self.server = server.to_string();
    }

    /// Every kind that some pool subscribed to.
    pub fn wanted(&self) -> Kinds {
        self.pools.iter().fold(Kinds::default(), |all, pool| all.union(pool.queue.kinds))
    }

    /// Whether some pool subscribed to this kind.
    pub fn wants(&self, kind: Kind) -> bool {
        self.pools.iter().any(|pool| pool.queue.kinds.contain(kind))
    }

    /// The pools, each with its listeners.
    pub fn members(&self) -> impl Iterator<Item = (&str, Vec<Slot>)> {
        let slots = |pool: &Pool| pool.listeners.iter().map(|listener| listener.slot).collect();
        self.pools.iter().map(move |pool| (pool.queue.pool.as_str(), slots(pool)))
    }

    /// Whether this process is a listener.
    pub fn has(&self, slot: Slot) -> bool {
        self.places.contains_key(&slot)
    }

    /// How a listener's conversation stands.
    pub fn mood(&self, slot: Slot) -> Option<Mood> {
        let (pool, listener) = *self.places.get(&slot)?;
        Some(self.pools[pool].listeners[listener].conversation.mood())
    }

    /// What made a listener UNKNOWN, if it is.
    pub fn offence(&self, slot: Slot) -> Option<&str> {
        let (pool, listener) = *self.places.get(&slot)?;
        self.pools[pool].listeners[listener].conversation.offence()
    }

    /// How many bytes were heard from a listener.
    pub fn n_heard(&self, slot: Slot) -> Option<u64> {
        let (pool, listener) = *self.places.get(&slot)?;
        Some(self.pools[pool].listeners[listener].n_heard)
    }

    /// What a listener is busy with, as it was or is to be sent: its number and its bytes.
    pub fn under_way(&self, slot: Slot) -> Option<(u64, Vec<u8>)> {
        let (pool, listener) = *self.places.get(&slot)?;
        let (pool, listener) = (&self.pools[pool], &self.pools[pool].listeners[listener]);
        let event = listener.event.as_ref()?;
        Some((listener.n_sent, pool.queue.envelope(event, &self.server)))
    }

    /// Whether [`Input::Dispatch`] would send something.
    pub fn can_dispatch(&self, now: Monotonic) -> bool {
        self.pools.iter().any(|pool| pool.queue.rests_until <= now && pool.could_send())
    }

    /// When [`Input::Dispatch`] is due even though nothing happens.
    pub fn deadline(&self) -> Option<Monotonic> {
        self.pools.iter().filter(|pool| pool.could_send()).map(|pool| pool.queue.rests_until).min()
    }

    /// Whether [`Input::Clock`] would change anything at this time.
    pub fn needs_clock(&self, secs: i64) -> bool {
        let changes = |(index, (kind, period)): (usize, (Kind, i64))| {
            self.wants(kind) && self.last_ticks[index] != Some(boundary(secs, period))
        };
        TICKS.into_iter().enumerate().any(changes)
    }

    /// The time of the next tick that somebody waits for.
    pub fn next_tick(&self, secs: i64) -> Option<i64> {
        let wanted = TICKS.iter().filter(|(kind, _)| self.wants(*kind));
        wanted.map(|(_, period)| boundary(secs, *period) + period).min()
    }

    /// Takes one input.
    pub fn step(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Add { pool, config, listeners } => self.add(pool, config, listeners),
            Input::Remove { pool } => {
                self.pools.retain(|existing| existing.queue.pool != pool);
                self.index();
            }
            Input::AddListener { pool, slot, name } => {
                if let Some(pool) = self.pools.iter_mut().find(|existing| existing.queue.pool == pool) {
                    pool.listeners.push(Listener::new(slot, name));
                    self.index();
                }
            }
            Input::RemoveListener { slot } => {
                if let Some((pool, listener)) = self.places.remove(&slot) {
                    self.pools[pool].listeners.remove(listener);
                    self.index();
                }
            }
            Input::Publish { kind, payload } => self.publish(kind, payload, &mut effects),
            Input::Changed { slot, state } => {
                if let Some((_, listener)) = self.find(slot) {
                    listener.changed(state);
                }
            }
            Input::Reaped { slot, now } => {
                if let Some((queue, listener)) = self.find(slot)
                    && let Some(event) = listener.event.take()
                {
                    queue.take_back(event, now, &mut effects);
                }
            }
            Input::Heard { slot, bytes, now } => {
                if let Some((queue, listener)) = self.find(slot) {
                    listener.n_heard += bytes.len() as u64;
                    listener.conversation.hear(&bytes);
                    while let Some(said) = listener.conversation.next_said() {
                        listener.said(said, queue, now, &mut effects);
                    }
                }
            }
            Input::Undelivered { slot } => {
                if let Some((queue, listener)) = self.find(slot)
                    && let Some(event) = listener.event.take()
                {
                    listener.is_deaf = true;
                    listener.conversation.withdraw();
                    let (serial, name) = (event.event.serial, &listener.name);
                    log(
                        &mut effects,
                        Level::Debug,
                        format!(
                            "epipe occurred while sending event {serial} to listener {name}, listener state unchanged"
                        ),
                    );
                    queue.events.push_front(event);
                }
            }
            Input::Clock { secs } => self.clock(secs, &mut effects),
            Input::Dispatch { now } => {
                for pool in &mut self.pools {
                    pool.dispatch(&self.server, now, &mut effects);
                }
            }
        }
        effects
    }

    fn add(&mut self, pool: String, config: PoolConfig, listeners: Vec<(Slot, String)>) {
        let listeners = listeners.into_iter().map(|(slot, name)| Listener::new(slot, name));
        self.pools.retain(|existing| existing.queue.pool != pool);
        self.pools.push(Pool {
            listeners: listeners.collect(),
            queue: Queue {
                pool,
                kinds: Kinds::from_names(&config.events),
                config,
                next_serial: 0,
                events: VecDeque::new(),
                n_rejected: 0,
                rests_until: Monotonic(0),
            },
        });
        self.index();
    }

    /// Finds the places of the listeners anew.
    fn index(&mut self) {
        self.places.clear();
        for (index, pool) in self.pools.iter().enumerate() {
            let places = pool.listeners.iter().enumerate().map(|(place, one)| (one.slot, (index, place)));
            self.places.extend(places);
        }
    }

    /// A listener and the queue of its pool.
    fn find(&mut self, slot: Slot) -> Option<(&mut Queue, &mut Listener)> {
        let (pool, listener) = *self.places.get(&slot)?;
        let pool = &mut self.pools[pool];
        Some((&mut pool.queue, &mut pool.listeners[listener]))
    }

    /// As in Supervisor, supervisord.py, tick(): however the clock jumps, it is one event.
    fn clock(&mut self, secs: i64, effects: &mut Vec<Effect>) {
        for (index, (kind, period)) in TICKS.into_iter().enumerate() {
            let now = self.wants(kind).then(|| boundary(secs, period));
            let before = std::mem::replace(&mut self.last_ticks[index], now);
            if let (Some(before), Some(now)) = (before, now)
                && before != now
            {
                self.publish(kind, payload::tick(now), effects);
            }
        }
    }

    fn publish(&mut self, kind: Kind, payload: String, effects: &mut Vec<Effect>) {
        if !self.wants(kind) {
            return;
        }
        let event = Arc::new(Event { serial: take_serial(&mut self.next_serial), kind, payload });
        for pool in self.pools.iter_mut().filter(|pool| pool.queue.kinds.contain(kind)) {
            let queue = &mut pool.queue;
            let pool_serial = take_serial(&mut queue.next_serial);
            queue.make_room(effects);
            queue.events.push_back(Queued { event: Arc::clone(&event), pool_serial });
        }
    }
}

impl Pool {
    /// Whether there is an event and somebody to take it.
    fn could_send(&self) -> bool {
        !self.queue.events.is_empty() && self.listeners.iter().any(Listener::can_take)
    }

    /// Sends what can be sent.
    fn dispatch(&mut self, server: &str, now: Monotonic, effects: &mut Vec<Effect>) {
        if self.queue.rests_until > now {
            return;
        }
        let mut has_sent = false;
        while let Some(head) = self.queue.events.front() {
            let Some(listener) = self.listeners.iter_mut().find(|listener| listener.can_take()) else {
                if has_sent {
                    let serial = head.event.serial;
                    self.queue.log_rebuffering(serial, self.queue.events.len() - 1, effects);
                }
                return;
            };
            // `front` has just shown it.
            let Some(event) = self.queue.events.pop_front() else { return };
            let bytes = self.queue.envelope(&event, server);
            listener.n_sent += 1;
            effects.push(Effect::Send { slot: listener.slot, number: listener.n_sent, bytes });
            let (serial, name) = (event.event.serial, &listener.name);
            log(effects, Level::Debug, format!("event {serial} sent to listener {name}"));
            listener.conversation.begin();
            listener.event = Some(event);
            has_sent = true;
        }
    }
}

impl Queue {
    /// As in Supervisor, process.py, _acceptEvent(): a full queue drops its oldest event.
    fn make_room(&mut self, effects: &mut Vec<Effect>) {
        if self.events.len() >= self.config.buffer_size
            && let Some(oldest) = self.events.pop_front()
        {
            let (pool, serial) = (&self.pool, oldest.event.serial);
            let text = format!("pool {pool} event buffer overflowed, discarding event {serial}");
            log(effects, Level::Error, text);
        }
    }

    /// Puts a rejected event back, to be the next one again.
    fn take_back(&mut self, event: Queued, now: Monotonic, effects: &mut Vec<Effect>) {
        self.log_rebuffering(event.event.serial, self.events.len(), effects);
        self.make_room(effects);
        self.events.push_front(event);
        if self.n_rejected > 0 {
            let rest = FIRST_REST.saturating_mul(1 << (self.n_rejected - 1).min(16));
            self.rests_until = now + rest.min(LONGEST_REST);
        }
        self.n_rejected = self.n_rejected.saturating_add(1);
    }

    fn log_rebuffering(&self, serial: u64, n_events: usize, effects: &mut Vec<Effect>) {
        let (pool, max) = (&self.pool, self.config.buffer_size);
        let text = format!("rebuffering event {serial} for pool {pool} (buf size={n_events}, max={max})");
        log(effects, Level::Debug, text);
    }

    /// What goes to the listener: a line, then the payload and nothing else.
    fn envelope(&self, queued: &Queued, server: &str) -> Vec<u8> {
        let Event { serial, kind, payload } = &*queued.event;
        let length = match self.config.payload_length {
            PayloadLength::Characters => payload.chars().count(),
            PayloadLength::Bytes => payload.len(),
        };
        format!(
            "ver:3.0 server:{server} serial:{serial} pool:{} poolserial:{} eventname:{} len:{length}\n{payload}",
            self.pool,
            queued.pool_serial,
            kind.name(),
        )
        .into_bytes()
    }
}

impl Listener {
    fn new(slot: Slot, name: String) -> Listener {
        Listener {
            slot,
            name,
            is_running: false,
            is_deaf: false,
            conversation: Conversation::default(),
            event: None,
            n_sent: 0,
            n_heard: 0,
        }
    }

    fn can_take(&self) -> bool {
        self.is_running && !self.is_deaf && self.conversation.mood() == Mood::Ready
    }

    fn changed(&mut self, state: ProcessState) {
        self.is_running = state == ProcessState::Running;
        if state == ProcessState::Starting {
            self.is_deaf = false;
            self.conversation = Conversation::default();
        }
    }

    fn said(&mut self, said: Said, queue: &mut Queue, now: Monotonic, effects: &mut Vec<Effect>) {
        let name = &self.name;
        match said {
            Said::Ready => {
                log(effects, Level::Debug, format!("{name}: ACKNOWLEDGED -> READY"));
            }
            // Only a BUSY listener has an event, and that one does not say nonsense but a bad result.
            Said::Nonsense(from) => log_unknown(effects, name, from),
            Said::NoResult(line) => {
                let line = readable(&line);
                log(effects, Level::Warn, format!("{name}: bad result line: '{line}'"));
                log_unknown(effects, name, Mood::Busy);
                self.reject(queue, now, effects);
            }
            Said::Result(result) => self.answered(&result, queue, now, effects),
        }
    }

    fn answered(&mut self, result: &[u8], queue: &mut Queue, now: Monotonic, effects: &mut Vec<Effect>) {
        let name = &self.name;
        let acknowledged = || format!("{name}: BUSY -> ACKNOWLEDGED");
        match judge(queue.config.result_handler, result) {
            Verdict::Processed(printed) => {
                effects.extend(printed.map(Effect::Print));
                log(effects, Level::Debug, format!("{name}: event was processed"));
                log(effects, Level::Debug, acknowledged());
                self.conversation.settle(true);
                self.event = None;
                queue.n_rejected = 0;
            }
            Verdict::Rejected => {
                log(effects, Level::Warn, format!("{name}: event was rejected"));
                log(effects, Level::Debug, acknowledged());
                self.conversation.settle(true);
                self.reject(queue, now, effects);
            }
            Verdict::Error => {
                log(effects, Level::Warn, format!("{name}: event caused an error"));
                log_unknown(effects, name, Mood::Busy);
                self.conversation.settle(false);
                self.reject(queue, now, effects);
            }
        }
    }

    fn reject(&mut self, queue: &mut Queue, now: Monotonic, effects: &mut Vec<Effect>) {
        if let Some(event) = self.event.take() {
            queue.take_back(event, now, effects);
        }
    }
}

/// The last multiple of a period.
fn boundary(secs: i64, period: i64) -> i64 {
    secs - secs.rem_euclid(period)
}

/// What an answer means.
enum Verdict {
    /// It may have to be printed.
    Processed(Option<String>),
    Rejected,
    Error,
}

fn judge(handler: ResultHandler, result: &[u8]) -> Verdict {
    match handler {
        ResultHandler::Default if result == b"OK" => Verdict::Processed(None),
        ResultHandler::Default => Verdict::Rejected,
        ResultHandler::SupervisorStdout => match prefixed_lines(result) {
            Some(lines) => Verdict::Processed(Some(lines)),
            None => Verdict::Error,
        },
    }
}

/// What `supervisor_stdout:event_handler` prints: the listener answers with the payload of a PROCESS_LOG
/// event, and each of its lines is shown behind the names of process and channel.
fn prefixed_lines(result: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(result);
    let (fields, data) = text.split_once('\n')?;
    let field = |name: &str| {
        fields.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix(':').map(str::to_string))
    };
    let (process, channel) = (field("processname")?, field("channel")?);
    Some(data.lines().map(|line| format!("{process} {channel} | {line}\n")).collect())
}

/// Bytes in a line of the log.
fn readable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn log(effects: &mut Vec<Effect>, level: Level, text: String) {
    effects.push(Effect::Log(level, text));
}

fn log_unknown(effects: &mut Vec<Effect>, name: &str, from: Mood) {
    log(effects, Level::Debug, format!("{name}: {} -> UNKNOWN", from.name()));
    let text = format!(
        "{name}: has entered the UNKNOWN state and will no longer receive events, this usually indicates the \
         process violated the eventlistener protocol"
    );
    log(effects, Level::Warn, text);
}

fn take_serial(counter: &mut u64) -> u64 {
    let serial = *counter;
    *counter = if serial == LAST_SERIAL { 0 } else { serial + 1 };
    serial
}

/// Bytes as text with one character for each, which is shorter than a list of numbers.
mod as_text {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&bytes.iter().map(|byte| char::from(*byte)).collect::<String>())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        // What is no byte was not written by `serialize`; any byte does then.
        let text = String::deserialize(deserializer)?;
        Ok(text.chars().map(|char| u8::try_from(u32::from(char)).unwrap_or(b'?')).collect())
    }
}

#[cfg(test)]
#[path = "pools_tests.rs"]
mod tests;
