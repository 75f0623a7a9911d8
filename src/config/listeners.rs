//! The keys that `[eventlistener:x]` adds to those of a program.

use crate::config::section::Section;
use crate::config::values::{self, Parsed};
use crate::model::config::{Level, PayloadLength, PoolConfig, ResultHandler};
use crate::model::event;

/// What Supervisor calls its default handler.
const DEFAULT_HANDLER: &str = "supervisor.dispatchers:default_handler";
/// The entry point of the widespread `supervisor-stdout` plug-in, which is built in here.
const STDOUT_HANDLER: &str = "supervisor_stdout:event_handler";

/// Reads the keys, in Supervisor's order. `None` after an error without which there is no pool.
pub(super) fn read(section: &Section<'_>) -> Option<PoolConfig> {
    let name = section.name;
    let buffer_size = section.get_or_default("buffer_size", |text| match values::any_integer(text)? {
        size @ 1.. => Ok(usize::try_from(size).unwrap_or(usize::MAX)),
        size => Err(format!("[{name}] section sets invalid buffer_size ({size})")),
    });
    let result_handler = result_handler(section, &section.text_or_default("result_handler"));
    let events = match section.raw("events") {
        None => section.ok("events", Err(no_events(name))),
        Some(_) => section.get("events", |text| events(name, text)),
    };
    if section.get("redirect_stderr", values::boolean) == Some(true) {
        let text = format!(
            "[{name}] section sets redirect_stderr=true but this is not allowed because it will interfere with \
             the eventlistener protocol"
        );
        section.error(Some("redirect_stderr"), text);
    }
    Some(PoolConfig {
        buffer_size,
        events: events?,
        result_handler,
        payload_length: section.get_or_default("payload_length", payload_length),
    })
}

fn no_events(name: &str) -> String {
    format!("[{name}] section requires an \"events\" line")
}

fn events(name: &str, text: &str) -> Parsed<Vec<String>> {
    let mut events: Vec<String> = Vec::new();
    for event in values::strings(text) {
        let event = event.to_uppercase();
        if !event::is_type(&event) {
            return Err(format!("Unknown event type {event} in [{name}] events"));
        }
        if !events.contains(&event) {
            events.push(event);
        }
    }
    if events.is_empty() { Err(no_events(name)) } else { Ok(events) }
}

/// A handler that is Python code cannot be loaded here; the listener then gets the default one.
fn result_handler(section: &Section<'_>, text: &str) -> ResultHandler {
    match text {
        DEFAULT_HANDLER => ResultHandler::Default,
        STDOUT_HANDLER => ResultHandler::SupervisorStdout,
        other => {
            let text = format!(
                "[{}] names the result handler '{other}', which is Python code and cannot be loaded; built in are \
                 '{DEFAULT_HANDLER}', which is used instead, and '{STDOUT_HANDLER}'",
                section.name
            );
            section.note(Some("result_handler"), Level::Critical, text);
            ResultHandler::Default
        }
    }
}

fn payload_length(text: &str) -> Parsed<PayloadLength> {
    match text.to_lowercase().as_str() {
        "characters" => Ok(PayloadLength::Characters),
        "bytes" => Ok(PayloadLength::Bytes),
        _ => Err(values::not_one_of(text, "payload_length", "characters or bytes")),
    }
}
