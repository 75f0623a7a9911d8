//! Which sections stand in for the keys that a program's section lacks: its group's, those named by `inherit`, and
//! `[program-defaults]`, the nearest first. `[DEFAULT]` is the last for every section, which the document knows.

use crate::config::document::Document;
use crate::config::environment;
use crate::config::error::ConfigError;
use crate::config::schema;
use crate::config::section::{Context, Extra, Section};
use crate::config::surroundings::Surroundings;
use crate::config::values;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The section for all programs.
pub(super) const FOR_ALL: &str = "program-defaults";
/// What the header begins with of a section for those that name it.
const NAMED: &str = "program-defaults:";
/// The key that names such sections.
const INHERIT: &str = "inherit";
/// More sections than anybody can keep in mind that take values from each other.
const LONGEST_CHAIN: usize = 100;

/// What a listener never takes from others: it cannot have `redirect_stderr`, and it starts before programs.
const NOT_FOR_LISTENERS: [&str; 2] = ["redirect_stderr", "priority"];

/// Whether a key of one section stands in for that of another, for which it is a level.
pub(super) fn stands_in(section: &str, level: &str, key: &str) -> bool {
    let is_listener = section.starts_with("eventlistener:");
    schema::is_for_programs(level, key) && !(is_listener && NOT_FOR_LISTENERS.contains(&key))
}

/// Whether a section only says what others lack.
pub(super) fn is_for_others(section: &str) -> bool {
    section == FOR_ALL || section == schema::DEFAULTS_OF_RELATIVES || section.starts_with(NAMED)
}

/// Whether a section says what programs lack that name it.
pub(super) fn is_named(section: &str) -> bool {
    section.starts_with(NAMED)
}

/// Tells the document which sections stand in for which. What is wrong about it is noted there.
pub(super) fn resolve(document: &mut Document, surroundings: &Surroundings) {
    let uses_levels = |section: &str| is_for_others(section) || is_group_with_keys(document, section);
    let names_some = |section: &str| document.own(section, INHERIT).is_some();
    if !document.sections().any(|section| uses_levels(section) || names_some(section))
        && !names_some(Document::DEFAULT)
    {
        return;
    }
    let mut context = Context::new(document, surroundings);
    context.environment.extend(environment_of_daemon(document, surroundings));
    let mut resolver = Resolver { context: &context, chains: HashMap::new(), errors: Vec::new() };
    let found = resolver.all();
    let mut errors = resolver.errors;
    // All else is told when it is read.
    errors.extend(context.finish().0.into_iter().filter(|error| error.key.as_deref() == Some(INHERIT)));
    for (section, levels) in found {
        document.set_levels(&section, levels);
    }
    document.note_errors(errors);
}

/// What `[supervisord] environment` sets. Whatever is wrong with it is told where it is read.
fn environment_of_daemon(document: &Document, surroundings: &Surroundings) -> BTreeMap<String, String> {
    let names = Extra { host_node_name: Some(&surroundings.host_node_name), ..Extra::default() };
    let context = Context::new(document, surroundings);
    let text = context.section("supervisord").with(names).text("environment");
    text.and_then(|text| environment::parse(&text).ok()).map(|reading| reading.value).unwrap_or_default()
}

fn is_group_with_keys(document: &Document, section: &str) -> bool {
    section.starts_with("group:")
        && document.own_keys(section).any(|(key, _)| schema::is_for_programs(section, key))
}

fn is_program(section: &str) -> bool {
    ["program:", "fcgi-program:", "eventlistener:"].iter().any(|kind| section.starts_with(kind))
}

struct Resolver<'c> {
    context: &'c Context<'c>,
    /// By name of `[program-defaults:NAME]`: itself and what it inherits, the nearest first.
    chains: HashMap<String, Vec<Arc<str>>>,
    errors: Vec<ConfigError>,
}

impl<'c> Resolver<'c> {
    fn all(&mut self) -> Vec<(String, Vec<Arc<str>>)> {
        let document = self.context.document;
        let groups = self.groups();
        let for_all: Vec<Arc<str>> = [FOR_ALL, schema::DEFAULTS_OF_RELATIVES]
            .into_iter()
            .filter_map(|name| document.section_name(name).map(Arc::from))
            .collect();
        // Chains that no program names are looked at as well.
        let named: Vec<&str> = document.sections().filter(|section| section.starts_with(NAMED)).collect();
        for section in named {
            self.chain(section, &mut Vec::new());
        }
        let mut found = Vec::new();
        for section in document.sections().filter(|section| is_program(section)) {
            let group = groups.get(section);
            let mut levels: Vec<Arc<str>> = group.cloned().into_iter().collect();
            let group = group.and_then(|group| document.section_name(group));
            let group = group.filter(|group| document.has_own(group, INHERIT));
            let namer = if document.has_own(section, INHERIT) { section } else { group.unwrap_or(section) };
            levels.extend(self.inherited(namer, &mut Vec::new()));
            levels.extend(for_all.iter().cloned());
            if !levels.is_empty() {
                found.push((section.to_string(), levels));
            }
        }
        found
    }

