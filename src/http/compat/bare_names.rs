//! Bare names in the style of the Go reimplementations: on the addresses for scripts, a name that means nothing in
//! Supervisor's style is looked for inside of groups. XML-RPC, the log streams and the old page stay Supervisor's.

use crate::control::ask;
use crate::control::request::Target;
use crate::http::api::{self, Act, Read};
use crate::http::compat::compat_go;
use crate::http::context::Context;

/// Whom a target means.
pub(crate) async fn resolve(context: &Context, target: Target) -> Target {
    let Target::Name { sent, .. } = &target else { return target };
    if sent.contains(':') {
        return target;
    }
    match context.handle().call(ask::ResolveName(sent.clone())).await {
        Ok(namespec) => Target::parse(&namespec),
        Err(_) => target,
    }
}

/// An endpoint below `/api/v1` with the process that its path means.
pub(crate) async fn resolve_endpoint(context: &Context, endpoint: api::Endpoint) -> api::Endpoint {
    use api::Endpoint::{Act as Acts, Read as Reads};
    match endpoint {
        Reads(Read::Process(target)) => Reads(Read::Process(resolve(context, target).await)),
        Reads(Read::History(target)) => Reads(Read::History(resolve(context, target).await)),
        Reads(Read::Log(Some((target, stream)), part)) => {
            Reads(Read::Log(Some((resolve(context, target).await, stream)), part))
        }
        Acts(Act::On(target, action)) => Acts(Act::On(resolve(context, target).await, action)),
        other => other,
    }
}

/// One of the Go reimplementations' endpoints that only look; those that act look for names themselves.
pub(crate) async fn resolve_go_endpoint(
    context: &Context,
    endpoint: compat_go::Endpoint,
) -> compat_go::Endpoint {
    match endpoint {
        compat_go::Endpoint::Info(target) => compat_go::Endpoint::Info(resolve(context, target).await),
        compat_go::Endpoint::Log(target, stream) => {
            compat_go::Endpoint::Log(resolve(context, target).await, stream)
        }
        // No path has two nodes.
        compat_go::Endpoint::At(node, endpoint) => {
            compat_go::Endpoint::At(node, Box::new(Box::pin(resolve_go_endpoint(context, *endpoint)).await))
        }
        other => other,
    }
}
