//! `[group:x]`, and the groups of program sections that no `[group:x]` names.

use crate::config::fcgi;
use crate::config::listeners;
use crate::config::programs::{self, section_name};
use crate::config::schema;
use crate::config::section::Context;
use crate::config::values;
use crate::model::config::{GroupConfig, GroupKind, Level, ProcessConfig, SourceFiles};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Reads every group, ascending by (priority, name).
pub(super) fn read(context: &Context<'_>, global: &BTreeMap<String, String>) -> Vec<Arc<GroupConfig>> {
    let sections: Vec<&str> = context.document.sections().collect();
    let of_kind =
        |prefix: &'static str| sections.iter().copied().filter(move |name| name.starts_with(prefix));
    let mut reader = Reader { context, global, grouped: HashSet::new(), groups: Vec::new() };
    // The order decides which error comes first, and who wins among groups with the same name.
    of_kind("group:").for_each(|section| reader.group(section));
    of_kind("program:").for_each(|section| reader.program(section));
    of_kind("eventlistener:").for_each(|section| reader.listener(section));
    of_kind("fcgi-program:").for_each(|section| reader.fcgi_program(section));
    reader.finish()
}

/// Why a member's name stands for no section.
enum Unknown {
    Missing(String),
    Ambiguous(String),
}

struct Reader<'c> {
    context: &'c Context<'c>,
    global: &'c BTreeMap<String, String>,
    /// Program sections that are members of some `[group:x]`.
    grouped: HashSet<&'c str>,
    /// With the section each is from.
    groups: Vec<(&'c str, GroupConfig)>,
}

impl<'c> Reader<'c> {
    /// A `[group:x]` and its members.
    fn group(&mut self, name: &'c str) {
        let section = self.context.section(name);
        let Some(group_name) = section_name(self.context, name) else { return };
        let programs = section.text("programs");
        let priority = section.get_or_default("priority", values::any_integer);
        let mut processes = Vec::new();
        let mut sections = vec![name];
        for program in programs.as_deref().map(values::strings).unwrap_or_default() {
            match self.member(name, program) {
                Ok(member) => {
                    self.grouped.insert(member);
                    sections.push(member);
                    processes.extend(self.processes_of_member(member, &group_name));
                }
                // It may be in a file that was left out, whose errors are told.
                Err(Unknown::Missing(text)) if self.context.document.lacks_files() => {
                    section.note(
                        Some("programs"),
                        Level::Error,
                        format!("{text}; the group does without it"),
                    );
                }
                Err(Unknown::Missing(text) | Unknown::Ambiguous(text)) => {
                    section.error(Some("programs"), text)
                }
            }
        }
        // Stable: among equals the order of `programs` stays.
        processes.sort_by_key(|process| process.priority);
        self.add(&sections, &group_name, priority, GroupKind::Group, processes);
    }

