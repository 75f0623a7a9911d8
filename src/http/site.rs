//! One HTTP server: decides who is let in and which path leads where.

use crate::control::ask;
use crate::control::audit::Caller;
use crate::control::request::Target;
use crate::http::answer::{self, ApiRequest};
use crate::http::api::{self, Endpoint};
use crate::http::compat::legacy_page::{LegacyAction, LegacyRequest};
use crate::http::compat::{bare_names, compat_go, legacy_page};
use crate::http::context::Context;
use crate::http::guard::auth::{Asking, Denied, Guard};
use crate::http::guard::budget::Share;
use crate::http::guard::origin::{Policy, Purpose, Refusal, Verdict};
use crate::http::guard::token;
use crate::http::live::follow::Follower;
use crate::http::net::limits::SMALL;
use crate::http::net::socket::{Peer, within};
use crate::http::page::assets::{self, Asset};
use crate::http::probe::{health, metrics};
use crate::http::wire::body::{self, RequestBody};
use crate::http::wire::problem::Problem;
use crate::http::wire::query::Query;
use crate::http::wire::request::{self, Head, UNAVAILABLE};
use crate::http::wire::response::{Body, Live, Response};
use crate::model::config::HttpServerConfig;
use crate::model::percent::{self, Byte};
use crate::model::stream::Stream;
use crate::rpc::server::{Heavy, reply};
use crate::rpc::wire::{self, Call};
use crate::rt::{self, Timer};
use async_channel::Receiver;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

/// At most so many refused origins are logged. Clients choose these names, so they must not fill the log.
const REFUSED_MAX: usize = 100;

/// The server of one `[…http_server]` section.
#[derive(Debug)]
pub(super) struct Site {
    pub context: Context,
    section: Arc<str>,
    guard: Guard,
    policy: Policy,
    /// The origins whose refusal was logged.
    refused: Mutex<HashSet<String>>,
    legacy_get_actions: bool,
    /// Closed when the server no longer accepts clients.
    open: Receiver<()>,
}

/// Where a request leads, by its head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Rpc,
    Alive,
    LogTail(Target, Stream),
    MainLogTail,
    Api(Box<Endpoint>),
    /// A file of the page.
    Page(&'static Asset),
    CompatGo(Box<compat_go::Endpoint>),
    LegacyPage(LegacyRequest),
    Metrics,
    Livez,
    Readyz(Option<String>),
    /// An error: there is nothing at this path, or not for this method.
    Error(u16),
}

impl Site {
    /// The server of a section. `open` is closed when it no longer accepts clients, because its settings have changed.
    pub(super) fn new(config: &HttpServerConfig, context: Context, open: Receiver<()>) -> Site {
        Site {
            section: config.section.as_str().into(),
            guard: Guard::new(config.credentials.clone(), context.hashing().clone()),
            policy: Policy::new(config),
            refused: Mutex::default(),
            legacy_get_actions: config.legacy_get_actions,
            context,
            open,
        }
    }

    /// The section of the configuration.
    pub(super) fn section(&self) -> &str {
        &self.section
    }

    /// Whether the server no longer accepts clients.
    pub(super) fn is_closed(&self) -> bool {
        self.open.is_closed()
    }

    /// Checks password and origin of a request. Returns the user name, if the server asks for one.
    ///
    /// # Errors
    /// The answer for a client that is not let in.
    pub(super) async fn admit(&self, head: &Head, peer: &Peer) -> Result<Option<String>, Response> {
        let begin = Instant::now();
        let asking = Asking { side: self.context.side(), origin: peer.origin() };
        let delay = self.context.limits().denial_delay.max(self.guard.delay(asking.side));
        let user = match self.guard.check(head.header("authorization"), asking).await {
            Ok(user) => user,
            Err(Denied::NoCredentials) => return Err(unauthorized()),
            Err(denied) => {
                if denied == Denied::WrongCredentials {
                    self.context.guesses().note(&self.section, asking.origin);
                }
                // Without the delay, clients that are refused would be back at once.
                Timer::at(begin + delay).await;
                let is_busy = denied == Denied::Busy;
                return Err(if is_busy { Response::error(UNAVAILABLE.0) } else { unauthorized() });
            }
        };
        match self.check_browser(head) {
            Ok(()) => Ok(user),
            Err(refusal) => Err(self.refuse(head, &refusal)),
        }
    }