    /// The groups with keys for members, by the section of a member.
    fn groups(&mut self) -> HashMap<String, Arc<str>> {
        let document = self.context.document;
        let mut of_member: HashMap<String, Arc<str>> = HashMap::new();
        // In how many groups a program is, one of which has keys.
        let mut seen: HashMap<String, &str> = HashMap::new();
        for group in document.sections().filter(|section| section.starts_with("group:")) {
            let has_keys = is_group_with_keys(document, group);
            let section = self.quiet(group);
            let programs = section.text("programs");
            for name in programs.as_deref().map(values::strings).unwrap_or_default() {
                let kinds = ["program", "fcgi-program"].map(|kind| format!("{kind}:{name}"));
                let Some(member) = kinds.iter().find_map(|member| document.section_name(member)) else {
                    continue;
                };
                let earlier = seen.insert(member.to_string(), group).filter(|earlier| *earlier != group);
                if let Some(earlier) = earlier
                    && (has_keys || of_member.contains_key(member))
                {
                    let text = format!(
                        "[{member}] is in [{earlier}], too, and so it is not clear whose keys it takes: write them into \
                         [{NAMED}NAME] instead, and inherit=NAME into [{member}]"
                    );
                    self.errors.push(section.located(Some("programs"), text));
                } else if has_keys {
                    of_member.insert(member.to_string(), group.into());
                }
            }
        }
        of_member
    }

    /// A view on a section in which nothing is told that is told when it is read.
    fn quiet(&self, section: &'c str) -> Section<'c> {
        let names =
            Extra { host_node_name: Some(&self.context.surroundings.host_node_name), ..Extra::default() };
        self.context.section(section).with(names)
    }

    /// What a section names with `inherit`, with all that these inherit, each once and the nearest first.
    fn inherited(&mut self, section: &'c str, above: &mut Vec<&'c str>) -> Vec<Arc<str>> {
        let document = self.context.document;
        // What is to hold for all would make every `[program-defaults:NAME]` inherit itself.
        if section.starts_with(NAMED) && !document.has_own(section, INHERIT) {
            return Vec::new();
        }
        let view = self.quiet(section);
        let Some(text) = view.text(INHERIT) else { return Vec::new() };
        let mut found: Vec<Arc<str>> = Vec::new();
        for name in values::strings(&text).into_iter().filter(|name| !name.is_empty()) {
            let Some(named) = self.named(name) else {
                let text = format!("there is no section [{NAMED}{name}]");
                self.errors.push(view.located(Some(INHERIT), text));
                continue;
            };
            if let Some(at) = above.iter().position(|other| *other == named) {
                let path: Vec<String> =
                    above[at..].iter().chain([&named]).map(|one| format!("[{one}]")).collect();
                let text = format!("it inherits itself: {}", path.join(" -> "));
                self.errors.push(view.located(Some(INHERIT), text));
                continue;
            }
            if above.len() >= LONGEST_CHAIN {
                let text = format!("more than {LONGEST_CHAIN} sections inherit one another");
                self.errors.push(view.located(Some(INHERIT), text));
                continue;
            }
            for level in self.chain(named, above) {
                if !found.contains(&level) {
                    found.push(level);
                }
            }
        }
        found
    }

    /// A `[program-defaults:NAME]` and what it inherits, the nearest first.
    fn chain(&mut self, section: &'c str, above: &mut Vec<&'c str>) -> Vec<Arc<str>> {
        if let Some(known) = self.chains.get(section) {
            return known.clone();
        }
        above.push(section);
        let mut levels = vec![Arc::from(section)];
        levels.extend(self.inherited(section, above));
        above.pop();
        self.chains.insert(section.to_string(), levels.clone());
        levels
    }

    /// The section that a name of `inherit` stands for.
    fn named(&self, name: &str) -> Option<&'c str> {
        let document = self.context.document;
        let is_meant = |section: &&str| section.strip_prefix(NAMED).is_some_and(|this| this.trim() == name);
        document.section_name(&format!("{NAMED}{name}")).or_else(|| document.sections().find(is_meant))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn resolved(text: &str) -> Document {
        let mut document = Document::parse(Path::new("/etc/x.conf"), text).expect("of the dialect");
        resolve(&mut document, &Surroundings::of_this_process());
        document
    }

    #[test]
    fn levels_are_in_order() {
        let document = resolved(
            "[program-default]\n[program-defaults]\n[group:g]\nprograms=x, f\numask=1\n[group:plain]\nprograms=y\n\
             [program-defaults: spaced ]\ninherit=base\n[program-defaults:base]\n[program-defaults:other]\n\
             inherit=base\n[program:x]\ninherit=other, spaced\n[fcgi-program:f]\n[program:y]\n[eventlistener:e]\n\
             inherit=base\n",
        );
        for (section, expected) in [
            ("program:x", "group:g program-defaults:other program-defaults:base program-defaults: spaced "),
            ("fcgi-program:f", "group:g"),
            ("program:y", ""),
            ("eventlistener:e", "program-defaults:base"),
        ] {
            let levels: Vec<&str> = document.levels(section).iter().map(|level| &**level).collect();
            let expected = format!("{expected} program-defaults program-default");
            assert_eq!(levels.join(" "), expected.trim_start(), "{section}");
        }
        assert_eq!(document.errors(), []);
        assert_eq!(document.levels("group:g").len() + document.levels("supervisord").len(), 0);
    }

    #[test]
    fn a_chain_has_an_end() {
        let link = |n: usize| format!("[program-defaults:{n}]\ninherit={}\n", n + 1);
        let chain: String = (0..150).map(link).collect();
        let document = resolved(&format!("{chain}[program-defaults:150]\n[program:x]\ninherit=0\n"));
        let errors = document.errors();
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].text, "more than 100 sections inherit one another");
        assert_eq!(errors[0].section.as_deref(), Some("program-defaults:99"));
    }
}
