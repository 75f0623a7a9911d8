//! The measurements, and how often each is taken.

use crate::bare::Bare;
use crate::confined::{self, Asks};
use crate::ready::{self, How};
use crate::supervised::{Crew, Shape, Supervised};
use crate::support::Side;
use crate::table::{Goal, Row, Unit, milliseconds};
use std::time::Duration;

/// How much is measured.
pub struct Plan {
    n_crashes: usize,
    /// The original takes a second for each.
    n_crashes_original: usize,
    n_programs: usize,
    n_stops: usize,
    n_dependents: usize,
    n_ready: usize,
    n_configured: usize,
    n_manager_kills: usize,
    idle: Duration,
}

impl Plan {
    pub const FULL: Plan = Plan {
        n_crashes: 500,
        n_crashes_original: 10,
        n_programs: 1000,
        n_stops: 1000,
        n_dependents: 4000,
        n_ready: 200,
        n_configured: 10_000,
        n_manager_kills: 50,
        idle: Duration::from_secs(60),
    };
    pub const SHORT: Plan = Plan {
        n_crashes: 50,
        n_crashes_original: 3,
        n_programs: 100,
        n_stops: 50,
        n_dependents: 200,
        n_ready: 20,
        n_configured: 1000,
        n_manager_kills: 5,
        idle: Duration::from_secs(5),
    };
}

pub struct Measure {
    pub name: &'static str,
    pub take: fn(&Plan) -> Vec<Row>,
}

pub const ALL: [Measure; 12] = [
    Measure { name: "crash", take: crash },
    Measure { name: "keys", take: keys },
    Measure { name: "many", take: many },
    Measure { name: "groups", take: groups },
    Measure { name: "depends", take: depends },
    Measure { name: "ready", take: ready_to_next },
    Measure { name: "update", take: update },
    Measure { name: "limit", take: limit },
    Measure { name: "stop", take: stop },
    Measure { name: "memory", take: memory },
    Measure { name: "idle", take: idle },
    Measure { name: "gap", take: gap },
];

/// The original's share of a row, if it is installed.
fn original<T>(take: impl FnOnce() -> T) -> Option<T> {
    Side::original_is_there().then(take)
}

/// So many crashes are measured before it is the other's turn.
const CRASHES_IN_A_ROW: usize = 25;

/// From the kill of a program to its successor's first instruction.
fn crash(plan: &Plan) -> Vec<Row> {
    let sorted = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times
    };
    let mut bare = Bare::new();
    bare.start(1);
    // Each is killed once in a round, so that it has lived long enough to be restarted at once.
    let mut supervised = Supervised::new(Side::under_test(), Crew::OneGroup(CRASHES_IN_A_ROW));
    // In turns, so that both have the machine as it is at the time.
    let (mut floor, mut ours) = (Vec::new(), Vec::new());
    while ours.len() < plan.n_crashes {
        floor.extend((0..CRASHES_IN_A_ROW).map(|_| milliseconds(bare.replace_one())));
        ours.extend((0..CRASHES_IN_A_ROW).map(|_| milliseconds(supervised.replace_one())));
    }
    drop(supervised);
    let (floor, ours) = (sorted(floor), sorted(ours));
    let original = original(|| {
        let mut original = Supervised::new(Side::Original, Crew::OneGroup(1));
        sorted((0..plan.n_crashes_original).map(|_| milliseconds(original.replace_one())).collect())
    });
    let row = |percent: usize, goal| Row {
        what: format!("crash to restart, p{percent}"),
        unit: Unit::Milliseconds,
        floor: Some(percentile(&floor, percent)),
        ours: percentile(&ours, percent),
        original: original.as_ref().map(|times| percentile(times, percent)),
        goal,
    };
    vec![row(50, Some(Goal::Ratio(1.2))), row(99, None)]
}

