//! Tests of the pools, written as conversations.

use super::*;

const NOW: Monotonic = Monotonic(1_000_000_000);

/// Pools with one pool `p` of so many listeners `a`, `b`, … that are RUNNING.
struct Scene {
    pools: Pools,
    /// What was sent, logged and printed since it was last looked at.
    seen: Vec<String>,
    now: Monotonic,
}

fn config(events: &[&str]) -> PoolConfig {
    PoolConfig {
        buffer_size: 10,
        events: events.iter().map(|name| name.to_string()).collect(),
        result_handler: ResultHandler::Default,
        payload_length: PayloadLength::Characters,
    }
}

impl Scene {
    fn new(config: PoolConfig, n_listeners: u32) -> Scene {
        let mut scene = Scene { pools: Pools::new("supervisor"), seen: Vec::new(), now: NOW };
        let names = ["a", "b", "c", "d"];
        let listeners = (0..n_listeners).map(|slot| (slot, names[slot as usize].to_string())).collect();
        scene.step(Input::Add { pool: "p".to_string(), config, listeners });
        for slot in 0..n_listeners {
            scene.step(Input::Changed { slot, state: ProcessState::Starting });
            scene.step(Input::Changed { slot, state: ProcessState::Running });
        }
        scene
    }

    fn step(&mut self, input: Input) {
        for effect in self.pools.step(input) {
            self.seen.push(match effect {
                Effect::Log(level, text) => format!("{level:?} {text}"),
                Effect::Send { slot, bytes, .. } => {
                    format!("to {slot}: {}", String::from_utf8(bytes).unwrap())
                }
                Effect::Print(text) => format!("print {text}"),
            });
        }
    }

    fn publish(&mut self, n_events: u32) {
        for when in 0..n_events {
            self.step(Input::Publish { kind: Kind::Tick5, payload: format!("when:{when}") });
        }
    }

    fn hear(&mut self, slot: Slot, text: &str) {
        self.step(Input::Heard { slot, bytes: text.as_bytes().to_vec(), now: self.now });
    }

    fn dispatch(&mut self) {
        self.step(Input::Dispatch { now: self.now });
    }

    /// What was seen that contains one of these words.
    fn seen(&mut self, words: &[&str]) -> Vec<String> {
        let mut seen = std::mem::take(&mut self.seen);
        seen.retain(|line| words.iter().any(|word| line.contains(word)));
        seen
    }

    /// Which events were sent to whom, by the time in their payload.
    fn sent(&mut self) -> Vec<String> {
        let seen = self.seen(&["to "]);
        let short = |line: &String| {
            let (slot, rest) = line.strip_prefix("to ")?.split_once(':')?;
            Some(format!("{slot}<{}", rest.split_once("when:")?.1))
        };
        seen.iter().filter_map(short).collect()
    }
}

#[test]
fn a_conversation_as_the_log_tells_it() {
    let mut scene = Scene::new(config(&["TICK"]), 1);
    scene.publish(1);
    scene.dispatch();
    assert_eq!(scene.seen, [""; 0]);
    scene.hear(0, "READY\n");
    scene.dispatch();
    scene.hear(0, "RESULT 2\nOKREADY\n");
    assert_eq!(
        scene.seen(&[""]),
        [
            "Debug a: ACKNOWLEDGED -> READY",
            "to 0: ver:3.0 server:supervisor serial:0 pool:p poolserial:0 eventname:TICK_5 len:6\nwhen:0",
            "Debug event 0 sent to listener a",
            "Debug a: event was processed",
            "Debug a: BUSY -> ACKNOWLEDGED",
            "Debug a: ACKNOWLEDGED -> READY",
        ]
    );
}

#[test]
fn a_rejected_event_comes_back_first_with_its_serials() {
    let mut scene = Scene::new(config(&["TICK"]), 1);
    scene.publish(2);
    scene.hear(0, "READY\n");
    scene.dispatch();
    let first = scene.seen(&["to 0:"]);
    scene.hear(0, "RESULT 4\nFAILREADY\n");
    assert_eq!(
        scene.seen(&["reject", "rebuff"]),
        ["Warn a: event was rejected", "Debug rebuffering event 0 for pool p (buf size=1, max=10)"]
    );
    scene.dispatch();
    assert_eq!(scene.seen(&["to 0:"]), first);
    scene.hear(0, "RESULT 2\nOKREADY\n");
    scene.dispatch();
    assert_eq!(scene.sent(), ["0<1"]);
}

