//! Namespecs: the names by which one process, or all processes of a group, are addressed.

use std::fmt;

/// The longest name of a group or a process, in bytes. A slot of the memory that outlives the manager has room for it.
pub const MAX_NAME_BYTES: usize = 252;

/// A parsed namespec. The text is split at its first colon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespec {
    /// What stands before the first colon; the whole text if there is none.
    pub group: String,
    /// `None` stands for every process of the group (`group:*` and `group:`).
    pub process: Option<String>,
}

impl Namespec {
    /// Reads a namespec; every text is one. A bare name is the process of that name in the group of that name.
    pub fn parse(text: &str) -> Namespec {
        let (group, process) = match text.split_once(':') {
            None => (text, Some(text)),
            Some((group, "" | "*")) => (group, None),
            Some((group, process)) => (group, Some(process)),
        };
        Namespec { group: group.to_string(), process: process.map(str::to_string) }
    }
}

/// Writes the shortest namespec of a process: `name` if its group has the same name, else `group:name`.
pub fn display(group: &str, process: &str) -> String {
    if group == process { process.to_string() } else { format!("{group}:{process}") }
}

/// The namespec of the only process with this name, in whatever group. The Go reimplementations read a bare name so; for
/// Supervisor it is a process in the group of the same name, and this is for names that mean nothing there.
///
/// `None` if no process or several have the name, if the name contains a colon, or if a group of that name has such a
/// process. `processes` are pairs of group and name.
pub fn bearer<'p>(name: &str, processes: impl Iterator<Item = (&'p str, &'p str)>) -> Option<String> {
    if name.contains(':') {
        return None;
    }
    let mut found = None;
    for (group, process) in processes.filter(|(_, process)| *process == name) {
        if group == name || found.is_some() {
            return None;
        }
        found = Some(display(group, process));
    }
    found
}

impl fmt::Display for Namespec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.process {
            Some(process) => f.write_str(&display(&self.group, process)),
            None => write!(f, "{}:*", self.group),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_in_a_group_if_one_process_bears_it() {
        let processes = [("g", "x"), ("g", "y"), ("h", "y"), ("z", "z"), ("h", "z"), ("g", "h")];
        for (name, expected) in [
            ("x", Some("g:x")),
            ("y", None),
            // What it means already it goes on to mean.
            ("z", None),
            // A group of that name is no process.
            ("h", Some("g:h")),
            ("g", None),
            ("g:x", None),
            ("", None),
        ] {
            assert_eq!(bearer(name, processes.into_iter()).as_deref(), expected, "{name:?}");
        }
    }

    #[test]
    fn the_table_of_the_reference() {
        for (text, group, process) in [
            ("a", "a", Some("a")),
            ("a:b", "a", Some("b")),
            ("a:b:c", "a", Some("b:c")),
            ("a:*", "a", None),
            ("a:", "a", None),
            ("*", "*", Some("*")),
            ("", "", Some("")),
            (":x", "", Some("x")),
            (":", "", None),
        ] {
            let expected = Namespec { group: group.into(), process: process.map(str::to_string) };
            assert_eq!(Namespec::parse(text), expected, "{text:?}");
        }
    }
}