/// What a program may be given, by kinds. BIRTHS is the directory of the pipe that it tells of its birth, PROGRAM its file.
const KEYS: [(&str, &str); 7] = [
    (
        "environment",
        "environment_file=BIRTHS/variables.env\nenvironment_inherit=PATH, LANG\nuser_environment=true\n",
    ),
    (
        "limits and ranks",
        "limit_nofile=1000\nlimit_core=0\nlimit_nproc=20000\nlimit_memlock=1MB\nlimit_stack=8MB\nlimit_as=4GB\n\
         limit_fsize=1GB\nlimit_cpu=3600\nlimit_data=4GB\nlimit_msgqueue=100KB\nlimit_rtprio=0\n\
         limit_sigpending=1000\nnice=1\nionice=be:5\ncpu_affinity=0-1\noom_score_adj=100\ncpu_scheduling=batch\n",
    ),
    ("a credential", "credential.token=BIRTHS/variables.env\n"),
    ("a tree and its memory", "stop_scope=tree\nmemory_limit=1GB\n"),
    ("fewer rights and system calls", "no_new_privs=true\ncapabilities=none\nseccomp=@service\n"),
    (
        "rules about files",
        "read_only_paths=/usr, /bin, -/lib, -/lib64, PROGRAM\nread_write_paths=BIRTHS, /dev/null\n",
    ),
    ("its own /tmp and network", "private_tmp=true\nprivate_network=true\n"),
];

/// What the kernel is asked for by keys that confine; of all others it takes next to nothing.
const ASKS: [(&str, Asks); 3] = [
    ("fewer rights and system calls", Asks { fewer_rights: true, rules: false, namespaces: false }),
    ("rules about files", Asks { fewer_rights: false, rules: true, namespaces: false }),
    ("its own /tmp and network", Asks { fewer_rights: false, rules: false, namespaces: true }),
];

/// So often everybody is started in turns; the best of each is compared.
const TURNS_OF_KEYS: usize = 9;

/// The kernel gets rid of namespaces afterwards, beside whatever is measured next.
const CLEARING: Duration = Duration::from_millis(700);

/// From the daemon's start to the last program's first instruction, with keys and without any, and the same for a bare
/// loop whose children ask the kernel for the same.
fn keys(plan: &Plan) -> Vec<Row> {
    let number = plan.n_programs / 5;
    let all: String = KEYS.iter().map(|(_, keys)| *keys).collect();
    let all: &'static str = Box::leak(all.into_boxed_str());
    let everything = Asks { fewer_rights: true, rules: true, namespaces: true };
    let keys: Vec<(&str, &'static str)> =
        [("no keys", "")].into_iter().chain(KEYS).chain([("all of these", all)]).collect();
    let asks: Vec<(&str, Asks)> = [("no keys", Asks::default())]
        .into_iter()
        .chain(ASKS)
        .chain([("all of these", everything)])
        .collect();
    let take = |keys: &'static str| {
        let daemon = Supervised::new(Side::under_test(), Crew::Keyed(keys, number));
        let started = milliseconds(daemon.started);
        daemon.shut_down();
        started
    };
    let mut ours = vec![f64::INFINITY; keys.len()];
    let mut bare = vec![f64::INFINITY; asks.len()];
    for _ in 0..TURNS_OF_KEYS {
        for (best, (_, keys)) in ours.iter_mut().zip(&keys) {
            *best = best.min(take(keys));
            if keys.contains("private_network") {
                std::thread::sleep(CLEARING);
            }
        }
        for (best, (_, asks)) in bare.iter_mut().zip(&asks) {
            *best = best.min(milliseconds(confined::start(*asks, number)));
            if asks.namespaces {
                std::thread::sleep(CLEARING);
            }
        }
    }
    let row = |what: String, floor: f64, ours: f64, goal| Row {
        what,
        unit: Unit::Milliseconds,
        floor: Some(floor),
        ours,
        original: None,
        goal,
    };
    let mut rows = Vec::new();
    for ((what, keys), time) in keys.iter().zip(&ours) {
        if !keys.is_empty() {
            let beside = format!("{number} programs started, with {what}, beside none of it");
            rows.push(row(beside, ours[0], *time, Some(Goal::Ratio(1.3))));
        }
        if let Some(floor) = asks.iter().position(|(asked, _)| asked == what).map(|at| bare[at]) {
            let beside = format!("{number} programs started, with {what}, beside a bare loop");
            rows.push(row(beside, floor, *time, None));
        }
    }
    rows
}

/// So often both are started in turns; the best of each is compared.
const TURNS: usize = 5;

/// How long an update of one changed program among many may take, in milliseconds.
const UPDATE: f64 = 300.0;
/// The same for half of them, taken out or added.
const UPDATE_HALF: f64 = 3000.0;

