//! What a reread changes.

use crate::model::config::{GroupConfig, GroupKind};
use std::collections::HashMap;
use std::sync::Arc;

/// What a reread found, by group name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reread {
    /// Configured and not active.
    pub added: Vec<String>,
    /// Active, with other values now.
    pub changed: Vec<String>,
    /// Active and no longer configured.
    pub removed: Vec<String>,
}

/// Compares the groups that are active with those of a configuration just read.
///
/// Effective values are compared: where a value was written, and how, does not matter. `added` and `changed`
/// follow the candidate's order, `removed` the active one's.
pub fn diff(active: &[Arc<GroupConfig>], candidate: &[Arc<GroupConfig>]) -> Reread {
    let by_name = |groups: &[Arc<GroupConfig>]| -> HashMap<Arc<str>, Arc<GroupConfig>> {
        groups.iter().map(|group| (group.name.clone(), group.clone())).collect()
    };
    let (active_by_name, candidate_by_name) = (by_name(active), by_name(candidate));
    let mut reread = Reread::default();
    for group in candidate {
        match active_by_name.get(&group.name) {
            None => reread.added.push(group.name.to_string()),
            Some(old) if !same(old, group) => reread.changed.push(group.name.to_string()),
            Some(_) => {}
        }
    }
    let removed = active.iter().filter(|group| !candidate_by_name.contains_key(&group.name));
    reread.removed.extend(removed.map(|group| group.name.to_string()));
    reread
}

/// Puts active groups in the place of those of a configuration just read that say the same from the same files: one of each is
/// enough, and they are compared at once from then on.
pub fn share(active: &[Arc<GroupConfig>], candidate: &mut [Arc<GroupConfig>]) {
    let by_name: HashMap<&str, &Arc<GroupConfig>> =
        active.iter().map(|group| (&*group.name, group)).collect();
    for group in candidate {
        let same = by_name.get(&*group.name);
        if let Some(same) = same.filter(|same| ***same == *group && same.files.0 == group.files.0) {
            *group = Arc::clone(same);
        }
    }
}

