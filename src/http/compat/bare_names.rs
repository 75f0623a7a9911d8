//! Resolves bare names as the Go reimplementations do: in `/api/v1`, `/readyz` and their own paths, a name that means nothing
//! in Supervisor's syntax is looked up inside of groups. XML-RPC, the log streams and the legacy page keep Supervisor's
//! rules.

use crate::control::ask;
use crate::control::request::Target;
use crate::http::api::{self, Act, Read};
use crate::http::compat::compat_go;
use crate::http::context::Context;

/// The process that a target means. A target that is no bare name, or not found, is returned unchanged.
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

/// Resolves the name in an endpoint below `/api/v1`.
pub(crate) async fn resolve_endpoint(context: &Context, endpoint: api::Endpoint) -> api::Endpoint {
    use api::Endpoint::{Act as Acts, Read as Reads};
    match endpoint {
        Reads(Read::Process(target)) => Reads(Read::Process(resolve(context, target).await)),
        Reads(Read::History(target)) => Reads(Read::History(resolve(context, target).await)),
        Reads(Read::Log(Some((target, stream)), part)) => {
            Reads(Read::Log(Some((resolve(context, target).await, stream)), part))
        }
        Acts(Act::On(target, action)) => Acts(Act::On(resolve(context, target).await, action)),
        Acts(Act::Enable(target, starts)) => Acts(Act::Enable(resolve(context, target).await, starts)),
        other => other,
    }
}

/// Resolves the name in a path of the Go reimplementations that changes nothing. Those that change something resolve names
/// themselves.
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
