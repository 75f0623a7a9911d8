//! Results, and how they are encoded.

use super::logs::LogSlice;
use crate::config::Reread;
use crate::control::ask::{Applied, Updated};
use crate::control::facts;
use crate::control::overview::{GraphNode, HealthLine, Overview};
use crate::control::programs::{Enabled, ProgramNumber, Scaled};
use crate::control::request::{BulkStatus, ConfigInfo, Fact, Facts, ProcessInfo, Processes, Rows};
use crate::model::config::{ChildLog, NO_LIMIT, ProcessConfig, StreamConfig};
use crate::model::fault::Fault;
use crate::model::state::SupervisorState;
use crate::model::stream::Stream;
use crate::rpc::wire::{Value, WireFault, Writer, int_member, string_member};
use std::path::PathBuf;
use std::sync::Arc;

/// The result of a call.
#[derive(Debug)]
pub enum Reply {
    /// A truth value.
    Boolean(bool),
    /// A number; the wire has 32 bits for it, and what does not fit is clamped.
    Int(i64),
    /// A text.
    Text(String),
    /// An array of texts.
    Texts(Vec<String>),
    /// The daemon's state: `statecode` and `statename`.
    State(SupervisorState),
    /// What is known of one process.
    Process(Box<ProcessInfo>),
    /// What is known of several processes.
    Processes(Arc<Processes>),
    /// Processes with additional members.
    Rows(Rows),
    /// The configuration of several processes.
    Configs(Vec<ConfigInfo>),
    /// One struct for each process that an order was applied to.
    Bulk(Vec<BulkStatus>),
    /// Which groups were added, changed and removed.
    Reread(Reread),
    /// A struct of the daemon's own methods.
    Facts(Facts),
    /// An array of such structs.
    FactsOfSeveral(Vec<Facts>),
    /// A part of a log, which is read while it is sent.
    Log(LogSlice),
    /// The result of the tail methods.
    Tail {
        /// The bytes of the log.
        data: LogSlice,
        /// The second element: the size of the log, in bytes.
        position: i64,
        /// Whether the log goes beyond what was asked for.
        overflow: bool,
    },
    /// The results of the calls of a `system.multicall`, in their order.
    Multicall(Vec<Result<Reply, Fault>>),
    /// Several results, as the Go reimplementations send them.
    Several(Vec<Reply>),
}

/// Success without a value is `true`.
impl From<()> for Reply {
    fn from((): ()) -> Reply {
        Reply::Boolean(true)
    }
}

impl From<Applied> for Reply {
    fn from(applied: Applied) -> Reply {
        match applied {
            Applied::One => Reply::Boolean(true),
            Applied::Several(statuses) => Reply::Bulk(statuses),
        }
    }
}

impl From<Vec<HealthLine>> for Reply {
    fn from(lines: Vec<HealthLine>) -> Reply {
        Reply::FactsOfSeveral(lines.iter().map(facts::health).collect())
    }
}

impl From<Vec<GraphNode>> for Reply {
    fn from(nodes: Vec<GraphNode>) -> Reply {
        Reply::FactsOfSeveral(nodes.iter().map(facts::node).collect())
    }
}

/// A struct for each group.
impl From<Updated> for Reply {
    fn from(Updated { plan, problems }: Updated) -> Reply {
        Reply::FactsOfSeveral(facts::updated(&Updated { plan, problems }))
    }
}

impl From<Scaled> for Reply {
    fn from(scaled: Scaled) -> Reply {
        Reply::Facts(facts::scaled(&scaled))
    }
}

impl From<Enabled> for Reply {
    fn from(enabled: Enabled) -> Reply {
        Reply::Facts(facts::enabled(&enabled))
    }
}

impl From<Vec<ProgramNumber>> for Reply {
    fn from(numbers: Vec<ProgramNumber>) -> Reply {
        Reply::FactsOfSeveral(numbers.iter().map(facts::program_number).collect())
    }
}

/// What Supervisor does not know of the processes.
impl From<Box<Overview>> for Reply {
    fn from(overview: Box<Overview>) -> Reply {
        Reply::FactsOfSeveral(facts::lives(&overview))
    }
}

/// Which result each type of answer becomes.
macro_rules! replies {
    ($($answer:ty => $reply:ident,)+) => {$(
        impl From<$answer> for Reply {
            fn from(answer: $answer) -> Reply {
                Reply::$reply(answer)
            }
        }
    )+};
}