    /// The section a member's name stands for.
    fn member(&self, group: &str, program: &str) -> Result<&'c str, Unknown> {
        let find = |prefix: &str| {
            let wanted = format!("{prefix}:{program}");
            self.context.document.section_name(&wanted)
        };
        match (find("program"), find("fcgi-program")) {
            (Some(_), Some(_)) => Err(Unknown::Ambiguous(format!(
                "[{group}] name {program} is ambiguous (exists as program and fcgi-program)"
            ))),
            (None, None) => {
                Err(Unknown::Missing(format!("[{group}] names unknown program or fcgi-program {program}")))
            }
            (Some(section), None) | (None, Some(section)) => Ok(section),
        }
    }

    fn processes_of_member(&self, section: &'c str, group_name: &str) -> Vec<Arc<ProcessConfig>> {
        let socket = section.strip_prefix("fcgi-program:").and_then(|name| {
            fcgi::read_socket_of_member(self.context, section, &values::name(name).ok()?.value)
        });
        programs::read(self.context, section, group_name, self.global, socket)
    }

    /// A `[program:x]` of its own.
    fn program(&mut self, name: &'c str) {
        if self.grouped.contains(name) {
            return;
        }
        let Some(program_name) = section_name(self.context, name) else { return };
        let priority = self.context.section(name).get("priority", values::any_integer);
        let priority = priority.unwrap_or(schema::PROGRAM_PRIORITY);
        let processes = programs::read(self.context, name, &program_name, self.global, None);
        self.add(&[name], &program_name, priority, GroupKind::Program, processes);
    }

    /// An `[eventlistener:x]`.
    fn listener(&mut self, name: &'c str) {
        let section = self.context.section(name);
        let Some(pool_name) = section_name(self.context, name) else { return };
        let priority = section.get("priority", values::any_integer).unwrap_or(schema::POOL_PRIORITY);
        let pool = listeners::read(&section);
        let processes = programs::read(self.context, name, &pool_name, self.global, None);
        if let Some(pool) = pool {
            self.add(&[name], &pool_name, priority, GroupKind::EventListener(pool), processes);
        }
    }

    /// An `[fcgi-program:x]` of its own.
    fn fcgi_program(&mut self, name: &'c str) {
        if self.grouped.contains(name) {
            return;
        }
        let Some(program_name) = section_name(self.context, name) else { return };
        let priority = self.context.section(name).get("priority", values::any_integer);
        let priority = priority.unwrap_or(schema::PROGRAM_PRIORITY);
        let socket = fcgi::read_socket(self.context, name, &program_name);
        let processes = programs::read(self.context, name, &program_name, self.global, socket);
        self.add(&[name], &program_name, priority, GroupKind::FcgiProgram, processes);
    }

    /// Adds what the first of these sections makes, with the others as its members.
    fn add(
        &mut self,
        sections: &[&'c str],
        name: &str,
        priority: i64,
        kind: GroupKind,
        processes: Vec<Arc<ProcessConfig>>,
    ) {
        // All callers name one.
        let section = sections[0];
        let processes = self.without_doubles(section, name, processes);
        let files = SourceFiles(self.context.document.included_files(sections));
        self.groups.push((section, GroupConfig { name: name.into(), priority, kind, processes, files }));
    }

    /// Leaves one process of every name: the last, as in Supervisor, which says nothing about it.
    fn without_doubles(
        &self,
        section: &str,
        group: &str,
        processes: Vec<Arc<ProcessConfig>>,
    ) -> Vec<Arc<ProcessConfig>> {
        let mut index: HashMap<Arc<str>, usize> = HashMap::with_capacity(processes.len());
        let mut kept: Vec<Arc<ProcessConfig>> = Vec::with_capacity(processes.len());
        for process in processes {
            match index.get(&process.name) {
                None => {
                    index.insert(process.name.clone(), kept.len());
                    kept.push(process);
                }
                Some(&earlier) => {
                    let text = format!(
                        "group '{group}' has more than one process named '{}'; only the last one is used",
                        process.name
                    );
                    self.context.section(section).note(None, Level::Warn, text);
                    kept[earlier] = process;
                }
            }
        }
        kept
    }

    /// Sorts the groups. Among those with the same name the first stays, as in Supervisor.
    fn finish(mut self) -> Vec<Arc<GroupConfig>> {
        self.groups.sort_by(|(_, a), (_, b)| (a.priority, &a.name).cmp(&(b.priority, &b.name)));
        let mut sections: HashMap<Arc<str>, &str> = HashMap::with_capacity(self.groups.len());
        let mut kept = Vec::with_capacity(self.groups.len());
        for (section, group) in self.groups {
            match sections.get(&group.name) {
                None => {
                    sections.insert(group.name.clone(), section);
                    kept.push(Arc::new(group));
                }
                Some(first) => {
                    let text = format!(
                        "[{section}] is not used: its group would be named '{}' like that of [{first}]",
                        group.name
                    );
                    self.context.section(section).note(None, Level::Warn, text);
                }
            }
        }
        kept
    }
}
