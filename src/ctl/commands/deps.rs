//! `deps`: who depends on whom.

use super::{Command, Completes, words};
use crate::ctl::error::{CtlError, Outcome};
use crate::ctl::exit::Exit;
use crate::ctl::graph::{self, Node};
use crate::ctl::orders;
use crate::ctl::session::Session;
use crate::ctl::tables::unsupported;
use crate::model::namespec::Namespec;
use std::collections::HashSet;

pub(super) const COMMAND: Command = Command {
    name: "deps",
    forms: &[
        ("deps", "Show what processes depend on, as a tree"),
        ("deps <name>", "Show what one process or group depends on, and who depends on it"),
        ("deps --json ...", "Show it as JSON"),
        ("deps --dot ...", "Print it for Graphviz: supervisorctl deps --dot | dot -Tsvg"),
    ],
    note: "",
    completes: Completes::Processes,
    run,
};

fn run(session: &mut Session, arguments: &str) -> Outcome {
    let (options, names) = match super::options(words(arguments), &["--json", "--dot"]) {
        Ok(parted) => parted,
        Err(message) => return session.misused(&COMMAND, &message, Exit::GENERIC),
    };
    if names.len() > 1 || options.len() > 1 {
        return session.misused(&COMMAND, "Error: too many arguments", Exit::GENERIC);
    }
    session.check()?;
    let found = match names.first() {
        None => Some((String::new(), session.daemon.dependencies(None).map_err(unsupported)?)),
        Some(name) => of(session, name)?,
    };
    let Some((name, nodes)) = found else {
        let name = names.first().copied().unwrap_or_default();
        session.complain(&format!("{name}: ERROR (no such process)"), Exit::GENERIC)?;
        orders::suggest(session, name);
        return Ok(());
    };
    match options.first() {
        Some(&"--json") => {
            let json = serde_json::to_value(&nodes).unwrap_or_default();
            Ok(session.screen.line(&format!("{json:#}"))?)
        }
        Some(_) => Ok(session.screen.bytes(graph::dot(&nodes).as_bytes())?),
        None if nodes.is_empty() && name.is_empty() => {
            Ok(session.screen.line("no process depends on another one")?)
        }
        None if nodes.is_empty() => {
            Ok(session.screen.line(&format!("{name}: depends on nothing, and nothing depends on it"))?)
        }
        None => draw(session, &name, &nodes),
    }
}

/// What hangs together with a name, and what the name stands for: a process, a group, or the only process of that name.
fn of(session: &mut Session, word: &str) -> Result<Option<(String, Vec<Node>)>, CtlError> {
    let mut candidates = vec![word.to_string()];
    if !word.contains(':') {
        candidates.push(format!("{word}:*"));
    }
    candidates.extend(session.bearer(word));
    for name in candidates {
        match session.daemon.dependencies(Some(&name)) {
            Ok(nodes) => return Ok(Some((name, nodes))),
            Err(problem) if problem.is_bad_name() => {}
            Err(problem) => return Err(unsupported(problem)),
        }
    }
    Ok(None)
}

/// The tree of all, or of what a name stands for with those that depend on it.
fn draw(session: &mut Session, name: &str, nodes: &[Node]) -> Outcome {
    if name.is_empty() {
        let tree = graph::tree(nodes, &[], &session.screen);
        return Ok(session.screen.drawn(tree.as_bytes())?);
    }
    let wanted = Namespec::parse(name);
    let is_meant = |node: &&Node| {
        let of_node = Namespec::parse(&node.name);
        of_node.group == wanted.group && (wanted.process.is_none() || of_node.process == wanted.process)
    };
    let meant: Vec<&Node> = nodes.iter().filter(is_meant).collect();
    let roots: Vec<&str> = meant.iter().map(|node| node.name.as_str()).collect();
    let tree = graph::tree(nodes, &roots, &session.screen);
    session.screen.drawn(tree.as_bytes())?;
    let mut told: HashSet<&str> = roots.into_iter().collect();
    let direct: Vec<&str> = meant
        .iter()
        .flat_map(|node| &node.dependents)
        .map(String::as_str)
        .filter(|name| told.insert(name))
        .collect();
    if direct.is_empty() {
        return Ok(());
    }
    session.screen.line(&format!("needed by {}", direct.join(", ")))?;
    let mut further = direct;
    let mut indirect: Vec<&str> = Vec::new();
    while !further.is_empty() {
        let above = nodes.iter().filter(|node| further.contains(&node.name.as_str()));
        let next: Vec<&str> = above
            .flat_map(|node| &node.dependents)
            .map(String::as_str)
            .filter(|name| told.insert(name))
            .collect();
        indirect.extend(&next);
        further = next;
    }
    if !indirect.is_empty() {
        session.screen.line(&format!("and through these by {}", indirect.join(", ")))?;
    }
    Ok(())
}
