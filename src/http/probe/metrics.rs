//! `/metrics`, in the text format of Prometheus.
//!
//! Each request reads the state of the processes from the loop, and their usage from the kernel; nothing is sampled in between.
//! Counters begin at zero with each manager, as those of any process that is restarted.

use crate::control::overview::{HealthWord, LifeView, Overview, ProcessView};
use crate::control::request::Target;
use crate::http::answer::{overview, reserve_memory};
use crate::http::context::Context;
use crate::http::probe::timings::{BOUNDS, Histogram};
use crate::http::wire::problem::Problem;
use crate::http::wire::response::{Body, Response};
use crate::model::exit::ExitStatus;
use crate::model::stream::Stream;
use crate::model::usage::Used;
use crate::rt;
use crate::sys::process;
use std::collections::HashMap;
use std::fmt::{Display, Write};

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the kernel reports about one process.
#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    used: Option<Used>,
    open_fds: Option<u64>,
}

/// Answers with all metrics.
pub(crate) async fn answer(context: &Context) -> Response {
    match written(context).await {
        Ok(text) => Response::new(200, CONTENT_TYPE, Body::Whole(text.into_bytes())).private(),
        Err(problem) => problem.into_response(),
    }
}

async fn written(context: &Context) -> Result<String, Problem> {
    let _reserved = reserve_memory(context).await?;
    let overview = overview(context, Target::All).await?;
    let (overview, measured, sizes) = rt::unblock(move || {
        let daemon = [overview.daemon.keeper_pid, overview.daemon.manager_pid];
        let programs = overview.processes.iter().map(|process| process.info.pid);
        let alive = daemon.into_iter().chain(programs).filter(|pid| *pid > 0);
        let measured: HashMap<i32, Measured> = alive.map(|pid| (pid, measure(pid))).collect();
        let sizes = overview.processes.iter().map(log_sizes).collect::<Vec<_>>();
        (overview, measured, sizes)
    })
    .await;
    let mut page = Page::default();
    processes(&mut page, &overview, &measured, &sizes);
    daemon(&mut page, context, &overview, &measured);
    Ok(page.text)
}

fn measure(pid: i32) -> Measured {
    // Of other users' processes only root may count the descriptors.
    let open_fds = std::fs::read_dir(format!("/proc/{pid}/fd")).map(|entries| entries.count() as u64).ok();
    Measured { used: process::used(pid), open_fds }
}

/// The sizes of the current logs of a process, of those that are files.
fn log_sizes(process: &ProcessView) -> [Option<u64>; 2] {
    [&process.info.stdout_logfile, &process.info.stderr_logfile].map(|path| {
        let facts = crate::log::sinks::open::facts_at(path.as_ref()).ok().filter(|facts| facts.regular);
        facts.map(|facts| facts.size)
    })
}

/// The text of the answer while it is written.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    /// Begins another metric.
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        self.text += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.text += name;
        for (number, (label, value)) in labels.iter().enumerate() {
            let opening = if number == 0 { '{' } else { ',' };
            // Writing into a text cannot fail.
            let _ = write!(self.text, "{opening}{label}=\"{}\"", escaped(value));
        }
        let closing = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{closing} {value}");
    }

    /// A metric with a value for each process that has one.
    fn per_process<T: Display>(
        &mut self,
        (name, kind, help): (&str, &str, &str),
        overview: &Overview,
        value: impl Fn(&ProcessView) -> Option<T>,
    ) {
        self.metric(name, kind, help);
        for process in &overview.processes {
            if let Some(value) = value(process) {
                self.sample(name, &labels(process), value);
            }
        }
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.metric(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        let mut below = 0;
        for (bound, count) in BOUNDS.iter().zip(histogram.counts) {
            below += count;
            self.sample(&bucket, &[("le", &bound.to_string())], below);
        }
        self.sample(&bucket, &[("le", "+Inf")], histogram.count);
        self.sample(&format!("{name}_sum"), &[], histogram.sum.as_secs_f64());
        self.sample(&format!("{name}_count"), &[], histogram.count);
    }
}