replies! {
    SupervisorState => State,
    i64 => Int,
    String => Text,
    Vec<String> => Texts,
    Box<ProcessInfo> => Process,
    Arc<Processes> => Processes,
    Rows => Rows,
    Vec<ConfigInfo> => Configs,
    Reread => Reread,
    Facts => Facts,
}

/// The text of a response, of which one part may be somewhere else.
#[derive(Debug)]
pub struct Document {
    /// The text before the part, or all of it.
    pub head: String,
    /// The part between `head` and `rest`.
    pub part: Option<Part>,
    /// The text after the part.
    pub rest: String,
}

/// A part of a response that is not in the document.
#[derive(Debug)]
pub enum Part {
    /// A part of a log file.
    Log(LogSlice),
    /// A text that several responses share.
    Shared(SharedText),
}

/// The XML text of several processes, shared by all responses with them.
#[derive(Debug)]
pub struct SharedText(Arc<Processes>);

impl SharedText {
    /// The XML text of the processes, which the first caller writes.
    pub fn as_str(&self) -> &str {
        processes_text(&self.0)
    }
}

impl Document {
    fn whole(head: String) -> Document {
        Document { head, part: None, rest: String::new() }
    }

    /// Whether it holds an open file.
    pub fn holds_file(&self) -> bool {
        matches!(&self.part, Some(Part::Log(log)) if log.holds_file())
    }
}

/// Encodes the response to a call.
pub fn encode(result: Result<Reply, Fault>) -> Document {
    match result {
        Ok(reply) => encode_reply(reply),
        Err(fault) => Document::whole(crate::rpc::wire::encode_fault(&WireFault::from(&fault))),
    }
}

fn write_facts(writer: &mut Writer, facts: &Facts) {
    writer.structure(|writer| fact_members(writer, facts));
}

