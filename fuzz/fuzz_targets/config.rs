//! Any text as a configuration: no panic, no hang, and what the effective configuration says means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use supervisord::config::args::DaemonArgs;
use supervisord::config::{self, Surroundings};
use supervisord::model::config::Config;

fuzz_target!(|text: &str| {
    let (args, around) = (DaemonArgs::default(), surroundings());
    let name = Path::new("/etc/fuzz.conf");
    let Ok(config) = config::parse(name, text, &args, &around) else { return };
    let effective = config::effective(name, text, &args, &around).expect("it was right before");
    let again = config::parse(Path::new("/var/effective.conf"), &effective, &args, &around);
    let again = again.unwrap_or_else(|errors| panic!("{errors}\n{effective}"));
    assert!(same(&config, &again), "{config:#?}\n{again:#?}\n{effective}");
});

/// Where a configuration was read and what was said then does not change its meaning.
fn same(a: &Config, b: &Config) -> bool {
    a.supervisord == b.supervisord
        && a.groups == b.groups
        && a.http_servers == b.http_servers
        && a.rpc_namespaces == b.rpc_namespaces
}

/// The same on every machine.
fn surroundings() -> Surroundings {
    let environment = [("HOME", "/root"), ("A", "a"), ("B", "50% ; # b"), ("C", "line\nline")];
    Surroundings {
        environment: environment.map(|(name, value)| (name.to_string(), value.to_string())).into(),
        current_dir: "/".into(),
        host_node_name: "box".into(),
        executable: "/usr/bin/supervisord".into(),
        is_root: false,
    }
}
