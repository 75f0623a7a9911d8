//! A compose file of a configuration: one service per program.

use super::service;
use crate::convert::export::{Options, OutputFile, Source};
use crate::convert::losses::Losses;
use crate::convert::tree::Node;
use crate::convert::units::{Plan, shown};
use crate::convert::yaml;
use std::path::Path;

/// The name of the file that `docker compose` looks for.
const FILE: &str = "compose.yaml";

/// Makes one file with all services.
///
/// # Errors
/// There is no program to make one of.
pub(in crate::convert) fn export(
    source: &Source,
    options: &Options,
    losses: &mut Losses,
) -> Result<Vec<OutputFile>, String> {
    let plan = Plan::of(source, named, losses)?;
    let image = options.image(losses).to_string();
    let why = "it must hold the commands, the users and the files that the services name; mount what lies on this machine \
               with volumes";
    losses.note("image", image.clone(), why);
    plan.lose_umasks(source, losses);
    let mut secrets = Secrets::default();
    let mut services = Vec::new();
    for (at, unit) in plan.units.iter().enumerate() {
        services.push((unit.name.clone(), service::service(&plan, at, &image, &mut secrets, losses)));
    }
    let all = Node::map([
        ("services", Some(Node::Map(services))),
        ("secrets", (!secrets.0.is_empty()).then(|| secrets.definitions())),
    ]);
    let text = yaml::document(&dollars_doubled(all));
    Ok(vec![OutputFile { path: FILE.to_string(), text, section: None }])
}

/// The name of a service: letters, digits, and a few other characters.
fn named(name: &str) -> String {
    let is_possible = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let mut named: String = name.chars().map(|c| if is_possible(c) { c } else { '_' }).collect();
    if !named.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        named.insert(0, 's');
    }
    named
}

/// Compose expands variables in all values.
fn dollars_doubled(node: Node) -> Node {
    match node {
        Node::Text(text) => Node::Text(text.replace('$', "$$")),
        Node::List(items) => Node::List(items.into_iter().map(dollars_doubled).collect()),
        Node::Map(pairs) => {
            Node::Map(pairs.into_iter().map(|(key, value)| (key, dollars_doubled(value))).collect())
        }
        other => other,
    }
}

/// The files that services get copies of, by the names of their secrets.
#[derive(Default)]
pub(super) struct Secrets(Vec<(String, String)>);

impl Secrets {
    /// The name of the secret for a file. A second file with the same name gets another one.
    pub(super) fn name(&mut self, name: &str, path: &Path) -> String {
        let (base, path) = (named(name), shown(path));
        let mut own = base.clone();
        for number in 2.. {
            match self.0.iter().find(|(known, _)| *known == own) {
                Some((_, known)) if *known == path => return own,
                Some(_) => own = format!("{base}-{number}"),
                None => break,
            }
        }
        self.0.push((own.clone(), path));
        own
    }

    fn definitions(&self) -> Node {
        let definition = |path: &String| Node::map([("file", Some(Node::text(path)))]);
        Node::Map(self.0.iter().map(|(name, path)| (name.clone(), definition(path))).collect())
    }
}