fn fact_members(writer: &mut Writer, facts: &[(&'static str, Fact)]) {
    for (name, fact) in facts {
        writer.member(name, |writer| match fact {
            Fact::Text(text) => writer.string(text),
            Fact::Number(number) => writer.int(*number),
            // Exact up to 2^53.
            Fact::Wide(number) => writer.value(&Value::Double(*number as f64)),
            Fact::Flag(truth) => writer.boolean(*truth),
            Fact::List(list) => writer.array(|writer| {
                for facts in list {
                    write_facts(writer, facts);
                }
            }),
        });
    }
}

fn encode_reply(reply: Reply) -> Document {
    match reply {
        Reply::Several(replies) => {
            let mut writer = Writer::with_capacity(replies.iter().map(estimate).sum());
            writer.open_response();
            replies.iter().for_each(|reply| writer.param(|writer| write(writer, reply)));
            writer.close_response();
            Document::whole(writer.finish())
        }
        Reply::Log(slice) => {
            split(Part::Log(slice), |writer| writer.open_string(), |writer| writer.close_string())
        }
        Reply::Tail { data, position, overflow } => split(
            Part::Log(data),
            |writer| {
                writer.open_array();
                writer.open_string();
            },
            |writer| {
                writer.close_string();
                writer.int(position);
                writer.boolean(overflow);
                writer.close_array();
            },
        ),
        Reply::Processes(processes) => split(Part::Shared(SharedText(processes)), |_| (), |_| ()),
        reply => {
            let mut writer = Writer::with_capacity(estimate(&reply));
            writer.open_response();
            writer.param(|writer| write(writer, &reply));
            writer.close_response();
            Document::whole(writer.finish())
        }
    }
}

/// A response with a part that is somewhere else, between what `before` and `after` write.
fn split(part: Part, before: impl FnOnce(&mut Writer), after: impl FnOnce(&mut Writer)) -> Document {
    let (mut head, mut rest) = (Writer::default(), Writer::default());
    head.open_response();
    head.open_param();
    before(&mut head);
    after(&mut rest);
    rest.close_param();
    rest.close_response();
    Document { head: head.finish(), part: Some(part), rest: rest.finish() }
}

/// Estimates the length of the text of a result in bytes, without the parts of logs.
pub fn estimate(reply: &Reply) -> usize {
    match reply {
        Reply::Processes(processes) => estimate_processes(processes.infos()),
        Reply::Rows(rows) => 2500 * rows.len() + 200,
        Reply::Configs(configs) => 3000 * configs.len() + 200,
        Reply::Bulk(statuses) => 400 * statuses.len() + 200,
        Reply::Text(text) => text.len() + 200,
        Reply::FactsOfSeveral(list) => list.iter().map(|facts| estimate_facts(facts)).sum::<usize>() + 200,
        Reply::Texts(texts) => texts.iter().map(|text| text.len() + 50).sum::<usize>() + 200,
        Reply::Several(replies) => replies.iter().map(estimate).sum(),
        Reply::Multicall(results) => {
            results.iter().flatten().map(estimate).sum::<usize>() + 200 * results.len()
        }
        _ => 500,
    }
}

fn estimate_facts(facts: &[(&'static str, Fact)]) -> usize {
    let fact = |(_, fact): &(&'static str, Fact)| match fact {
        Fact::Text(text) => text.len() + 100,
        Fact::Number(_) | Fact::Wide(_) | Fact::Flag(_) => 100,
        Fact::List(list) => list.iter().map(|facts| estimate_facts(facts)).sum::<usize>() + 150,
    };
    facts.iter().map(fact).sum::<usize>() + 30
}

fn write(writer: &mut Writer, reply: &Reply) {
    match reply {
        Reply::Boolean(truth) => writer.boolean(*truth),
        Reply::Int(number) => writer.int(*number),
        Reply::Facts(facts) => write_facts(writer, facts),
        Reply::FactsOfSeveral(list) => {
            writer.array(|writer| list.iter().for_each(|facts| write_facts(writer, facts)));
        }
        Reply::Text(text) => writer.string(text),
        Reply::Texts(texts) => writer.strings(texts),
        Reply::State(state) => writer.structure(|writer| {
            writer.member("statecode", |writer| writer.int(i64::from(state.code())));
            writer.member("statename", |writer| writer.string(state.name()));
        }),
        Reply::Process(info) => process(writer, info, &[]),
        Reply::Processes(processes) => writer.written(processes_text(processes)),
        Reply::Rows(rows) => {
            writer.array(|writer| rows.iter().for_each(|(info, facts)| process(writer, info, facts)));
        }
        Reply::Configs(configs) => {
            writer.array(|writer| configs.iter().for_each(|info| config(writer, info)));
        }
        Reply::Bulk(statuses) => {
            writer.array(|writer| statuses.iter().for_each(|status| bulk(writer, status)));
        }
        // Three arrays inside a one-element array: odd, but every client unpacks it so.
        Reply::Reread(reread) => writer.array(|writer| {
            writer.array(|writer| {
                [&reread.added, &reread.changed, &reread.removed]
                    .into_iter()
                    .for_each(|names| writer.strings(names));
            });
        }),
        Reply::Multicall(results) => {
            writer.array(|writer| results.iter().for_each(|result| element(writer, result)));
        }
        Reply::Several(replies) => {
            writer.array(|writer| replies.iter().for_each(|reply| write(writer, reply)));
        }
        Reply::Log(_) | Reply::Tail { .. } => {
            unreachable!("a log stands only at the top of a reply; multicall has read it before")
        }
    }
}

/// One element of a multicall's result. A success stands bare: the standard would wrap it in an array, but
/// Supervisor does not and its clients know (Supervisor, xmlrpc.py, `multicall`).
fn element(writer: &mut Writer, result: &Result<Reply, Fault>) {
    match result {
        Ok(reply) => write(writer, reply),
        Err(fault) => writer.fault(&WireFault::from(fault)),
    }
}

fn estimate_processes(infos: &[ProcessInfo]) -> usize {
    1300 * infos.len() + 200
}

fn processes_text(processes: &Processes) -> &str {
    processes.text(|infos| {
        let mut writer = Writer::with_capacity(estimate_processes(infos));
        writer.array(|writer| infos.iter().for_each(|info| process(writer, info, &[])));
        writer.finish()
    })
}

fn process(writer: &mut Writer, info: &ProcessInfo, more: &[(&'static str, Fact)]) {
    writer.structure(|w| {
        w.prepared_string(string_member!("name"), &info.name);
        w.prepared_string(string_member!("group"), &info.group);
        w.prepared_int(int_member!("start"), info.start);
        w.prepared_int(int_member!("stop"), info.stop);
        w.prepared_int(int_member!("now"), info.now);
        w.prepared_int(int_member!("state"), i64::from(info.state.code()));
        w.prepared_string(string_member!("statename"), info.state.name());
        w.prepared_string(string_member!("spawnerr"), &info.spawnerr);
        w.prepared_int(int_member!("exitstatus"), i64::from(info.exitstatus));
        w.prepared_string(string_member!("logfile"), &info.stdout_logfile);
        w.prepared_string(string_member!("stdout_logfile"), &info.stdout_logfile);
        w.prepared_string(string_member!("stderr_logfile"), &info.stderr_logfile);
        w.prepared_int(int_member!("pid"), i64::from(info.pid));
        w.prepared_string(string_member!("description"), &info.description);
        fact_members(w, more);
    });
}

fn bulk(writer: &mut Writer, status: &BulkStatus) {
    writer.structure(|w| {
        w.member("name", |w| w.string(&status.name));
        w.member("group", |w| w.string(&status.group));
        w.member("status", |w| w.int(i64::from(status.status())));
        w.member("description", |w| w.string(&status.description()));
    });
}

/// What stands for no limit is what was written for it.
fn startretries(process: &ProcessConfig) -> i64 {
    if process.startretries == NO_LIMIT { -1 } else { process.startretries.into() }
}

fn config(writer: &mut Writer, info: &ConfigInfo) {
    // An index beyond the group cannot come from the loop; if it did, the row is left out rather than
    // the daemon.
    let Some(process) = info.group.processes.get(info.process) else { return };
    let seconds = |duration: std::time::Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    let size = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    writer.structure(|w| {
        w.member("autostart", |w| w.boolean(process.autostart));

        w.member("directory", |w| match &process.directory {
            Some(directory) => w.string(&directory.to_string_lossy()),
            None => w.string("none"),
        });
        w.member("uid", |w| match &process.user {
            Some(user) => w.int(i64::from(user.uid)),
            None => w.string("none"),
        });
        w.member("command", |w| w.string(&process.command));
        w.member("exitcodes", |w| {
            w.array(|w| process.exitcodes.iter().for_each(|code| w.int(i64::from(*code))));
        });
        w.member("group", |w| w.string(&info.group.name));
        w.member("group_prio", |w| w.int(info.group.priority));
        w.member("inuse", |w| w.boolean(info.inuse));
        w.member("killasgroup", |w| w.boolean(process.killasgroup));
        w.member("name", |w| w.string(&process.name));
        w.member("process_prio", |w| w.int(process.priority));
        w.member("redirect_stderr", |w| w.boolean(process.redirect_stderr));
        w.member("startretries", |w| w.int(startretries(process)));
        w.member("startsecs", |w| w.int(seconds(process.startsecs)));
        stream(w, Stream::Stdout, &process.stdout, &info.stdout_logfile, size);
        w.member("stopsignal", |w| w.int(i64::from(process.stopsignal.raw())));
        w.member("stopwaitsecs", |w| w.int(seconds(process.stopwaitsecs)));
        stream(w, Stream::Stderr, &process.stderr, &info.stderr_logfile, size);
        w.member("serverurl", |w| w.string(process.serverurl.as_deref().unwrap_or("none")));
    });
}

/// The settings of one stream. `in_use` is the file behind an automatic name, if it is known.
fn stream(
    w: &mut Writer,
    stream: Stream,
    config: &StreamConfig,
    in_use: &Option<PathBuf>,
    size: fn(u64) -> i64,
) {
    let name = |key: &str| format!("{}_{key}", stream.name());
    w.member(&name("capture_maxbytes"), |w| w.int(size(config.capture_maxbytes)));
    w.member(&name("events_enabled"), |w| w.boolean(config.events_enabled));
    w.member(&name("logfile"), |w| match (&config.logfile, in_use) {
        (ChildLog::None, _) => w.string("none"),
        (_, Some(path)) | (ChildLog::File(path), None) => w.string(&path.to_string_lossy()),
        (ChildLog::Auto, None) => w.string("auto"),
        (ChildLog::Memory, None) => w.string("memory"),
    });
    w.member(&name("logfile_backups"), |w| w.int(i64::from(config.backups)));
    w.member(&name("logfile_maxbytes"), |w| w.int(size(config.maxbytes)));
    w.member(&name("syslog"), |w| w.boolean(config.syslog));
}