    /// Checks that no foreign web page caused the request.
    fn check_browser(&self, head: &Head) -> Result<(), Refusal> {
        let route = route(head);
        match self.policy.judge(head, purpose(head, &route)) {
            Verdict::Allowed => Ok(()),
            // The token of a form is in its body, and is looked at when that is there.
            Verdict::WithToken(_) if route == Route::LegacyPage(LegacyRequest::Submit) => Ok(()),
            Verdict::WithToken(refusal) => match head.header(token::HEADER) {
                Some(sent) if self.context.token().fits(sent) => Ok(()),
                _ => Err(refusal),
            },
            Verdict::Refused(refusal) => Err(refusal),
        }
    }

    /// The answer that says why a request is refused. The first refusal of each origin is logged.
    fn refuse(&self, head: &Head, refusal: &Refusal) -> Response {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() < REFUSED_MAX && refused.insert(refusal.whom().to_string()) {
            log::warn!("refused: {refusal}");
        }
        drop(refused);
        if head.path().starts_with("/api/") {
            return Problem::new(403, refusal.to_string()).into_response();
        }
        let text = format!("403 Forbidden: {refusal}.\n");
        answer::plain(403, "text/plain; charset=utf-8", text.into_bytes())
    }

    /// Answers a request that was let in.
    pub(super) async fn answer(
        &self,
        route: Route,
        head: &Head,
        body: RequestBody,
        caller: &Caller,
    ) -> Response {
        match route {
            Route::Api(endpoint) => {
                let endpoint = bare_names::resolve_endpoint(&self.context, *endpoint).await;
                api::answer(endpoint, &self.context, head, body, caller).await
            }
            Route::Page(asset) => asset.response(head),
            Route::CompatGo(endpoint) => {
                let request = ApiRequest { head, query: Query::of_target(&head.target), body, caller };
                let endpoint = bare_names::resolve_go_endpoint(&self.context, *endpoint).await;
                compat_go::answer(endpoint, &self.context, &request).await
            }
            Route::LegacyPage(request) => {
                let acts = self.legacy_get_actions;
                legacy_page::answer(request, &self.context, head, &body.bytes, caller, acts).await
            }
            Route::Metrics => metrics::answer(&self.context).await,
            Route::Livez => health::alive(&self.context).await,
            Route::Readyz(name) => health::ready(&self.context, name.as_deref()).await,
            Route::Rpc => self.answer_rpc(body, caller).await,
            Route::Alive => {
                uncached(Response::new(200, "text/plain", Body::Whole(b"OK".to_vec()))).guarded().ours()
            }
            Route::LogTail(target, stream) => self.follow_log(Some((target, stream))).await,
            Route::MainLogTail => self.follow_log(None).await,
            Route::Error(status) => Response::error(status),
        }
    }

    async fn answer_rpc(&self, body: RequestBody, caller: &Caller) -> Response {
        let n_bytes = body.bytes.len();
        let (decoded, _share) = match self.decode(body).await {
            Ok(decoded) => decoded,
            Err(request::Refusal(status)) => return Response::error(status),
        };
        let call = match decoded {
            Ok(call) => call,
            Err(error) => {
                log::error!("XML-RPC request of {n_bytes} bytes from {caller} is invalid: {error}");
                return Response::error(400);
            }
        };
        match self.execute(call, caller).await {
            Some(response) => response,
            None => Response::error(503),
        }
    }

    /// Decodes a call. A large one comes with a share of the memory budget, to be held until it has been answered.
    ///
    /// # Errors
    /// If there is no memory or no thread for it.
    async fn decode(
        &self,
        body: RequestBody,
    ) -> Result<(Result<Call, wire::DecodeError>, Option<Share>), request::Refusal> {
        let RequestBody { bytes, share: arrived } = body;
        if bytes.len() <= SMALL {
            return Ok((wire::decode_call(&bytes), None));
        }
        let wanted = self.context.decoded().take(body::DECODED * bytes.len());
        let share = within(self.context.limits().memory, wanted).await.ok_or(UNAVAILABLE)?;
        // This takes a while, so it runs on a thread of its own. If the client leaves, it continues and keeps its memory.
        let decode = move || {
            let decoded = wire::decode_call(&bytes);
            drop(arrived);
            (decoded, Some(share))
        };
        rt::run_aside(decode).await.map_err(|_| UNAVAILABLE)
    }

