//! What a service may use, and what it is kept from.

use super::read::{our_size, our_time, size, texts, time};
use super::settings::Program;
use crate::config::resources;
use crate::convert::tree::Node;
use crate::model::resources::Resource;
use std::str::FromStr;

impl Program<'_, '_> {
    pub(super) fn deploy(&mut self, value: &Node) {
        let Node::Map(pairs) = value else { return };
        for (key, value) in pairs {
            let place = format!("deploy.{key}");
            match key.as_str() {
                "replicas" => self.copies(&place, value),
                "resources" => self.resources(value),
                "restart_policy" => {
                    let known = ["condition", "delay", "max_attempts", "window"];
                    self.lose_others(&place, value, &known);
                    if let Some(delay) = value.get("delay") {
                        let made = delay.scalar().and_then(time).map(our_time);
                        self.set_or_lose("restart_delay", made, "deploy.restart_policy.delay", delay);
                    }
                    if let Some(window) = value.get("window") {
                        let why = "see restart_reset, which says after which time failures are forgotten";
                        self.lose("deploy.restart_policy.window", &window.shown(), why);
                    }
                }
                _ => self.lose(&place, &value.shown(), "this is about a cluster, and there is one machine"),
            }
        }
    }

    fn resources(&mut self, value: &Node) {
        if let Some(Node::Map(limits)) = value.get("limits") {
            for (key, value) in limits {
                let text = value.scalar().unwrap_or_default();
                let place = format!("deploy.resources.limits.{key}");
                match key.as_str() {
                    _ if is_no_limit(text) => {}
                    "cpus" => self.set_or_lose("cpu_max", percent(text), &place, value),
                    "memory" => self.set_or_lose("memory_max", memory(text), &place, value),
                    "pids" => self.set_or_lose("pids_max", pids(text), &place, value),
                    _ => self.lose(&place, &value.shown(), "there is no such limit here"),
                }
            }
        }
        self.lose_others("deploy.resources", value, &["limits", "reservations"]);
        if let Some(reserved) = value.get("reservations") {
            let why = "nothing is reserved: see cpu_weight, and memory_high for the others";
            self.lose("deploy.resources.reservations", &reserved.shown(), why);
        }
    }

    pub(super) fn ulimits(&mut self, value: &Node) {
        let Node::Map(limits) = value else { return };
        for (name, value) in limits {
            let key = format!("limit_{name}");
            let known = Resource::ALL.into_iter().find(|known| known.key() == key);
            let number = |node: Option<&Node>| match node?.scalar()?.parse::<i64>().ok()? {
                -1 => Some("unlimited".to_string()),
                number => u64::try_from(number).ok().map(|number| number.to_string()),
            };
            let made = match value {
                Node::Map(_) => number(value.get("soft")).zip(number(value.get("hard"))),
                other => number(Some(other)).map(|limit| (limit.clone(), limit)),
            };
            let made = made.map(|(soft, hard)| if soft == hard { soft } else { format!("{soft}:{hard}") });
            let place = format!("ulimits.{name}");
            match known {
                Some(known) => {
                    let made = made.filter(|made| resources::limit(known, made).is_ok());
                    self.set_or_lose(known.key(), made, &place, value);
                }
                None => self.lose(&place, &value.shown(), "there is no such limit here"),
            }
        }
    }

    pub(super) fn capabilities(&mut self) {
        let names = |key: &str| -> Vec<String> {
            let names = self.service.node.get(key).map(texts).unwrap_or_default();
            names
                .iter()
                .map(|name| name.to_ascii_uppercase().trim_start_matches("CAP_").to_string())
                .collect()
        };
        let (dropped, added) = (names("cap_drop"), names("cap_add"));
        let are_known = added.iter().all(|name| caps::Capability::from_str(&format!("CAP_{name}")).is_ok());
        if dropped == ["ALL"] && are_known {
            let value = if added.is_empty() { "none".to_string() } else { added.join(", ") };
            return self.set("capabilities", value);
        }
        let why = "a program has all that its user can have, and not the engine's choice: write capabilities with all that \
                   it needs";
        for (key, names) in [("cap_drop", dropped), ("cap_add", added)] {
            if !names.is_empty() {
                self.lose(key, &names.join(", "), why);
            }
        }
    }

    pub(super) fn security(&mut self, value: &Node) {
        for option in texts(value) {
            match option.replace('=', ":").as_str() {
                "no-new-privileges" | "no-new-privileges:true" => self.set("no_new_privs", "true"),
                "no-new-privileges:false" | "seccomp:unconfined" | "apparmor:unconfined" => {}
                _ => self.lose("security_opt", option, "see seccomp, read_only_paths and read_write_paths"),
            }
        }
    }

    pub(super) fn tmpfs(&mut self, value: &Node) {
        let paths: Vec<&str> =
            texts(value).into_iter().map(|path| path.split(':').next().unwrap_or(path)).collect();
        let has = |path: &str| paths.iter().any(|known| known.trim_end_matches('/') == path);
        if has("/tmp") {
            self.set("private_tmp", "true");
            if !has("/var/tmp") {
                self.lose("tmpfs", "/tmp", "/var/tmp is private and in memory, too");
            }
        }
        for path in paths.iter().filter(|path| !["/tmp", "/var/tmp"].contains(&path.trim_end_matches('/'))) {
            self.lose("tmpfs", path, "only /tmp and /var/tmp can be private: mount it for all");
        }
    }
}

/// A size that a program can be kept to.
pub(super) fn memory(text: &str) -> Option<String> {
    size(text).map(our_size).filter(|size| resources::memory(size).is_ok())
}

/// A number of processes that a program can be kept to.
pub(super) fn pids(text: &str) -> Option<String> {
    text.parse().ok().map(|number: u64| number.to_string()).filter(|text| resources::pids_max(text).is_ok())
}

/// Whether a limit is none.
pub(super) fn is_no_limit(text: &str) -> bool {
    text == "-1" || size(text) == Some(0)
}

/// A number of processors in percent of one.
pub(super) fn percent(text: &str) -> Option<String> {
    let cpus: f64 = text.parse().ok().filter(|cpus| (0.01..=100_000.0).contains(cpus))?;
    Some(format!("{}%%", (cpus * 100.0).round()))
}
