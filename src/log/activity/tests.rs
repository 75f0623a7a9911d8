//! One activity log after the other: the logger is global.

use super::*;
use crate::log::transform::stamp::Stamp;
use crate::model::config::ActivityLog;
use std::fs::read_to_string;
use std::path::Path;

fn config(logfile: &Path) -> DaemonConfig {
    let text = |name: &str| logfile.with_file_name(name);
    DaemonConfig { logfile: ActivityLog::File(logfile.into()), pidfile: text("pid"), ..defaults() }
}

fn defaults() -> DaemonConfig {
    DaemonConfig {
        logfile: ActivityLog::Syslog,
        logfile_maxbytes: 0,
        logfile_backups: 0,
        loglevel: Level::Info,
        pidfile: PathBuf::new(),
        umask: 0o22,
        umask_is_given: false,
        nodaemon: true,
        silent: true,
        minfds: 1024,
        minprocs: 200,
        nocleanup: true,
        childlogdir: PathBuf::new(),
        user: None,
        directory: None,
        strip_ansi: false,
        environment: Default::default(),
        identifier: "supervisor".to_string(),
        nodename: None,
        log_format: LogFormat::Text,
        exit_when: crate::model::config::ExitWhen::Never,
        processinfomapfile: None,
        manager_watchdog: DaemonConfig::default_watchdog(),
        state_file: None,
        startkillall: false,
        exitkillall: true,
    }
}

/// The lines without their stamps, after checking the shape of those.
#[track_caller]
fn lines_of(path: &Path) -> Vec<String> {
    let text = read_to_string(path).unwrap();
    let lines = text.lines().map(|line| {
        let (stamp, rest) = line.split_at(24);
        let shape: String = stamp.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00 00:00:00,000 ", "{line}");
        rest.to_string()
    });
    lines.collect()
}

/// One test, because there is one activity log in a process.
#[test]
fn the_whole_life_of_an_activity_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("activity");
    init(&config(&log), false).unwrap();
    crit!("one {}", 1);
    ::log::error!("two");
    ::log::warn!("three");
    ::log::info!("four");
    ::log::debug!("not written");
    assert_eq!(lines_of(&log), ["CRIT one 1", "ERRO two", "WARN three", "INFO four"]);
    assert_eq!(path(), Some(log.clone()));

    clear().unwrap();
    reconfigure(&DaemonConfig { loglevel: Level::Blather, ..config(&log) }, false).unwrap();
    ::log::debug!("five");
    ::log::trace!("six");
    blather!("seven");
    assert_eq!(lines_of(&log), ["DEBG five", "TRAC six", "BLAT seven"]);

    let moved = dir.path().join("moved");
    std::fs::rename(&log, &moved).unwrap();
    reopen();
    write(Level::Warn, "eight");
    assert_eq!((lines_of(&log).len(), lines_of(&moved).len()), (1, 3));

    clear().unwrap();
    ::log::warn!("killing '\n\x1b[41m CRIT x' \u{202e}");
    ::log::debug!(target: OUTPUT, "'a' stdout output:\nb\x07\n{} CRIT x\n", Stamp::now().supervisor());
    let text = read_to_string(&log).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].ends_with(" WARN killing '\\n\\x1b[41m CRIT x' \\u{202e}"), "{text:?}");
    assert_eq!((lines[2], lines[3].get(..2), lines.len()), ("b\\x07", Some(" 2"), 5), "{text:?}");

    // A log whose directory is gone makes it again, and says so while it is at it.
    let inner = dir.path().join("gone/activity");
    reconfigure(&config(&inner), false).unwrap();
    std::fs::remove_dir_all(dir.path().join("gone")).unwrap();
    reopen();
    ::log::info!("after");
    let lines = lines_of(&inner);
    assert!(lines[0].starts_with("INFO made directory "), "{lines:?}");
    assert_eq!(lines.last().map(String::as_str), Some("INFO after"));
    reconfigure(&config(&log), false).unwrap();

    let bad = config(Path::new("/proc/none/log"));
    let error = reconfigure(&bad, false).unwrap_err().to_string();
    assert!(error.starts_with("could not open logfile /proc/none/log: "), "{error}");
    clear().unwrap();
    ::log::info!("nine");
    assert_eq!(lines_of(&log), ["INFO nine"]);

    let small = DaemonConfig { logfile_maxbytes: 100, logfile_backups: 2, ..config(&log) };
    reconfigure(&small, false).unwrap();
    for number in 0..9 {
        ::log::info!("line {number}");
    }
    let (first, second) = (rotated(&log, 1), rotated(&log, 2));
    let all: Vec<String> = [lines_of(&second), lines_of(&first), lines_of(&log)].concat();
    let expected: Vec<String> = (9 - all.len()..9).map(|number| format!("INFO line {number}")).collect();
    assert_eq!((all.len() >= 6, all), (true, expected));

    reconfigure(&DaemonConfig { log_format: LogFormat::Json, ..config(&log) }, false).unwrap();
    clear().unwrap();
    ::log::info!("a \"quoted\"\nmessage\u{9b}");
    let text = read_to_string(&log).unwrap();
    assert!(!text.contains('\u{9b}'), "{text:?}");
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["message"], "a \"quoted\"\nmessage\u{9b}");
    assert_eq!(value["level"], "INFO");
    ::log::set_max_level(LevelFilter::Off);
}

fn rotated(path: &Path, number: u32) -> PathBuf {
    crate::log::sinks::rotate::backup_name(path, number)
}
