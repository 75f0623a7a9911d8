//! What the configuration says about a stream: where it goes, and what becomes of it on the way.

use crate::log::sinks::file::Limits;
use crate::log::sinks::memory::Ring;
use crate::log::sinks::open::{PLAIN_MODE, PRIVATE_MODE};
use crate::log::sinks::remote::RemoteSpec;
use crate::log::sinks::remote::message::Format;
use crate::log::sinks::sink::SinkSpec;
use crate::log::sinks::syslog::Form;
use crate::log::transform::TransformSpec;
use crate::log::transform::lines::{LineFormat, Whose};
use crate::model::config::{ChildLog, LogTarget, ProcessConfig, StreamConfig, StreamFormat, Timestamps};
use crate::model::raw;
use crate::model::stream::Stream;
use std::path::Path;
use std::sync::Arc;

/// Where a stream goes, and what becomes of it on the way.
#[derive(Clone, Debug)]
pub struct StreamSpec {
    /// The name of the process.
    pub process: String,
    /// The name of its group.
    pub group: String,
    /// Which of its outputs it is.
    pub channel: Stream,
    /// Whether the first sink can be read back.
    pub readable: bool,
    /// Where it goes.
    pub sinks: Vec<SinkSpec>,
    /// What becomes of its bytes on the way.
    pub transform: TransformSpec,
}

/// What a stream depends on besides its own configuration.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The name of the group.
    pub group: &'a str,
    /// The file that was made up for `AUTO`, if that is what the configuration says.
    pub auto: Option<&'a Path>,
    /// `[supervisord] strip_ansi`.
    pub strip_ansi: bool,
    /// Whether the process is an event listener. Its stdout is its voice; its stderr is like any other.
    pub listener: bool,
}

impl StreamSpec {
    /// What the configuration says about one stream of a process.
    pub fn new(process: &ProcessConfig, channel: Stream, context: Context<'_>) -> StreamSpec {
        let config = match channel {
            Stream::Stdout => &process.stdout,
            Stream::Stderr => &process.stderr,
        };
        let first = first_sink(config, context.auto);
        let readable = first.is_some();
        let more = config.more.iter().map(|target| further_sink(target, config, &process.program, channel));
        let syslog = config
            .syslog
            .then(|| SinkSpec::Syslog { form: Form::new(&config.syslog_options, &process.name) });
        let sinks: Vec<SinkSpec> = first.into_iter().chain(more).chain(syslog).collect();
        let listener = context.listener && channel == Stream::Stdout;
        let transform = TransformSpec {
            strip_ansi: context.strip_ansi,
            capture_maxbytes: if listener { 0 } else { config.capture_maxbytes },
            events: (config.events_enabled || process.is_ready_by_log()) && !listener,
            is_awaited: process.is_ready_by_log(),
            listener,
            plain_lines: sinks.iter().any(SinkSpec::takes_lines),
            line_format: line_format(process, channel, config, context.group),
        };
        StreamSpec {
            process: process.name.to_string(),
            group: context.group.to_string(),
            channel,
            readable,
            sinks,
            transform,
        }
    }
}

fn limits(config: &StreamConfig) -> Limits {
    Limits { maxbytes: config.maxbytes, backups: config.backups }
}

fn first_sink(config: &StreamConfig, auto: Option<&Path>) -> Option<SinkSpec> {
    let limits = limits(config);
    match (&config.logfile, auto) {
        (ChildLog::File(path), _) => Some(SinkSpec::Path { path: raw::path(path), mode: PLAIN_MODE, limits }),
        (ChildLog::Auto, Some(path)) => {
            Some(SinkSpec::Path { path: path.into(), mode: PRIVATE_MODE, limits })
        }
        (ChildLog::Memory, _) => Some(SinkSpec::Memory(Arc::new(Ring::new(config.maxbytes)))),
        (ChildLog::Auto, None) | (ChildLog::None, _) => None,
    }
}

fn further_sink(target: &LogTarget, config: &StreamConfig, program: &str, channel: Stream) -> SinkSpec {
    match target {
        LogTarget::File(path) => {
            SinkSpec::Path { path: raw::path(path), mode: PLAIN_MODE, limits: limits(config) }
        }
        LogTarget::Memory => SinkSpec::Memory(Arc::new(Ring::new(config.maxbytes))),
        LogTarget::Syslog(target) => {
            let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
            let (options, channel) = (&config.syslog_options, channel.name());
            let format = Format::new(target.protocol, options, &hostname, program, channel);
            SinkSpec::Remote(Arc::new(RemoteSpec { target: target.clone(), format }))
        }
    }
}

fn line_format(
    process: &ProcessConfig,
    channel: Stream,
    config: &StreamConfig,
    group: &str,
) -> Option<LineFormat> {
    let (timestamps, prefix) = (config.timestamps.clone(), config.prefix.clone());
    match config.format {
        StreamFormat::Raw if timestamps == Timestamps::Off && prefix.is_empty() => None,
        StreamFormat::Raw => Some(LineFormat::Text { timestamps, prefix }),
        StreamFormat::Text => {
            let timestamps = if timestamps == Timestamps::Off { Timestamps::Default } else { timestamps };
            let named = || format!("{} {}", process.name, channel.name());
            let prefix = if prefix.is_empty() { named() } else { prefix };
            Some(LineFormat::Text { timestamps, prefix })
        }
        StreamFormat::Json => Some(LineFormat::Json {
            timestamps,
            whose: Whose {
                program: process.program.to_string(),
                group: group.to_string(),
                process: process.name.to_string(),
                stream: channel.name(),
                prefix,
            },
        }),
    }
}
