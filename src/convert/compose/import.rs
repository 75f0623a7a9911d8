//! A configuration of a compose file: one program per service.

use super::interpolation::{self, finished};
use super::settings;
use crate::convert::import::{Imported, Names, name};
use crate::convert::losses::Losses;
use crate::convert::tree::{self, Node};
use std::collections::{HashMap, HashSet};

/// Services that extend each other in a row.
const LONGEST_CHAIN: usize = 32;

/// Makes a configuration of the text of a compose file.
///
/// # Errors
/// It is not such a file.
pub(in crate::convert) fn import(text: &str, file: &str, losses: &mut Losses) -> Result<Imported, String> {
    read(text, losses).map_err(|error| format!("{file}: {error}"))
}

fn read(text: &str, losses: &mut Losses) -> Result<Imported, String> {
    let root = tree::yaml(text)?;
    if interpolation::is_impossible(&root) {
        return Err("it has characters that no text has (U+FDD0 or U+FDD1)".to_string());
    }
    let Some(Node::Map(services)) = root.get("services") else {
        return Err("this is no compose file: it has no mapping that is called services".to_string());
    };
    let mut extended = Vec::new();
    let by_name: HashMap<&str, &Node> = services.iter().map(|(name, node)| (&**name, node)).collect();
    for (service, _) in services {
        let node = extend(&by_name, service, 0, losses)?;
        let node = interpolation::expanded(node, &format!("services.{service}"), losses)?;
        extended.push((service.clone(), node));
    }
    let top = Node::map([("secrets", root.get("secrets").cloned())]);
    let top = interpolation::expanded(top, "", losses)?;
    lose_top(&root, losses);
    let project = Project::of(&extended, top.get("secrets"), losses)?;
    let mut imported = Imported::default();
    for service in &project.services {
        let section = format!("program:{}", service.program);
        for (key, value) in settings::settings(&project, service, losses)?.iter() {
            imported.set(&section, key, finished(value));
        }
    }
    Ok(imported)
}

/// Notes what a file says besides its services.
fn lose_top(root: &Node, losses: &mut Losses) {
    let Node::Map(pairs) = root else { return };
    for (key, value) in pairs.iter().filter(|(key, _)| !key.starts_with("x-")) {
        let why = match key.as_str() {
            "services" | "version" | "name" | "secrets" => continue,
            "volumes" => "programs see this machine's files: make the directories that they need",
            "networks" => "programs see this machine's network: they find each other at localhost",
            "configs" => "put the files where the programs look for them",
            "include" => "import these files, too, and name them in [include]",
            _ => "nothing here is called so",
        };
        losses.note(key.as_str(), value.shown(), why);
    }
}

/// A service with what it extends.
fn extend(
    services: &HashMap<&str, &Node>,
    service: &str,
    depth: usize,
    losses: &mut Losses,
) -> Result<Node, String> {
    if depth > LONGEST_CHAIN {
        return Err(format!("services.{service}.extends: services extend each other in a circle"));
    }
    let Some(node) = services.get(service).copied() else {
        return Err(format!("there is no service that is called {service}, which another one extends"));
    };
    let Node::Map(pairs) = node else {
        return Err(format!("services.{service} is a mapping of settings, and this is {}", node.kind()));
    };
    let Some(extends) = node.get("extends") else { return Ok(node.clone()) };
    let own: Vec<_> = pairs.iter().filter(|(key, _)| key != "extends").cloned().collect();
    if let Some(file) = extends.get("file") {
        let why = format!("what {} says is left out: write it into this file", file.shown());
        losses.note(format!("services.{service}.extends"), extends.shown(), why);
        return Ok(Node::Map(own));
    }
    let Some(base) = extends.get("service").unwrap_or(extends).scalar() else {
        return Err(format!("services.{service}.extends names no service"));
    };
    let base = extend(services, base, depth + 1, losses)?;
    Ok(over(base, Node::Map(own)))
}