    /// Carries out a call and encodes its result. `None` if the memory for large answers is taken and none becomes free in
    /// time. Clients that do not read their answers are disconnected, but that takes a while.
    async fn execute(&self, call: Call, caller: &Caller) -> Option<Response> {
        let server = self.context.server();
        let heavy = server.is_heavy(&call.method);
        let (mut reserved, mut memory) = (None, None);
        match heavy {
            Some(Heavy::AtOnce) => reserved = Some(self.context.reserve_memory().await?),
            Some(Heavy::Waits) => memory = Some(self.context.reserve_for_waiting().await?),
            None => {}
        }
        let result = server.call(call, caller).await;
        drop((reserved, memory));
        let n_bytes = result.as_ref().map_or(0, reply::estimate);
        let share = self.context.reserve_for_answer(n_bytes).await?;
        let body = Body::Document(reply::encode(result));
        Some(Response::new(200, "text/xml", body).private().with_share(share))
    }

    async fn follow_log(&self, log: Option<(Target, Stream)>) -> Response {
        let Ok(source) = self.context.handle().call(ask::Log(log)).await else {
            return Response::error(404);
        };
        match Follower::open(source, self.context.watcher().clone()).await {
            Ok(follower) => {
                let modified = httpdate::fmt_http_date(follower.modified().unwrap_or_else(SystemTime::now));
                let body = Body::Live(Box::new(Live::Log(follower)));
                Response::new(200, "text/plain;charset=utf-8", body)
                    // Browsers that guess what it is show nothing before 1 KiB has come, and nginx passes nothing on
                    // before it has some.
                    .private()
                    .with_header("X-Accel-Buffering", "no")
                    .with_header("Last-Modified", modified)
            }
            Err(_) => Response::error(404),
        }
    }
}

fn unauthorized() -> Response {
    Response::error(401).with_header("WWW-Authenticate", "Basic realm=\"default\"")
}

/// The purpose of a request. Every method but GET and HEAD may change something.
fn purpose(head: &Head, route: &Route) -> Purpose {
    match route {
        Route::Alive | Route::Livez | Route::Readyz(_) | Route::Metrics => Purpose::Probe,
        // The question that an old link leads to bears the token; and the link may act at once.
        Route::LegacyPage(LegacyRequest::Follow(_)) => Purpose::Secret,
        Route::Api(endpoint) if api::gives_token(endpoint) => Purpose::Secret,
        _ if head.method == "GET" || head.method == "HEAD" => Purpose::Read,
        _ => Purpose::Change,
    }
}

fn uncached(response: Response) -> Response {
    response
        .with_header("Pragma", "no-cache")
        .with_header("Cache-Control", "no-cache")
        .with_header("Expires", "Thu, 01 Jan 1970 00:00:00 GMT")
}

/// Finds the route of a method and a path. Paths are decoded once and compared segment by segment.
pub(super) fn route(head: &Head) -> Route {
    let reads = head.method == "GET" || head.method == "HEAD";
    let only = |allowed: bool, route: Route| if allowed { route } else { Route::Error(400) };
    let Some(segments) = segments(head.path()) else {
        return Route::Error(if reads { 404 } else { 400 });
    };
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        ["RPC2"] | ["RPC2", ""] => only(head.method == "POST", Route::Rpc),
        ["logtail", rest @ ..] => only(head.method == "GET", log_tail(rest)),
        ["mainlogtail"] | ["mainlogtail", ""] => only(head.method == "GET", Route::MainLogTail),
        ["ok.html"] => only(reads || head.method == "POST", Route::Alive),
        ["api", ..] | ["events"] => Route::Api(Box::new(api::route(&head.method, &segments))),
        ["program" | "supervisor", ..] => {
            Route::CompatGo(Box::new(compat_go::route(&head.method, &segments)))
        }
        ["metrics"] => only(reads, Route::Metrics),
        ["livez"] => only(reads, Route::Livez),
        ["readyz"] => only(reads, Route::Readyz(None)),
        ["readyz", name] => only(reads, Route::Readyz(Some(name.to_string()))),
        ["tail.html"] => only(reads, Route::LegacyPage(LegacyRequest::Tail(Query::of_target(&head.target)))),
        [""] | ["index.html"] if head.method == "POST" => Route::LegacyPage(LegacyRequest::Submit),
        [""] | ["index.html"]
            if reads && let Some(action) = LegacyAction::of(&Query::of_target(&head.target)) =>
        {
            Route::LegacyPage(LegacyRequest::Follow(action))
        }
        _ if reads && let Some(asset) = assets::find(&segments) => Route::Page(asset),
        _ => Route::Error(if reads { 404 } else { 400 }),
    }
}