/// `update` of one program that has changed, among ten thousand of which a third run. The floor is a reread, which reads and
/// compares and touches nobody.
fn update(plan: &Plan) -> Vec<Row> {
    let daemon = Supervised::configured(plan.n_configured);
    let mut floor: Vec<f64> = (0..UPDATES).map(|_| milliseconds(daemon.reread())).collect();
    let mut ours: Vec<f64> = (0..UPDATES).map(|round| milliseconds(daemon.update_one(round))).collect();
    floor.sort_by(f64::total_cmp);
    ours.sort_by(f64::total_cmp);
    let (floor, number) = (percentile(&floor, 50), plan.n_configured);
    let row = |what: String, ours: f64, most: f64| Row {
        what,
        unit: Unit::Milliseconds,
        floor: Some(floor),
        ours,
        original: None,
        goal: Some(Goal::AtMost(most)),
    };
    let [removed, added] = daemon.update_half(UPDATES).map(milliseconds);
    vec![
        row(
            format!("{number} programs, one of them changed, beside a reread"),
            percentile(&ours, 50),
            UPDATE,
        ),
        row("half of them taken out, beside a reread".to_string(), removed, UPDATE_HALF),
        row("that half added again, beside a reread".to_string(), added, UPDATE_HALF),
    ]
}

/// So many updates, of which the median counts.
const UPDATES: usize = 9;

/// `times` are sorted and at least one.
fn percentile(times: &[f64], percent: usize) -> f64 {
    times[(times.len() - 1) * percent / 100]
}

/// A thousand programs started, killed at once, and stopped.
fn many(plan: &Plan) -> Vec<Row> {
    let number = plan.n_programs;
    let mut bare = Bare::new();
    let floor = [bare.start(number), bare.replace_all(), bare.stop_all()].map(milliseconds);
    let take = |side| {
        let mut daemon = Supervised::new(side, Crew::OneGroup(number));
        assert_eq!(daemon.count(), number, "programs of {side:?}");
        let (started, replaced) = (daemon.started, daemon.replace_all());
        [started, replaced, daemon.shut_down()].map(milliseconds)
    };
    let (ours, original) = (take(Side::under_test()), original(|| take(Side::Original)));
    let what = ["started", "killed at once until all live again", "shut down"];
    let goals = [Goal::Ratio(1.5), Goal::AtMost(500.0), Goal::AtMost(500.0)];
    let row = |at: usize| Row {
        what: format!("{number} programs {}", what[at]),
        unit: Unit::Milliseconds,
        floor: Some(floor[at]),
        ours: ours[at],
        original: original.map(|times| times[at]),
        goal: Some(goals[at]),
    };
    (0..3).map(row).collect()
}

/// Programs that depend on each other, from the daemon's start to the last one's first instruction. The floor is the same
/// number without dependencies, and for a chain also the same number one by one: two processors create side by side what need
/// not come in order.
fn depends(plan: &Plan) -> Vec<Row> {
    let number = plan.n_dependents;
    let take = |shape| {
        let daemon = Supervised::new(Side::under_test(), Crew::Depends(shape, number));
        let started = milliseconds(daemon.started);
        daemon.shut_down();
        started
    };
    let pairs = [
        (Shape::Chain, Shape::Nobody),
        (Shape::Chain, Shape::OneByOne),
        (Shape::Fan, Shape::Nobody),
        (Shape::Layers, Shape::Nobody),
    ];
    let row = |(shape, other): (Shape, Shape)| {
        // In turns, so that both have the machine as it is at the time; one run alone differs by half from the next.
        let (mut floor, mut ours) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..TURNS {
            floor = floor.min(take(other));
            ours = ours.min(take(shape));
        }
        Row {
            what: format!("{number} programs, {shape:?}, beside {other:?}"),
            unit: Unit::Milliseconds,
            floor: Some(floor),
            ours,
            original: None,
            goal: Some(Goal::Ratio(1.2)),
        }
    };
    pairs.map(row).into()
}