/// A value over another one: mappings and lists are joined, but for lists of words.
fn over(base: Node, own: Node) -> Node {
    match (base, own) {
        (Node::Map(mut base), Node::Map(own)) => {
            let places: HashMap<String, usize> =
                base.iter().enumerate().map(|(place, (key, _))| (key.clone(), place)).collect();
            for (key, value) in own {
                let replaces = matches!(key.as_str(), "command" | "entrypoint" | "test");
                match places.get(&key).and_then(|place| base.get_mut(*place)) {
                    Some((_, old)) if replaces => *old = value,
                    Some((_, old)) => *old = over(std::mem::replace(old, Node::Null), value),
                    None => base.push((key, value)),
                }
            }
            Node::Map(base)
        }
        (Node::List(base), Node::List(own)) => Node::List(base.into_iter().chain(own).collect()),
        // Variables can be a list in one service and a mapping in the other.
        (Node::Map(base), own @ Node::List(_)) => {
            let listed = base.into_iter().map(|(name, value)| match value.scalar() {
                Some(value) => Node::text(format!("{name}={value}")),
                None => Node::Text(name),
            });
            over(Node::List(listed.collect()), own)
        }
        (base @ Node::List(_), Node::Map(own)) => {
            let listed = super::read::pairs(&base).into_iter();
            let base = listed.map(|(name, value)| (name, value.map_or(Node::Null, Node::Text)));
            over(Node::Map(base.collect()), Node::Map(own))
        }
        (_, own) => own,
    }
}

/// A service that becomes a program.
pub(super) struct Service<'n> {
    /// Its name in the file.
    pub name: &'n str,
    /// Its name here.
    pub program: String,
    /// Its settings.
    pub node: &'n Node,
    /// What it runs. Not empty.
    pub words: Vec<String>,
}

/// All that services can say of each other.
pub(super) struct Project<'n> {
    /// Those that become programs, in the order of the file.
    pub services: Vec<Service<'n>>,
    /// Where those stand, by their names in the file.
    places: HashMap<&'n str, usize>,
    /// All names of the file.
    names: HashSet<&'n str>,
    /// Those on whose good end others wait.
    jobs: HashSet<String>,
    /// The paths of secrets.
    pub secrets: HashMap<&'n str, &'n str>,
}

impl<'n> Project<'n> {
    fn of(
        services: &'n [(String, Node)],
        secrets: Option<&'n Node>,
        losses: &mut Losses,
    ) -> Result<Project<'n>, String> {
        let mut project = Project {
            services: Vec::new(),
            places: HashMap::new(),
            names: services.iter().map(|(name, _)| name.as_str()).collect(),
            jobs: HashSet::new(),
            secrets: HashMap::new(),
        };
        if let Some(Node::Map(pairs)) = secrets {
            let files =
                pairs.iter().filter_map(|(name, value)| Some((name.as_str(), value.get("file")?.scalar()?)));
            project.secrets = files.collect();
        }
        let mut taken = Names::default();
        for (service, node) in services {
            for (dependency, condition) in dependencies(node) {
                if condition.get("condition").and_then(Node::scalar) == Some("service_completed_successfully")
                {
                    project.jobs.insert(dependency);
                }
            }
            let Some(words) = words(service, node)? else {
                let image = node.get("image").map(Node::shown).unwrap_or_default();
                let why = "it is left out, because what it runs stands in its image (docker image inspect shows it): write \
                           command, or run it in a container with command=docker run --rm";
                losses.note(format!("services.{service}"), image, why);
                continue;
            };
            let program = taken.own(&name(service));
            project.places.insert(service, project.services.len());
            project.services.push(Service { name: service, program, node, words });
        }
        Ok(project)
    }

    /// Whether others wait for the good end of a service.
    pub(super) fn is_job(&self, service: &str) -> bool {
        self.jobs.contains(service)
    }

    /// Another service.
    ///
    /// # Errors
    /// Why nothing can wait for it.
    pub(super) fn other(&self, service: &str) -> Result<&Service<'n>, &'static str> {
        let found = self.places.get(service).and_then(|place| self.services.get(*place));
        found.ok_or(match self.names.contains(service) {
            true => "that service is left out: start it before, or make a program of it",
            false => "there is no such service in this file",
        })
    }
}

/// The words that a service runs; `None` if its image says that.
fn words(service: &str, node: &Node) -> Result<Option<Vec<String>>, String> {
    let read = |key: &str| match node.get(key) {
        Some(value) => {
            super::read::words(value).map_err(|error| format!("services.{service}.{key}: {error}"))
        }
        None => Ok(None),
    };
    let (entrypoint, command) = (read("entrypoint")?, read("command")?);
    let words: Vec<String> = entrypoint.into_iter().chain(command).flatten().collect();
    Ok((!words.is_empty()).then_some(words))
}

/// What a service depends on, each with its conditions.
pub(super) fn dependencies(node: &Node) -> Vec<(String, Node)> {
    match node.get("depends_on") {
        Some(Node::Map(pairs)) => pairs.clone(),
        Some(other) => {
            super::read::texts(other).into_iter().map(|name| (name.to_string(), Node::Null)).collect()
        }
        None => Vec::new(),
    }
}
