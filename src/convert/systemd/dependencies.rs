//! `After=`, `Requires=` and their kin as `depends_on`.

use crate::convert::losses::Losses;
use crate::convert::systemd::parse::{Directive, UnitFile};
use crate::convert::systemd::reader::Reader;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

/// The programs that units have become.
#[derive(Default)]
pub(super) struct Known {
    programs: BTreeMap<String, Program>,
}

struct Program {
    name: String,
    is_oneshot: bool,
    numbers: Option<(u64, usize, usize)>,
}

impl Known {
    /// Adds the program that a unit, or an instance of a template, has become.
    pub(super) fn add(
        &mut self,
        unit: &UnitFile,
        name: &str,
        program: &str,
        numbers: Option<(u64, usize, usize)>,
    ) {
        let kind = unit.directives.iter().rfind(|it| it.section == "Service" && it.key == "Type");
        let is_oneshot = kind.is_some_and(|kind| kind.value == "oneshot");
        self.programs.insert(name.to_string(), Program { name: program.to_string(), is_oneshot, numbers });
    }

    /// The program of the template of which the name is an instance.
    pub(super) fn of_instance(&self, name: &str) -> Option<&str> {
        self.find(name).filter(|(_, number)| number.is_some()).map(|(found, _)| &*found.name)
    }

    /// The program of a unit, and the number of its process if it is one of several.
    fn find(&self, name: &str) -> Option<(&Program, Option<u64>)> {
        if let Some(program) = self.programs.get(name) {
            return Some((program, None));
        }
        let (front, rest) = name.split_once('@')?;
        let instance = rest.strip_suffix(".service")?;
        let program = self.programs.get(&format!("{front}@.service"))?;
        let (first, count, digits) = program.numbers?;
        let number: u64 = instance.parse().ok()?;
        let is_there =
            (first..first + count as u64).contains(&number) && format!("{number:0digits$}") == instance;
        is_there.then_some((program, Some(number)))
    }
}

/// An item of `depends_on`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    program: String,
    number: Option<String>,
    condition: &'static str,
    is_soft: bool,
}

impl Item {
    fn text(&self) -> String {
        let number =
            self.number.as_ref().map(|number| format!(":{}_{number}", self.program)).unwrap_or_default();
        format!("{}{number}{}{}", self.program, self.condition, if self.is_soft { "?" } else { "" })
    }
}

/// What one program waits for.
pub(super) struct Links {
    program: String,
    items: Vec<Item>,
    /// Programs that wait for this one.
    before: Vec<String>,
    restart: Option<&'static str>,
    is_oneshot: bool,
}

/// Takes the dependencies of a unit.
pub(super) fn read(reader: &mut Reader<'_>, program: &str, known: &Known, groups: &[String]) -> Links {
    let mut links = Links {
        program: program.to_string(),
        items: Vec::new(),
        before: Vec::new(),
        restart: None,
        is_oneshot: reader.is_oneshot(),
    };
    let mut take = |key: &str| reader.unit.take_words("Unit", key);
    let (after, wants, part_of, before) = (take("After"), take("Wants"), take("PartOf"), take("Before"));
    let bound = take("BindsTo");
    let hard = [take("Requires"), take("Requisite"), bound.clone()].concat();
    let names = |list: &[(String, Rc<Directive>)]| -> HashSet<String> {
        list.iter().map(|(word, _)| word.clone()).collect()
    };
    let (in_hard, in_after, in_wants, in_part_of) =
        (names(&hard), names(&after), names(&wants), names(&part_of));
    for (name, directive) in &hard {
        add(&mut links, known, reader, name, directive, false);
        if in_part_of.contains(name) {
            links.restart = Some("restart");
        }
    }
    if !bound.is_empty() && bound.iter().any(|(name, _)| known.find(name).is_some()) {
        links.restart = Some("stop");
    }
    for (name, directive) in after.iter().filter(|(name, _)| !in_hard.contains(name)) {
        let waits_for_end = in_wants.contains(name) && known.find(name).is_some_and(|(it, _)| it.is_oneshot);
        if waits_for_end {
            push(&mut links, known, name, ":exited", false);
        } else {
            add(&mut links, known, reader, name, directive, true);
        }
    }
    for (name, directive) in wants.iter().filter(|(name, _)| !in_hard.contains(name)) {
        if !in_after.contains(name) || known.find(name).is_some_and(|(it, _)| !it.is_oneshot) {
            reader.lose(
                directive,
                &format!("{name} is not started for its sake: write depends_on without ? for that"),
            );
        }
    }
    for (name, directive) in part_of.iter().filter(|(name, _)| !in_hard.contains(name)) {
        let is_group =
            name.strip_suffix(".target").is_some_and(|stem| groups.iter().any(|group| group == stem));
        // A target that is not a group stands for everything.
        if !is_group && !name.ends_with(".target") {
            reader.lose(directive, "it is restarted with another program only if it depends on it");
        }
    }
    for (name, directive) in &before {
        match known.find(name) {
            Some((other, _)) => links.before.push(other.name.clone()),
            None => reader.lose(directive, &unknown(name)),
        }
    }
    links
}