/// From a program's word that it is ready to the first instruction of the one that waits for it.
fn ready_to_next(plan: &Plan) -> Vec<Row> {
    let rows = How::ALL.map(|how| {
        let times: Vec<f64> = ready::measure(how, plan.n_ready).into_iter().map(milliseconds).collect();
        [50, 99].map(|percent| Row {
            what: format!("ready by {how:?} to the next start, p{percent}"),
            unit: Unit::Milliseconds,
            floor: None,
            ours: percentile(&times, percent),
            original: None,
            goal: Some(Goal::AtMost(2.0)),
        })
    });
    rows.into_iter().flatten().collect()
}

/// A hundred programs that are a group each, stopped with their daemon.
fn groups(_: &Plan) -> Vec<Row> {
    let take = |side| milliseconds(Supervised::new(side, Crew::Groups(100)).shut_down());
    let mut bare = Bare::new();
    bare.start(100);
    vec![Row {
        what: "100 groups shut down".into(),
        unit: Unit::Milliseconds,
        floor: Some(milliseconds(bare.stop_all())),
        ours: take(Side::under_test()),
        original: original(|| take(Side::Original)),
        goal: Some(Goal::AtMost(100.0)),
    }]
}

/// How many of a thousand programs run under a soft limit of 1,024 descriptors. (The original comes to 203, and then
/// tries for minutes.)
fn limit(plan: &Plan) -> Vec<Row> {
    let number = plan.n_programs;
    vec![Row {
        what: format!("of {number} programs run under a limit of 1,024 descriptors"),
        unit: Unit::Times,
        floor: None,
        ours: Supervised::new(Side::under_test(), Crew::Limited(number)).count() as f64,
        original: None,
        goal: Some(Goal::AtLeast(number as f64)),
    }]
}

/// How many stops directly after a start take effect.
fn stop(plan: &Plan) -> Vec<Row> {
    let take = |side, times| 100.0 * Supervised::at_rest(side).stops_after_start(times);
    vec![Row {
        what: format!("stops directly after a start that take effect, of {}", plan.n_stops),
        unit: Unit::Percent,
        floor: None,
        ours: take(Side::under_test(), plan.n_stops),
        original: original(|| take(Side::Original, plan.n_crashes_original)),
        goal: Some(Goal::AtLeast(100.0)),
    }]
}

/// The proportional set size of the daemon's processes, with and without programs.
fn memory(plan: &Plan) -> Vec<Row> {
    let number = plan.n_programs;
    let take =
        |side| [0, number].map(|number| Supervised::new(side, Crew::Ordinary(number)).memory_kib() as f64);
    let each = |[empty, full]: [f64; 2]| (full - empty) / number as f64;
    let (ours, original) = (take(Side::under_test()), original(|| take(Side::Original)));
    let row = |what: String, ours, original, goal| Row {
        what,
        unit: Unit::Kib,
        floor: None,
        ours,
        original,
        goal: Some(Goal::AtMost(goal)),
    };
    vec![
        row("memory without programs".into(), ours[0], original.map(|kib| kib[0]), 6.0 * 1024.0),
        row(format!("memory with {number} programs"), ours[1], original.map(|kib| kib[1]), 10.0 * 1024.0),
        row("memory per program".into(), each(ours), original.map(each), 4.0),
    ]
}

/// How often the daemon wakes up while nothing happens, counted by the kernel.
fn idle(plan: &Plan) -> Vec<Row> {
    let take = |side| Supervised::new(side, Crew::OneGroup(100)).wake_ups(plan.idle) as f64;
    vec![Row {
        what: format!("wake-ups in {} idle seconds, 100 programs", plan.idle.as_secs()),
        unit: Unit::Times,
        floor: Some(0.0),
        ours: take(Side::under_test()),
        original: original(|| take(Side::Original)),
        goal: Some(Goal::AtMost(0.0)),
    }]
}

/// How long clients wait when the manager is killed. Nobody else has a manager that can be.
fn gap(plan: &Plan) -> Vec<Row> {
    let daemon = Supervised::new(Side::under_test(), Crew::OneGroup(10));
    let mut times: Vec<f64> = (0..plan.n_manager_kills).map(|_| milliseconds(daemon.control_gap())).collect();
    times.sort_by(f64::total_cmp);
    let row = |percent: usize, goal| Row {
        what: format!("kill of the manager to the next answer, p{percent}"),
        unit: Unit::Milliseconds,
        floor: None,
        ours: percentile(&times, percent),
        original: None,
        goal,
    };
    vec![row(50, None), row(99, Some(Goal::AtMost(5.0)))]
}
