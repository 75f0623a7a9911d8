//! Bare names in the style of the Go reimplementations: on the addresses for scripts, a name that means nothing in
//! Supervisor's style is looked for inside of groups. XML-RPC, the log streams and the old page stay Supervisor's.

use crate::control::ask;
use crate::control::request::Target;
use crate::http::api::{self, Act, Look};
use crate::http::compat::compat_go;
use crate::http::context::Context;

/// Whom a target means.
pub(crate) async fn found(context: &Context, target: Target) -> Target {
    let Target::Name { sent, .. } = &target else { return target };
    if sent.contains(':') {
        return target;
    }
    match context.handle().call(ask::Bearer(sent.clone())).await {
        Ok(namespec) => Target::parse(&namespec),
        Err(_) => target,
    }
}

/// An endpoint below `/api/v1` with the process that its path means.
pub(crate) async fn of_api(context: &Context, endpoint: api::Endpoint) -> api::Endpoint {
    use api::Endpoint::{Act as Acts, Look as Looks};
    match endpoint {
        Looks(Look::Process(target)) => Looks(Look::Process(found(context, target).await)),
        Looks(Look::History(target)) => Looks(Look::History(found(context, target).await)),
        Looks(Look::Log(Some((target, stream)), part)) => {
            Looks(Look::Log(Some((found(context, target).await, stream)), part))
        }
        Acts(Act::On(target, action)) => Acts(Act::On(found(context, target).await, action)),
        other => other,
    }
}

/// One of the Go reimplementations' endpoints that only look; those that act look for names themselves.
pub(crate) async fn of_go(context: &Context, endpoint: compat_go::Endpoint) -> compat_go::Endpoint {
    match endpoint {
        compat_go::Endpoint::Info(target) => compat_go::Endpoint::Info(found(context, target).await),
        compat_go::Endpoint::Log(target, stream) => {
            compat_go::Endpoint::Log(found(context, target).await, stream)
        }
        // No path has two nodes.
        compat_go::Endpoint::At(node, endpoint) => {
            compat_go::Endpoint::At(node, Box::new(Box::pin(of_go(context, *endpoint)).await))
        }
        other => other,
    }
}