fn unknown(name: &str) -> String {
    if name.ends_with(".service") {
        format!("{name} is not among the files")
    } else {
        format!("supervisord starts when {name} has been reached, or earlier: order its own unit")
    }
}

fn add(
    links: &mut Links,
    known: &Known,
    reader: &mut Reader<'_>,
    name: &str,
    directive: &Directive,
    is_soft: bool,
) {
    let condition = match known.find(name) {
        None => return reader.lose(directive, &unknown(name)),
        Some((program, _)) if program.is_oneshot => ":done",
        Some(_) => "",
    };
    push(links, known, name, condition, is_soft);
}

fn push(links: &mut Links, known: &Known, name: &str, condition: &'static str, is_soft: bool) {
    let Some((program, number)) = known.find(name) else { return };
    let digits = program.numbers.map_or(1, |(_, _, digits)| digits);
    let number = number.map(|number| format!("{number:0digits$}"));
    let item = Item { program: program.name.clone(), number, condition, is_soft };
    if program.name == links.program || links.items.contains(&item) {
        return;
    }
    links.items.push(item);
    // All processes are the program.
    if let Some((_, count, _)) = program.numbers {
        let is_alike = |it: &Item| {
            it.program == program.name
                && it.number.is_some()
                && it.condition == condition
                && it.is_soft == is_soft
        };
        if links.items.iter().filter(|it| is_alike(it)).count() == count {
            links.items.retain(|it| !is_alike(it));
            links.items.push(Item { program: program.name.clone(), number: None, condition, is_soft });
        }
    }
}

/// The keys that follow: program, key, value. An order that would go in a circle is lost.
pub(super) fn settle(mut all: Vec<Links>, losses: &mut Losses) -> Vec<(String, &'static str, String)> {
    let mut reversed = Vec::new();
    for links in &all {
        let condition = if links.is_oneshot { ":done" } else { "" };
        reversed.extend(links.before.iter().map(|later| (later.clone(), links.program.clone(), condition)));
    }
    for (later, earlier, condition) in reversed {
        if let Some(links) = all.iter_mut().find(|links| links.program == later)
            && !links.items.iter().any(|item| item.program == earlier)
        {
            links.items.push(Item { program: earlier, number: None, condition, is_soft: true });
        }
    }
    without_circles(&mut all, losses);
    let mut settings = Vec::new();
    for links in all.into_iter().filter(|links| !links.items.is_empty()) {
        let items: Vec<String> = links.items.iter().map(Item::text).collect();
        settings.push((links.program.clone(), "depends_on", items.join(", ")));
        if let Some(restart) = links.restart {
            settings.push((links.program, "depends_restart", restart.to_string()));
        }
    }
    settings
}

/// Takes out what closes a circle, as systemd does.
fn without_circles(all: &mut [Links], losses: &mut Losses) {
    let mut reached: HashMap<String, BTreeSet<String>> = HashMap::new();
    let mut waited_for: BTreeSet<String> = BTreeSet::new();
    for links in all.iter_mut() {
        let own = links.program.clone();
        let mut kept = Vec::new();
        for item in std::mem::take(&mut links.items) {
            // Nobody is waiting for it yet: then there is no circle.
            if waited_for.contains(&own) && reaches(&reached, &item.program, &own) {
                losses.note(
                    format!("[program:{own}] depends_on"),
                    item.text(),
                    "the order would go in a circle: it is left out",
                );
            } else {
                waited_for.insert(item.program.clone());
                reached.entry(own.clone()).or_default().insert(item.program.clone());
                kept.push(item);
            }
        }
        links.items = kept;
    }
}

/// Whether one program waits for another by way of others.
fn reaches(edges: &HashMap<String, BTreeSet<String>>, from: &str, to: &str) -> bool {
    let (mut open, mut seen) = (vec![from], BTreeSet::new());
    while let Some(program) = open.pop() {
        if program == to {
            return true;
        }
        if seen.insert(program) {
            open.extend(edges.get(program).into_iter().flatten().map(String::as_str));
        }
    }
    false
}