/// `/logtail/NAME[/CHANNEL]`.
fn log_tail(rest: &[&str]) -> Route {
    let (name, stream) = match rest {
        [name] | [name, ""] => (name, Some(Stream::Stdout)),
        [name, channel] | [name, channel, ""] => (name, Stream::parse(channel)),
        _ => return Route::Error(404),
    };
    let Some(stream) = stream else { return Route::Error(404) };
    match Target::parse(name) {
        Target::Name { namespec, .. } if namespec.process.is_none() => Route::Error(404),
        target => Route::LogTail(target, stream),
    }
}

/// The segments of an absolute path, decoded; `None` if it is no path or decodes to something that is no
/// text.
fn segments(path: &str) -> Option<Vec<String>> {
    // As in Supervisor, http.py, there may be several in front: proxies that cut off a path often leave one too many.
    path.strip_prefix('/')?.trim_start_matches('/').split('/').map(decoded).collect()
}

/// `None` if there is a percent sign that is no code, or if it is no text then.
fn decoded(segment: &str) -> Option<String> {
    let byte = |byte: Byte| (byte != Byte::Plain(b'%')).then_some(byte.value());
    String::from_utf8(percent::bytes(segment).map(byte).collect::<Option<_>>()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routed(method: &str, target: &str) -> Route {
        let text = format!("{method} {target} HTTP/1.1\r\n\r\n");
        route(&Head::parse(text.as_bytes()).unwrap().unwrap().0)
    }

    #[test]
    fn whole_segments_lead_somewhere() {
        let tail = |name: &str, stream| Route::LogTail(Target::parse(name), stream);
        for (method, target, expected) in [
            ("POST", "/RPC2", Route::Rpc),
            ("POST", "/RPC2/", Route::Rpc),
            ("POST", "/RPC2?x", Route::Rpc),
            ("GET", "/RPC2", Route::Error(400)),
            ("POST", "/RPC2foo", Route::Error(400)),
            ("GET", "/rpc2", Route::Error(404)),
            ("POST", "/rpc2", Route::Error(400)),
            ("GET", "/ok.html", Route::Alive),
            ("GET", "//ok.html", Route::Alive),
            ("GET", "/ok.html//", Route::Error(404)),
            ("POST", "/ok.html", Route::Alive),
            ("DELETE", "/ok.html", Route::Error(400)),
            ("GET", "/logtail/a", tail("a", Stream::Stdout)),
            ("GET", "/logtail/a:b/stderr", tail("a:b", Stream::Stderr)),
            ("GET", "/logtail/a%3Ab%2Fc/stdout", tail("a:b/c", Stream::Stdout)),
            ("GET", "/logtail/%2561", tail("%61", Stream::Stdout)),
            ("GET", "/logtail/a:*", Route::Error(404)),
            ("GET", "/logtail/a/nonsense", Route::Error(404)),
            ("GET", "/logtail", Route::Error(404)),
            ("GET", "/logtailXX/a", Route::Error(404)),
            ("HEAD", "/logtail/a", Route::Error(400)),
            ("GET", "/mainlogtail", Route::MainLogTail),
            ("POST", "/mainlogtail", Route::Error(400)),
            ("GET", "http://host/RPC2", Route::Error(404)),
            ("GET", "/%ff", Route::Error(404)),
            ("GET", "/%zz", Route::Error(404)),
            ("GET", "/../../etc/passwd", Route::Error(404)),
            ("OPTIONS", "*", Route::Error(400)),
        ] {
            assert_eq!(routed(method, target), expected, "{method} {target}");
        }
    }
}