#[test]
fn an_event_that_is_always_rejected_rests_longer_and_longer() {
    let mut scene = Scene::new(config(&["TICK"]), 1);
    scene.publish(1);
    scene.hear(0, "READY\n");
    scene.dispatch();
    let mut rests = Vec::new();
    for _ in 0..10 {
        scene.hear(0, "RESULT 4\nFAILREADY\n");
        let due = scene.pools.deadline().unwrap();
        rests.push(due.since(scene.now).as_millis());
        if due > scene.now {
            scene.seen.clear();
            scene.dispatch();
            assert_eq!(scene.sent(), [""; 0]);
            scene.now = due;
        }
        scene.dispatch();
    }
    assert_eq!(rests, [0, 10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
}

#[test]
fn a_listener_that_dies_busy_gives_its_event_to_the_next() {
    let mut scene = Scene::new(config(&["TICK"]), 2);
    scene.publish(2);
    scene.hear(0, "READY\n");
    scene.hear(1, "READY\n");
    scene.dispatch();
    assert_eq!(scene.sent(), ["0<0", "1<1"]);
    scene.step(Input::Changed { slot: 0, state: ProcessState::Exited });
    scene.step(Input::Reaped { slot: 0, now: scene.now });
    scene.dispatch();
    assert_eq!(scene.sent(), [""; 0]);
    scene.hear(1, "RESULT 2\nOKREADY\n");
    scene.dispatch();
    assert_eq!(scene.sent(), ["1<0"]);
    // The successor begins from the beginning.
    scene.step(Input::Changed { slot: 0, state: ProcessState::Starting });
    assert_eq!(scene.pools.mood(0), Some(Mood::Acknowledged));
}

#[test]
fn a_full_queue_drops_the_oldest() {
    let mut scene = Scene::new(PoolConfig { buffer_size: 2, ..config(&["EVENT"]) }, 1);
    scene.publish(4);
    assert_eq!(
        scene.seen(&[""]),
        [
            "Error pool p event buffer overflowed, discarding event 0",
            "Error pool p event buffer overflowed, discarding event 1"
        ]
    );
    scene.hear(0, "READY\n");
    scene.dispatch();
    assert_eq!(scene.sent(), ["0<2"]);
}

#[test]
fn each_pool_takes_an_event_once_and_only_what_it_asked_for() {
    let mut scene = Scene::new(config(&["TICK", "TICK_5", "EVENT"]), 1);
    let other = config(&["PROCESS_LOG"]);
    scene.step(Input::Add { pool: "q".to_string(), config: other, listeners: vec![(7, "q".to_string())] });
    scene.step(Input::Changed { slot: 7, state: ProcessState::Running });
    for slot in [0, 7] {
        scene.hear(slot, "READY\n");
    }
    scene.publish(2);
    scene.dispatch();
    scene.hear(0, "RESULT 4\nFAILREADY\n");
    scene.dispatch();
    assert_eq!(scene.sent(), ["0<0", "0<0"]);
    scene.hear(0, "RESULT 2\nOKREADY\n");
    scene.dispatch();
    assert_eq!(scene.sent(), ["0<1"]);
}

#[test]
fn serials_count_what_was_accepted() {
    let mut scene = Scene::new(config(&["PROCESS_LOG"]), 1);
    scene.publish(3);
    scene.hear(0, "READY\n");
    scene.step(Input::Publish { kind: Kind::LogStdout, payload: "grüße".to_string() });
    scene.dispatch();
    let sent = scene.seen(&["to 0:"]);
    assert_eq!(
        sent,
        [
            "to 0: ver:3.0 server:supervisor serial:0 pool:p poolserial:0 eventname:PROCESS_LOG_STDOUT len:5\ngrüße"
        ]
    );
    assert_eq!(take_serial(&mut { LAST_SERIAL }), LAST_SERIAL);
    let mut last = LAST_SERIAL;
    take_serial(&mut last);
    assert_eq!(last, 0);
}

#[test]
fn the_length_can_count_bytes() {
    let mut scene = Scene::new(PoolConfig { payload_length: PayloadLength::Bytes, ..config(&["EVENT"]) }, 1);
    scene.hear(0, "READY\n");
    scene.step(Input::Publish { kind: Kind::LogStdout, payload: "grüße".to_string() });
    scene.dispatch();
    assert_eq!(scene.seen(&["len:7\n"]).len(), 1);
}

#[test]
fn whoever_breaks_the_rules_hears_no_more() {
    let mut scene = Scene::new(config(&["TICK"]), 2);
    scene.publish(1);
    scene.hear(0, "READY\n");
    scene.hear(1, "READY\n");
    scene.dispatch();
    scene.hear(0, "REZULT 2\nOK");
    assert_eq!(
        scene.seen(&["Warn"]),
        [
            "Warn a: bad result line: 'REZULT 2'",
            "Warn a: has entered the UNKNOWN state and will no longer receive events, this usually indicates \
             the process violated the eventlistener protocol"
        ]
    );
    scene.dispatch();
    assert_eq!(scene.sent(), ["1<0"]);
    scene.hear(0, "READY\n");
    scene.publish(1);
    scene.dispatch();
    assert_eq!(scene.sent(), [""; 0]);
}

#[test]
fn a_listener_that_is_not_running_is_not_sent_anything() {
    let mut scene = Scene::new(config(&["TICK"]), 1);
    scene.publish(1);
    scene.step(Input::Changed { slot: 0, state: ProcessState::Starting });
    scene.hear(0, "READY\n");
    scene.dispatch();
    assert_eq!((scene.sent(), scene.pools.deadline()), (vec![], None));
    scene.step(Input::Changed { slot: 0, state: ProcessState::Running });
    assert!(scene.pools.can_dispatch(scene.now));
    scene.dispatch();
    assert_eq!(scene.sent(), ["0<0"]);
}

#[test]
fn a_listener_that_closed_its_input_is_passed_over_until_it_restarts() {
    let mut scene = Scene::new(config(&["TICK"]), 2);
    scene.publish(1);
    scene.hear(0, "READY\n");
    scene.hear(1, "READY\n");
    scene.dispatch();
    scene.step(Input::Undelivered { slot: 0 });
    scene.dispatch();
    assert_eq!(scene.sent(), ["0<0", "1<0"]);
    assert_eq!(scene.pools.mood(0), Some(Mood::Ready));
}

#[test]
fn supervisor_stdout_prints_what_comes_back() {
    let config = PoolConfig { result_handler: ResultHandler::SupervisorStdout, ..config(&["TICK"]) };
    let mut scene = Scene::new(config, 1);
    scene.publish(2);
    scene.hear(0, "READY\n");
    scene.dispatch();
    let answer = "processname:cat groupname:cat pid:7 channel:stdout\nhello\nworld\n";
    scene.hear(0, &format!("RESULT {}\n{answer}READY\n", answer.len()));
    assert_eq!(scene.seen(&["print"]), ["print cat stdout | hello\ncat stdout | world\n"]);
    scene.dispatch();
    scene.hear(0, "RESULT 2\nOK");
    assert_eq!(scene.seen(&["caused"]), ["Warn a: event caused an error"]);
    assert_eq!(scene.pools.mood(0), Some(Mood::Unknown));
}

#[test]
fn stored_pools_go_on_as_if_nothing_had_happened() {
    let mut scene = Scene::new(config(&["TICK"]), 2);
    scene.publish(5);
    scene.hear(0, "READY\n");
    scene.dispatch();
    scene.hear(0, "RESULT 2");
    let stored = serde_json::to_string(&scene.pools).unwrap();
    scene.pools = serde_json::from_str(&stored).unwrap();
    scene.hear(0, "\nOKREADY\n");
    scene.dispatch();
    assert_eq!(scene.sent(), ["0<0", "0<1"]);
}

#[test]
fn ticks_come_at_boundaries_and_once_after_a_jump() {
    let mut scene = Scene::new(PoolConfig { buffer_size: 99, ..config(&["TICK_5", "TICK_60"]) }, 1);
    let mut at = |secs: i64| {
        assert_eq!(scene.pools.next_tick(secs), Some(secs - secs.rem_euclid(5) + 5));
        if scene.pools.needs_clock(secs) {
            scene.step(Input::Clock { secs });
        }
        let mut heard = Vec::new();
        scene.hear(0, "READY\n");
        scene.dispatch();
        while let [sent] = &scene.seen(&["to 0:"])[..] {
            let (_, name) = sent.split_once("eventname:").unwrap();
            heard.push(name.replace(" len:15", "").replace('\n', " "));
            scene.hear(0, "RESULT 2\nOKREADY\n");
            scene.dispatch();
        }
        scene.step(Input::Changed { slot: 0, state: ProcessState::Starting });
        scene.step(Input::Changed { slot: 0, state: ProcessState::Running });
        heard
    };
    assert_eq!(at(1_201_063_916), [""; 0]);
    assert_eq!(at(1_201_063_919), [""; 0]);
    assert_eq!(at(1_201_063_920), ["TICK_5 when:1201063920", "TICK_60 when:1201063920"]);
    assert_eq!(at(1_201_063_931), ["TICK_5 when:1201063930"]);
    assert_eq!(at(1_201_063_919), ["TICK_5 when:1201063915", "TICK_60 when:1201063860"]);
}