fn labels(process: &ProcessView) -> [(&'static str, &str); 2] {
    [("name", process.info.name.as_str()), ("group", process.info.group.as_str())]
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn processes(
    page: &mut Page,
    overview: &Overview,
    measured: &HashMap<i32, Measured>,
    sizes: &[[Option<u64>; 2]],
) {
    // The names and meanings of these four are those of ochinchina's supervisord, so that its dashboards go on.
    page.per_process(
        ("node_supervisord_up", "gauge", "Whether the process is starting, running or stopping."),
        overview,
        |process| Some(u8::from(process.info.state.is_signallable())),
    );
    page.per_process(
        ("node_supervisord_state", "gauge", "The state of the process: 0 STOPPED, 10 STARTING, 20 RUNNING, 30 BACKOFF, 40 STOPPING, 100 EXITED, 200 FATAL, 1000 UNKNOWN."),
        overview,
        |process| Some(process.info.state.code()),
    );
    page.per_process(
        (
            "node_supervisord_exit_status",
            "gauge",
            "The last exit status; 0 if there was none yet, -1 after a death by signal.",
        ),
        overview,
        |process| Some(process.last_exit.map_or(0, ExitStatus::code)),
    );
    page.per_process(
        (
            "node_supervisord_start_time_seconds",
            "gauge",
            "When the process was started, in seconds since 1970; only while it is up.",
        ),
        overview,
        |process| process.info.state.is_signallable().then_some(process.info.start),
    );
    page.per_process(
        (
            "supervisord_process_restarts_total",
            "counter",
            "How often the process was started after the first time.",
        ),
        overview,
        |process| Some(process.starts.saturating_sub(1)),
    );
    exits(page, overview);
    life(page, overview);
    let used = |process: &ProcessView| measured.get(&process.info.pid).and_then(|measured| measured.used);
    page.per_process(
        ("supervisord_process_cpu_seconds_total", "counter", "Processor time the process has used."),
        overview,
        |process| used(process).map(|used| used.cpu.as_secs_f64()),
    );
    page.per_process(
        ("supervisord_process_resident_memory_bytes", "gauge", "Resident memory of the process."),
        overview,
        |process| used(process).map(|used| used.resident),
    );
    page.per_process(
        ("supervisord_process_open_fds", "gauge", "Open descriptors of the process; only where we may look."),
        overview,
        |process| measured.get(&process.info.pid).and_then(|measured| measured.open_fds),
    );
    let name = "supervisord_process_output_bytes_total";
    page.metric(name, "counter", "How many bytes the process has written to its output and error.");
    for process in &overview.processes {
        for (stream, n_bytes) in Stream::ALL.into_iter().zip(process.n_logged) {
            let [name_label, group] = labels(process);
            page.sample(name, &[name_label, group, ("stream", stream.name())], n_bytes);
        }
    }
    let name = "supervisord_process_log_bytes";
    page.metric(name, "gauge", "The size of the current log file.");
    for (process, sizes) in overview.processes.iter().zip(sizes) {
        for (stream, size) in Stream::ALL.into_iter().zip(sizes) {
            if let Some(size) = size {
                let [name_label, group] = labels(process);
                page.sample(name, &[name_label, group, ("stream", stream.name())], size);
            }
        }
    }
}

/// What only processes have whose configuration asks for it. Without any of them the metric is not there.
fn life(page: &mut Page, overview: &Overview) {
    let mut gauge = |name: &str, help: &str, value: &dyn Fn(&LifeView) -> Option<u64>| {
        let value = |process: &ProcessView| process.life.as_deref().and_then(value);
        if overview.processes.iter().any(|process| value(process).is_some()) {
            page.per_process((name, "gauge", help), overview, value);
        }
    };
    gauge(
        "supervisord_process_healthy",
        "Whether the health check succeeds; 0 as well before its first result and while the process is not RUNNING.",
        &|life| life.health.as_ref().map(|health| u64::from(health.is_healthy == Some(true))),
    );
    gauge(
        "supervisord_process_health_check_failures",
        "How many health checks in a row have failed.",
        &|life| life.health.as_ref().map(|health| u64::from(health.failures)),
    );
    gauge(
        "supervisord_process_tree_memory_bytes",
        "What a process with memory_limit and all that it has started used when that was measured last.",
        &|life| life.memory?.used,
    );
    gauge("supervisord_process_memory_limit_bytes", "What they may use together.", &|life| {
        Some(life.memory?.limit)
    });
    gauge("supervisord_process_waiting", "Whether the process waits for what it depends on.", &|life| {
        (!life.needs.is_empty()).then(|| u64::from(life.word == HealthWord::Waiting))
    });
    gauge(
        "supervisord_process_counted_restarts",
        "How many automatic starts count towards restart_limit now.",
        &|life| life.automatic_starts.map(|(count, _)| count as u64),
    );
    gauge(
        "supervisord_process_restart_limit",
        "How many automatic starts restart_limit allows within its time.",
        &|life| life.automatic_starts.map(|(_, limit)| u64::from(limit)),
    );
    gauge(
        "supervisord_process_cgroup_memory_bytes",
        "Memory of all in the control group of the process, caches included.",
        &|life| life.cgroup.as_ref()?.usage.memory_bytes,
    );
    gauge(
        "supervisord_process_cgroup_tasks",
        "Processes and threads in the control group of the process.",
        &|life| life.cgroup.as_ref()?.usage.tasks,
    );
    let seconds = |process: &ProcessView| {
        let usage = process.life.as_deref()?.cgroup.as_ref()?.usage;
        Some(usage.cpu_usec? as f64 / 1e6)
    };
    if overview.processes.iter().any(|process| seconds(process).is_some()) {
        let about = "Processor time of all that has been in the control group of the process.";
        page.per_process(
            ("supervisord_process_cgroup_cpu_seconds_total", "counter", about),
            overview,
            seconds,
        );
    }
}

fn exits(page: &mut Page, overview: &Overview) {
    let name = "supervisord_process_exits_total";
    page.metric(name, "counter", "How often the process ended, by exit code or by the signal that ended it.");
    for process in &overview.processes {
        for (status, number) in process.tally.iter() {
            let (code, signal) = match status {
                ExitStatus::Code(code) => (code.to_string(), String::new()),
                ExitStatus::Signal { signal, .. } => {
                    (String::new(), signal.wait_name().unwrap_or_else(|| signal.raw().to_string()))
                }
                ExitStatus::Unknown => ("unknown".to_string(), String::new()),
            };
            let [name_label, group] = labels(process);
            page.sample(name, &[name_label, group, ("code", &code), ("signal", &signal)], number);
        }
    }
}

fn daemon(page: &mut Page, context: &Context, overview: &Overview, measured: &HashMap<i32, Measured>) {
    let (starts, restarts) = context.timings().histograms();
    let help = "How long starts took, from the attempt until the process counted as RUNNING.";
    page.histogram("supervisord_start_duration_seconds", help, &starts);
    let help = "How long it took until a process that had ended by itself was RUNNING again.";
    page.histogram("supervisord_restart_duration_seconds", help, &restarts);

    let daemon = &overview.daemon;
    page.metric("supervisord_build_info", "gauge", "Always 1; the versions stand in the labels.");
    let build = [
        ("version", crate::VERSION),
        ("commit", crate::COMMIT),
        ("supervisor_version", crate::SUPERVISOR_VERSION),
    ];
    page.sample("supervisord_build_info", &build, 1);
    page.metric("supervisord_state", "gauge", "What the daemon does: 1 RUNNING, 0 RESTARTING, -1 SHUTDOWN.");
    page.sample("supervisord_state", &[], daemon.state.code());
    page.metric("supervisord_manager_starts_total", "counter", "How many managers the keeper has started.");
    page.sample("supervisord_manager_starts_total", &[], daemon.manager_starts);
    page.metric("supervisord_viewers", "gauge", "How many clients follow what happens.");
    page.sample("supervisord_viewers", &[], context.feed().n_subscribers());

    let parts = [("keeper", daemon.keeper_pid), ("manager", daemon.manager_pid)];
    let mut part = |name: &str, kind: &str, help: &str, value: &dyn Fn(&Measured) -> Option<f64>| {
        page.metric(name, kind, help);
        for (part, pid) in parts {
            if let Some(value) = measured.get(&pid).and_then(value) {
                page.sample(name, &[("part", part)], value);
            }
        }
    };
    let help = "Processor time that a part of the daemon has used.";
    let cpu = |measured: &Measured| measured.used.map(|used| used.cpu.as_secs_f64());
    part("supervisord_cpu_seconds_total", "counter", help, &cpu);
    let help = "Resident memory of a part of the daemon.";
    let resident = |measured: &Measured| measured.used.map(|used| used.resident as f64);
    part("supervisord_resident_memory_bytes", "gauge", help, &resident);
    let help = "Open descriptors of a part of the daemon.";
    part("supervisord_open_fds", "gauge", help, &|measured| measured.open_fds.map(|number| number as f64));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::probe::timings::Timings;
    use std::time::Duration;

    #[test]
    fn values_are_written_as_the_format_wants() {
        let mut page = Page::default();
        page.sample("a", &[], 1);
        page.sample("b", &[("x", "a\"b\\c\nd"), ("y", "")], 0.5);
        assert_eq!(page.text, "a 1\nb{x=\"a\\\"b\\\\c\\nd\",y=\"\"} 0.5\n");
    }

    #[test]
    fn classes_of_a_histogram_include_those_below() {
        let timings = Timings::default();
        for millis in [1, 5, 7, 400_000] {
            timings.record_start(Duration::from_millis(millis));
        }
        let mut page = Page::default();
        page.histogram("h", "help", &timings.histograms().0);
        let lines: Vec<&str> = page.text.lines().collect();
        assert_eq!(lines[2], "h_bucket{le=\"0.005\"} 2");
        assert_eq!(lines[3], "h_bucket{le=\"0.01\"} 3");
        assert_eq!(lines[15], "h_bucket{le=\"300\"} 3");
        assert_eq!(lines[16], "h_bucket{le=\"+Inf\"} 4");
        assert_eq!(lines[17], "h_sum 400.013");
        assert_eq!(lines[18], "h_count 4");
    }
}
