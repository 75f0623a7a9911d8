//! The addresses of Supervisor's page, for bookmarks and scripts.
//!
//! Unlike in Supervisor, following a link changes nothing: it leads to a question, and the button below it acts.
//! `legacy_get_actions` restores Supervisor's behaviour.

use super::run_simple;
use crate::control::ask;
use crate::control::audit::Caller;
use crate::control::orders::Order;
use crate::control::request::{BulkStatus, Target, Wait};
use crate::http::context::Context;
use crate::http::wire::problem::{Problem, forbidden};
use crate::http::wire::query::Query;
use crate::http::wire::request::Head;
use crate::http::wire::response::{Body, Response};
use crate::model::fault::{Fault, FaultCode};
use crate::model::stream::Stream;
use crate::rpc::server::logs;

/// The longest form that is accepted, in bytes.
const FORM_MAX: usize = 64 << 10;

/// How much of a log is shown by default and at least, in bytes. As in Supervisor, web.py.
const TAIL: u64 = 1024;

/// The most of a log that is shown, in bytes.
const TAIL_MAX: u64 = 1 << 20;

/// The content security policy: such a page may only send its form back.
const POLICY: &str = "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A request to an address of the legacy page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LegacyRequest {
    /// A link or a bookmark with an action in it.
    Follow(LegacyAction),
    /// A form.
    Submit,
    /// The end of a log.
    Tail(Query),
}

/// An action of the legacy page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LegacyAction {
    action: String,
    processname: Option<String>,
}

impl LegacyAction {
    /// The action in a query, if there is one.
    pub(crate) fn of(query: &Query) -> Option<LegacyAction> {
        let action = query.get("action")?.to_string();
        Some(LegacyAction { action, processname: query.get("processname").map(str::to_string) })
    }

    /// The order and its target.
    fn order(&self) -> Result<(Order, Target), Problem> {
        let order = match (self.action.as_str(), &self.processname) {
            ("stopall", _) => return Ok((Order::Stop(Wait::Yes), Target::All)),
            ("restartall", _) => return Ok((Order::Restart(Wait::Yes), Target::All)),
            ("start", _) => Order::Start(Wait::Yes),
            ("stop", _) => Order::Stop(Wait::Yes),
            ("restart", _) => Order::Restart(Wait::Yes),
            ("clearlog", _) => Order::ClearLogs,
            _ => return Err(Problem::new(400, "the action is none that the page ever had")),
        };
        match &self.processname {
            Some(name) => Ok((order, Target::parse(name))),
            None => Err(Problem::new(400, "processname is missing")),
        }
    }
}

pub(crate) async fn answer(
    request: LegacyRequest,
    context: &Context,
    head: &Head,
    body: &[u8],
    caller: &Caller,
    acts_on_get: bool,
) -> Response {
    let answered = match request {
        LegacyRequest::Tail(query) => tail(context, &query).await,
        LegacyRequest::Follow(action) if action.action == "refresh" => Ok(back_to_the_page()),
        LegacyRequest::Follow(action) => {
            let foreign = head.header("sec-fetch-site").is_some_and(|site| site == "cross-site");
            if acts_on_get && head.method == "GET" && !foreign {
                execute(context, &action, caller).await
            } else {
                question(context, &action)
            }
        }
        LegacyRequest::Submit => submit(context, head, body, caller).await,
    };
    answered.unwrap_or_else(Problem::into_response)
}

async fn submit(context: &Context, head: &Head, body: &[u8], caller: &Caller) -> Result<Response, Problem> {
    if body.len() > FORM_MAX {
        return Err(Problem::new(413, format!("a form may be {FORM_MAX} bytes long")));
    }
    // As in Supervisor, what stands in the form overrides the query.
    let form = Query::parse(&String::from_utf8_lossy(body));
    let query = Query::of_target(&head.target);
    let value = |name: &str| form.get(name).or_else(|| query.get(name)).map(str::to_string);
    if !context.token().admits(head, form.get("token")) {
        return Err(forbidden());
    }
    match value("action") {
        Some(action) if action != "refresh" => {
            execute(context, &LegacyAction { action, processname: value("processname") }, caller).await
        }
        _ => Ok(back_to_the_page()),
    }
}

fn back_to_the_page() -> Response {
    page(303, "Supervisor Status", "<p><a href=\"./\">Back</a></p>").with_header("Location", "./")
}

/// The page that asks whether to carry out an action.
fn question(context: &Context, action: &LegacyAction) -> Result<Response, Problem> {
    action.order()?;
    let what = match (action.action.as_str(), &action.processname) {
        ("stopall", _) => "Stop all processes?".to_string(),
        ("restartall", _) => "Restart all processes?".to_string(),
        ("start", Some(name)) => format!("Start {name}?"),
        ("stop", Some(name)) => format!("Stop {name}?"),
        ("restart", Some(name)) => format!("Restart {name}?"),
        (_, name) => format!("Empty the logs of {}?", name.as_deref().unwrap_or_default()),
    };
    let hidden = |name: &str, value: &str| {
        format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escaped(value))
    };
    let name = action.processname.as_deref().map(|name| hidden("processname", name)).unwrap_or_default();
    let body = format!(
        "<h1>{}</h1><form method=\"post\" action=\"index.html\">{}{name}{}<button>Yes</button></form><p><a \
         href=\"./\">No, back</a></p>",
        escaped(&what),
        hidden("action", &action.action),
        hidden("token", context.token().text()),
    );
    Ok(page(200, "Supervisor: confirm", &body))
}