/// Whether two groups are the same in everything that matters to their processes. The order in which a pool
/// names its events does not.
fn same(a: &Arc<GroupConfig>, b: &Arc<GroupConfig>) -> bool {
    if Arc::ptr_eq(a, b) {
        return true;
    }
    let same_kind = match (&a.kind, &b.kind) {
        (GroupKind::EventListener(a), GroupKind::EventListener(b)) => {
            let sorted = |events: &[String]| {
                let mut events = events.to_vec();
                events.sort();
                events
            };
            a.buffer_size == b.buffer_size
                && a.result_handler == b.result_handler
                && a.payload_length == b.payload_length
                && sorted(&a.events) == sorted(&b.events)
        }
        (a, b) => a == b,
    };
    same_kind && a.priority == b.priority && a.processes == b.processes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::args::DaemonArgs;
    use crate::config::{Surroundings, load};

    fn groups(programs: &str) -> Vec<Arc<GroupConfig>> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("x.conf");
        std::fs::write(&path, format!("[supervisord]\n{programs}")).expect("written");
        let configuration = Some(path.to_string_lossy().into_owned());
        let args = DaemonArgs { configuration, ..DaemonArgs::default() };
        load(&args, &Surroundings::of_this_process()).expect("it is right").groups
    }

    /// `+added ~changed -removed`.
    #[track_caller]
    fn check(active: &str, candidate: &str, expected: &str) {
        let found = diff(&groups(active), &groups(candidate));
        let signed = |sign: &str, names: Vec<String>| -> Vec<String> {
            names.into_iter().map(|name| format!("{sign}{name}")).collect()
        };
        let all = [signed("+", found.added), signed("~", found.changed), signed("-", found.removed)];
        assert_eq!(all.concat().join(" "), expected);
    }

    #[test]
    fn groups_come_and_go() {
        check("[program:a]\ncommand=a\n", "[program:a]\ncommand=a\n", "");
        check("[program:a]\ncommand=a\n", "[program:b]\ncommand=a\n", "+b -a");
        check(
            "[program:z]\ncommand=z\npriority=1\n[program:y]\ncommand=y\n",
            "[program:c]\ncommand=c\n[program:b]\ncommand=b\npriority=1\n",
            "+b +c -z -y",
        );
    }

    #[test]
    fn values_count_and_not_their_spelling() {
        let plain = "[program:a]\ncommand=a\nuser=root\nstdout_logfile_maxbytes=1MB\nstopsignal=TERM\n";
        check(plain, "[program:a]\ncommand=a\nuser=0\nstdout_logfile_maxbytes=1024KB\nstopsignal=15\n", "");
        check(
            plain,
            "[program:a]\nstartsecs=1\ncommand : a ; comment\nuser=root\nstdout_logfile_maxbytes=1MB\n",
            "",
        );
        check(plain, "[program:a]\ncommand=a\nuser=root\nstdout_logfile_maxbytes=2MB\n", "~a");
    }

    #[test]
    fn every_setting_of_a_process_counts() {
        let plain = "[program:a]\ncommand=a\n";
        for key in [
            "stdout_logfile=/tmp/x",
            "stdout_logfile=NONE",
            "environment=A=1",
            "umask=1",
            "directory=/",
            "stopasgroup=true",
            "exitcodes=1",
            "priority=1",
            "stderr_syslog=true",
            "essential=true",
            "type=oneshot",
            "max_runtime=1h",
            "restart_delay=1",
            "restart_backoff=fixed",
            "restart_delay_max=1m",
            "restart_jitter=1%",
            "restart_reset=1",
            "restart_limit=5/60s",
            "stay_down_exitcodes=1",
            "retry_fatal_after=1",
            "startretries=-1",
            "depends_on=b?",
            "depends_on=b?\ndependency_timeout=1",
            "depends_on=b?\ndepends_restart=stop",
            "ready=notify",
            "ready=tcp:1\nready_interval=2",
            "ready=tcp:1\nready_timeout=2",
            "ready=tcp:1\nstartsecs=1",
            "health=tcp:1",
            "health=tcp:1\nhealth_interval=2",
            "health=tcp:1\nhealth_timeout=2",
            "health=tcp:1\nhealth_retries=2",
            "health=tcp:1\nhealth_start_period=2",
            "health=tcp:1\nhealth_action=none",
            "watchdog=1",
            "notify=true",
        ] {
            check(plain, &format!("{plain}{key}\n"), "~a");
            // Back to an automatic log, too, which Supervisor does not notice.
            check(&format!("{plain}{key}\n"), plain, "~a");
        }
        check(plain, &format!("[supervisord]\nenvironment=A=1\n{plain}"), "~a");
        let waits = format!("{plain}depends_on=b?\n");
        check(&waits, &format!("{waits}dependency_timeout=1\n"), "~a");
        check(&waits, &format!("{waits}depends_restart=stop\n"), "~a");
        for key in ["ready", "health"] {
            for (one, other) in [("", "interval=2"), ("interval=2", "timeout=2"), ("timeout=2", "timeout=4")]
            {
                let with = |more: &str| {
                    let more = if more.is_empty() { String::new() } else { format!("{key}_{more}\n") };
                    format!("{plain}{key}=tcp:1\n{more}")
                };
                check(&with(one), &with(other), "~a");
            }
        }
        // Only what reaches further than a process group is not said by the other two keys.
        check(&format!("{plain}stopasgroup=true\n"), &format!("{plain}stop_scope=group\n"), "");
        check(&format!("{plain}stopasgroup=true\n"), &format!("{plain}stop_scope=tree\n"), "~a");
        check(
            &format!("{plain}stop_scope=tree\n"),
            &format!("{plain}stop_scope=tree\nstopasgroup=false\n"),
            "~a",
        );
        check(plain, &format!("{plain}stop_scope=process\n"), "");
        // Without what they belong to, they mean nothing.
        check(plain, &format!("{plain}health_action=stop\nready_timeout=1\ndepends_restart=stop\n"), "");
    }

    #[test]
    fn members_and_kinds_count() {
        let programs = "[program:a]\ncommand=a\n[program:b]\ncommand=b\n";
        check(
            &format!("{programs}[group:g]\nprograms=a\n"),
            &format!("{programs}[group:g]\nprograms=a,b\n"),
            "~g -b",
        );
        check(
            "[program:a]\ncommand=a\n",
            "[eventlistener:a]\ncommand=a\nevents=TICK_5\npriority=999\n",
            "~a",
        );
    }

    #[test]
    fn sockets_and_pools_count() {
        let fcgi = "[fcgi-program:f]\ncommand=f\nsocket=unix:///tmp/f.sock\n";
        check(fcgi, &format!("{fcgi}socket_mode=0777\n"), "~f");
        check(fcgi, &format!("{fcgi}socket_backlog=5\n"), "~f");
        let pool = "[eventlistener:e]\ncommand=e\nevents=TICK_5,TICK_60\n";
        check(pool, "[eventlistener:e]\ncommand=e\nevents=TICK_60,TICK_5\n", "");
        check(pool, "[eventlistener:e]\ncommand=e\nevents=TICK_5\n", "~e");
        check(pool, &format!("{pool}buffer_size=11\n"), "~e");
    }
}
