//! A configuration for the tests of the state machine.

use crate::model::config::{
    Autorestart, ChildLog, MemoryLimit, ProcessConfig, StreamConfig, StreamFormat, Timestamps,
};
use crate::model::probe::{HealthAction, HealthCheck, Probe, Readiness};
use crate::model::signal::Signal;
use std::time::Duration;

/// `startsecs=5`, `startretries=3`, `stopwaitsecs=10`, everything else as it is by default.
pub(crate) fn config() -> ProcessConfig {
    let stream = StreamConfig {
        logfile: ChildLog::None,
        maxbytes: 0,
        backups: 0,
        capture_maxbytes: 0,
        events_enabled: false,
        syslog: false,
        more: Vec::new(),
        timestamps: Timestamps::Off,
        prefix: String::new(),
        format: StreamFormat::Raw,
        syslog_options: Default::default(),
    };
    ProcessConfig {
        name: "x".into(),
        command: "/bin/x".to_string(),
        priority: 999,
        autostart: true,
        autostart_last: false,
        autorestart: Autorestart::Unexpected,
        startsecs: Duration::from_secs(5),
        startretries: 3,
        exitcodes: vec![0],
        stopsignal: Signal::TERM,
        stopsignal_then: Vec::new(),
        stopwaitsecs: Duration::from_secs(10),
        stopasgroup: false,
        killasgroup: false,
        stop_scope: Default::default(),
        user: None,
        umask: None,
        directory: None,
        environment: Default::default(),
        serverurl: None,
        redirect_stderr: false,
        stdout: stream.clone(),
        stderr: stream,
        fcgi_socket: None,
        sockets: Vec::new(),
        essential: false,
        program: "x".into(),
        kind: Default::default(),
        max_runtime: None,
        restart: Default::default(),
        dependencies: Default::default(),
        readiness: None,
        memory_limit: None,
        health_check: None,
        watchdog: None,
        environment_sources: Default::default(),
        resources: Default::default(),
        confinement: Default::default(),
        credentials: Vec::new(),
        supplementary_groups: Vec::new(),
        notify: false,
    }
}

/// `ready=tcp:5432`, `ready_timeout=5`.
pub(crate) fn readiness(waits_for_startsecs: bool) -> Box<Readiness> {
    Box::new(Readiness {
        ready: Probe::Tcp { host: "127.0.0.1".to_string(), port: 5432 },
        ready_interval: Duration::from_secs(1),
        ready_timeout: Duration::from_secs(5),
        waits_for_startsecs,
    })
}

/// `memory_limit=512MB`.
pub(crate) fn memory_limit(action: HealthAction) -> Option<MemoryLimit> {
    Some(MemoryLimit { bytes: 512 << 20, action })
}

/// `health=tcp:5432`, `health_retries=1`.
pub(crate) fn health(health_action: HealthAction) -> Box<HealthCheck> {
    Box::new(HealthCheck {
        health: Probe::Tcp { host: "127.0.0.1".to_string(), port: 5432 },
        health_interval: Duration::from_secs(10),
        health_timeout: Duration::from_secs(3),
        health_retries: 1,
        health_start_period: Duration::ZERO,
        health_action,
    })
}