/// Carries out an action. The page says what the result is.
async fn execute(context: &Context, action: &LegacyAction, caller: &Caller) -> Result<Response, Problem> {
    let (order, target) = action.order()?;
    let path = format!("/index.html?action={}", action.action);
    let name = action.processname.clone().unwrap_or_default();
    let (status, message) = match run_simple(context, order, target, caller, &path).await {
        Ok(statuses) => result_message(&action.action, &name, &statuses),
        Err(fault) if fault.code == FaultCode::BadName => (404, format!("No such process named {name}")),
        Err(fault) => return Err(fault.into()),
    };
    let body = format!("<p>{}</p><p><a href=\"./\">Back</a></p>", escaped(&message));
    Ok(page(status, "Supervisor Status", &body))
}

/// The message for the result of an action, as in Supervisor, web.py; unlike there, a failed restart is reported.
fn result_message(action: &str, name: &str, statuses: &[BulkStatus]) -> (u16, String) {
    let failures: Vec<(&BulkStatus, &Fault)> =
        statuses.iter().filter_map(|status| Some((status, status.outcome.as_ref().err()?))).collect();
    if failures.is_empty() {
        let message = match action {
            "stopall" => "All stopped".to_string(),
            "restartall" => "All restarted".to_string(),
            "start" => format!("Process {name} started"),
            "stop" => format!("Process {name} stopped"),
            "restart" => format!("Process {name} restarted"),
            _ => format!("Log for {name} cleared"),
        };
        return (200, message);
    }
    let messages = failures.iter().map(|(status, fault)| {
        let name = crate::model::namespec::display(&status.group, &status.name);
        match fault.code {
            FaultCode::NoFile => format!("ERROR: Process {name}: no such file"),
            FaultCode::NotExecutable => format!("ERROR: Process {name}: file not executable"),
            FaultCode::AlreadyStarted => format!("ERROR: Process {name}: already started"),
            FaultCode::SpawnError => format!("ERROR: Process {name}: spawn error"),
            FaultCode::AbnormalTermination => format!("ERROR: Process {name}: abnormal termination"),
            code => format!("unexpected rpc fault [{}] {fault}", code.code()),
        }
    });
    (409, messages.collect::<Vec<_>>().join("; "))
}

/// The page with the end of a log.
async fn tail(context: &Context, query: &Query) -> Result<Response, Problem> {
    let Some(name) = query.get("processname") else {
        return Ok(page(200, "Supervisor tail of process", "<p>No process name found</p>"));
    };
    let limit = query.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(TAIL).clamp(TAIL, TAIL_MAX);
    let log = ask::Log(Some((Target::parse(name), Stream::Stdout)));
    let text = match context.handle().call(log).await {
        Ok(source) => {
            // At most a mebibyte, so it fits.
            let offset = -(limit as i64);
            match logs::part(source, offset, Some(limit)).await {
                Ok(part) => {
                    part.slice.into_text().await.map_err(|error| Problem::new(500, error.to_string()))?
                }
                Err(_) => format!("No file for {name}"),
            }
        }
        Err(fault) => format!("ERROR: unexpected rpc fault [{}] {fault}", fault.code.code()),
    };
    let body =
        format!("<h1>{}</h1><pre>{}</pre><p><a href=\"./\">Back</a></p>", escaped(name), escaped(&text));
    Ok(page(200, &format!("Supervisor tail of process {name}"), &body))
}

fn page(status: u16, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{}</title></head><body>{body}</body></html>\n",
        escaped(title)
    );
    Response::new(status, "text/html; charset=utf-8", Body::Whole(html.into_bytes()))
        .with_header("Content-Security-Policy", POLICY)
        .with_header("X-Content-Type-Options", "nosniff")
        .with_header("X-Frame-Options", "DENY")
        .with_header("Referrer-Policy", "same-origin")
        .with_header("Cache-Control", "no-store")
        .with_header("Cross-Origin-Resource-Policy", "same-origin")
}

/// Text as it can stand anywhere in HTML.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_told_in_the_words_of_the_old_page() {
        let status = |outcome: Result<(), Fault>| BulkStatus { name: "a".into(), group: "a".into(), outcome };
        let failed = |code| vec![status(Err(Fault::with(code, "a")))];
        for (action, statuses, expected) in [
            ("start", vec![status(Ok(()))], (200, "Process a started")),
            ("clearlog", vec![status(Ok(()))], (200, "Log for a cleared")),
            ("stopall", Vec::new(), (200, "All stopped")),
            ("restart", failed(FaultCode::SpawnError), (409, "ERROR: Process a: spawn error")),
            ("stop", failed(FaultCode::NotRunning), (409, "unexpected rpc fault [70] NOT_RUNNING: a")),
        ] {
            let (code, message) = result_message(action, "a", &statuses);
            assert_eq!((code, message.as_str()), expected);
        }
    }

    #[test]
    fn markup_becomes_text() {
        assert_eq!(escaped("<a b='c' d=\"e\">&"), "&lt;a b=&#39;c&#39; d=&quot;e&quot;&gt;&amp;");
    }
}
