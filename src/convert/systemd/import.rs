//! From units to a configuration.

use crate::convert::import::{self as input, Imported, InputFile, Names, Settings};
use crate::convert::losses::{Losses, Said};
use crate::convert::systemd::dependencies::{self, Known};
use crate::convert::systemd::export::OWN_SECTION;
use crate::convert::systemd::keys::KEYS;
use crate::convert::systemd::parse::{UnitFile, units};
use crate::convert::systemd::reader::{IMPORTED, Reader};
use crate::convert::systemd::sockets::Sockets;
use crate::convert::systemd::words::{Specifiers, blank_separated, unescaped_name};
use std::collections::{BTreeMap, HashSet};

/// What says something about the unit and nothing about the program.
const ABOUT_UNITS: [(&str, &str); 4] = [
    ("Unit", "Description"),
    ("Unit", "Documentation"),
    ("Unit", "SourcePath"),
    ("Install", "DefaultInstance"),
];

/// What to do instead of some directives; the longest beginning counts.
const INSTEAD: [(&str, &str); 10] = [
    ("Condition", "nothing decides whether a program starts: test it in the command"),
    ("Assert", "nothing decides whether a program starts: test it in the command"),
    ("Protect", "say with read_only_paths and read_write_paths which files it can reach"),
    ("ReadWritePaths", "say with read_only_paths and read_write_paths which files it can reach"),
    ("ReadOnlyPaths", "say with read_only_paths and read_write_paths which files it can reach"),
    ("InaccessiblePaths", "say with read_only_paths and read_write_paths which files it can reach"),
    ("On", "notice the end of a program with an event listener"),
    ("RuntimeDirectory", "make the directory in the command, or beforehand"),
    ("StateDirectory", "make the directory beforehand"),
    ("Slice", "a program has a control group of its own if one of its keys needs it"),
];

/// The keys that an export says exactly and that an import reads back.
pub fn both() -> Vec<&'static str> {
    let exact = KEYS.iter().filter(|(_, said)| matches!(said, Said::As(_))).map(|(key, _)| *key);
    exact.filter(|key| IMPORTED.contains(key)).collect()
}

/// What becomes of one service.
struct Plan<'u> {
    unit: &'u UnitFile,
    program: String,
    names: Specifiers,
    /// For a template whose instances are numbers in a row: the first, how many, and how many digits they have.
    numbers: Option<(u64, usize, usize)>,
}

/// Makes a configuration of units.
pub(super) fn import(files: &[InputFile], losses: &mut Losses) -> Result<Imported, String> {
    let units = units(files, losses)?;
    let wanted = wanted_units(&units);
    let groups = groups(&units);
    let mut imported = Imported::default();
    let mut sockets = Sockets::new(&units);
    let mut known = Known::default();
    let (mut plans, mut taken) = (Vec::new(), Names::default());
    for unit in units.iter().filter(|unit| unit.is("service")) {
        let prefix = group_of(unit, &groups).map(|group| format!("{group}-"));
        for plan in planned(unit, prefix.as_deref(), &wanted, losses) {
            let plan = Plan { program: taken.own(&plan.program), ..plan };
            known.add(plan.unit, &plan.names.unit, &plan.program, plan.numbers);
            plans.push(plan);
        }
    }
    let wanted_instances: HashSet<&str> = wanted.iter().filter_map(|name| known.of_instance(name)).collect();
    let mut links = Vec::new();
    let mut members: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for plan in plans {
        let group = group_of(plan.unit, &groups);
        let program = plan.program.clone();
        let is_wanted =
            wanted.binary_search(&plan.names.unit).is_ok() || wanted_instances.contains(&*program);
        let mut reader =
            Reader { unit: plan.unit.clone(), names: plan.names, settings: Settings::default(), losses };
        if let Some((first, count, digits)) = plan.numbers {
            let form = number_form(digits);
            reader.set("process_name", format!("%(program_name)s_{form}"));
            reader.set("numprocs", count.to_string());
            reader.set("numprocs_start", first.to_string());
        }
        let is_fcgi = sockets.add(&mut reader);
        if !read(&mut reader, &program, is_wanted) {
            let name = reader.unit.name.clone();
            reader.losses.note(name, "", "it has no ExecStart=, so there is no program");
            continue;
        }
        links.push(dependencies::read(&mut reader, &program, &known, &groups));
        leftovers(&mut reader.unit, reader.losses);
        let section = format!("{}:{program}", if is_fcgi { "fcgi-program" } else { "program" });
        imported.put(&section, reader.settings);
        if let Some(group) = group {
            members.entry(group).or_default().push(program);
        }
    }
    for (program, key, value) in dependencies::settle(links, losses) {
        let of_fcgi = format!("fcgi-program:{program}");
        let section = if imported.has(&of_fcgi) { of_fcgi } else { format!("program:{program}") };
        imported.set(&section, key, value);
    }
    for (group, programs) in members {
        imported.set(&format!("group:{group}"), "programs", programs.join(","));
    }
    sockets.finish(losses);
    others(&units, losses);
    Ok(imported)
}

/// The settings of one program. Whether it has a command.
fn read(reader: &mut Reader<'_>, program: &str, is_wanted: bool) -> bool {
    let is_forking = reader.kind();
    if !reader.commands(is_forking) {
        return false;
    }
    reader.restart();
    reader.stop();
    reader.identity();
    reader.environment();
    reader.resources();
    reader.confinement();
    let process_name = match reader.settings.get("process_name") {
        Some(name) => name.replace("%(program_name)s", program),
        None => program.to_string(),
    };
    reader.output(&process_name);
    if let Some(directive) =
        reader.take("StandardInput").filter(|it| !["null", "socket"].contains(&&*it.value))
    {
        reader.lose(&directive, "the standard input of a program comes from supervisorctl fg alone");
    }
    let installed = ["WantedBy", "RequiredBy", "UpheldBy"];
    let is_installed = installed.into_iter().any(|key| !reader.unit.take_all("Install", key).is_empty());
    if !is_installed && !is_wanted {
        reader.set("autostart", "false");
    }
    true
}

/// Names of units that another one wants to be there, sorted.
fn wanted_units(units: &[UnitFile]) -> Vec<String> {
    let wanting = ["Wants", "Requires", "BindsTo"];
    let directives = units.iter().filter(|unit| unit.is("target")).flat_map(|unit| &unit.directives);
    let directives = directives.filter(|it| it.section == "Unit" && wanting.contains(&&*it.key));
    let mut names: Vec<String> = directives
        .flat_map(|it| blank_separated(&it.value).map(str::to_string).collect::<Vec<_>>())
        .collect();
    names.sort();
    names.dedup();
    names
}

/// The targets that are groups: their services are parts of them, and they are a part of something themselves.
fn groups(units: &[UnitFile]) -> Vec<String> {
    let is_part =
        |unit: &UnitFile| unit.directives.iter().any(|it| it.section == "Unit" && it.key == "PartOf");
    let targets = units.iter().filter(|unit| unit.is("target") && is_part(unit));
    targets.map(|unit| unit.stem().to_string()).collect()
}

/// The group of a service. A target with the name of the service's own template is none.
fn group_of(unit: &UnitFile, groups: &[String]) -> Option<String> {
    let parts = unit.directives.iter().filter(|it| it.section == "Unit" && it.key == "PartOf");
    let mut names = parts.flat_map(|it| blank_separated(&it.value));
    let found = names.find_map(|name| {
        let stem = name.strip_suffix(".target")?;
        (groups.iter().any(|group| group == stem) && stem != unit.stem()).then_some(stem)
    });
    found.map(|group| input::name(&unescaped_name(group)))
}

/// The programs that a service becomes.
fn planned<'u>(
    unit: &'u UnitFile,
    prefix: Option<&str>,
    wanted: &[String],
    losses: &mut Losses,
) -> Vec<Plan<'u>> {
    let full = unescaped_name(unit.stem());
    let stem =
        prefix.and_then(|prefix| full.strip_prefix(prefix)).filter(|rest| !rest.is_empty()).unwrap_or(&full);
    let program = input::name(stem);
    let plan = |program: String, names: Specifiers, numbers| Plan { unit, program, names, numbers };
    let own_instance =
        unit.name.strip_suffix(".service").and_then(|name| name.split_once('@')).map(|(_, rest)| rest);
    if !unit.is_template() {
        let Some(instance) = own_instance else {
            return vec![plan(program, Specifiers::new(&unit.name, ""), None)];
        };
        let named = input::name(&format!("{program}_{}", unescaped_name(instance)));
        return vec![plan(named, Specifiers::new(&unit.name, instance), None)];
    }
    let front = unit.name.strip_suffix(".service").unwrap_or_default();
    let of_template = |name: &String| {
        name.strip_prefix(front)?
            .strip_suffix(".service")
            .filter(|instance| !instance.is_empty())
            .map(str::to_string)
    };
    let listed = unit.directives.iter().filter(|it| it.section == OWN_SECTION && it.key == "Instances");
    let mut instances: Vec<String> =
        listed.flat_map(|it| blank_separated(&it.value).map(str::to_string).collect::<Vec<_>>()).collect();
    if instances.is_empty() {
        instances = wanted.iter().filter_map(of_template).collect();
    }
    if instances.is_empty() {
        let default =
            unit.directives.iter().rfind(|it| it.section == "Install" && it.key == "DefaultInstance");
        instances.extend(default.map(|it| it.value.clone()).filter(|instance| !instance.is_empty()));
    }
    if instances.is_empty() {
        let why =
            "it is a template, and nothing says which instances there are: import a target that wants them";
        losses.note(&unit.name, "", why);
    }
    if let Some(numbers) = in_a_row(&mut instances) {
        let form = number_form(numbers.2);
        let names = Specifiers { unit: unit.name.clone(), instance: form.clone(), unescaped_instance: form };
        return vec![plan(program, names, Some(numbers))];
    }
    let one = |instance: String| {
        let names = Specifiers::new(&format!("{front}{instance}.service"), &instance);
        plan(input::name(&format!("{program}_{}", unescaped_name(&instance))), names, None)
    };
    instances.into_iter().map(one).collect()
}

/// `%(process_num)02d`.
pub(super) fn number_form(digits: usize) -> String {
    if digits > 1 { format!("%(process_num)0{digits}d") } else { "%(process_num)d".to_string() }
}

/// The first of some numbers in a row, how many there are, and their digits. They are sorted.
fn in_a_row(instances: &mut [String]) -> Option<(u64, usize, usize)> {
    let mut numbers: Vec<u64> = Vec::new();
    for instance in &*instances {
        numbers.push(instance.parse().ok().filter(|_| instance.bytes().all(|byte| byte.is_ascii_digit()))?);
    }
    numbers.sort_unstable();
    let first = *numbers.first()?;
    let digits = instances.iter().map(String::len).min()?;
    // With leading zeros, or all as they are.
    let digits = if instances.iter().any(|it| it.len() > 1 && it.starts_with('0')) { digits } else { 1 };
    let in_a_row = (first..).zip(&numbers).all(|(expected, number)| expected == *number);
    let as_written = |number: &u64| instances.contains(&format!("{number:0digits$}"));
    (in_a_row && numbers.iter().all(as_written) && numbers.len() <= 10_000).then_some((
        first,
        numbers.len(),
        digits,
    ))
}

/// Notes what nobody took.
pub(super) fn leftovers(unit: &mut UnitFile, losses: &mut Losses) {
    for directive in unit.directives.iter_mut().filter(|directive| !directive.used) {
        directive.used = true;
        let about = (&*directive.section, &*directive.key);
        // An empty one only takes back what was said before.
        if ABOUT_UNITS.contains(&about) || directive.value.is_empty() || directive.section.starts_with("X-") {
            continue;
        }
        let why = INSTEAD.iter().find(|(begin, _)| directive.key.starts_with(begin)).map(|(_, why)| *why);
        let why = why.unwrap_or("no key of a configuration says it");
        losses.note(format!("{} {}", directive.place, directive.key), &directive.value, why);
    }
}

/// Notes what is lost of units that become no programs.
fn others(units: &[UnitFile], losses: &mut Losses) {
    for unit in units {
        let end = unit.name.rsplit_once('.').map_or("", |(_, end)| end);
        let why = match end {
            "service" | "socket" | "target" => continue,
            "timer" => "there is no key for a schedule: let cron call supervisorctl start",
            "path" => "nothing starts a program when a file changes",
            _ => "it makes no program",
        };
        for directive in unit.directives.iter().filter(|it| !ABOUT_UNITS.contains(&(&*it.section, &*it.key)))
        {
            losses.note(format!("{} {}", directive.place, directive.key), &directive.value, why);
        }
        if unit.directives.is_empty() {
            losses.note(&unit.name, "", why);
        }
    }
    let of_targets = ["Wants", "Requires", "BindsTo", "PartOf", "WantedBy", "After", "Before"];
    for unit in units.iter().filter(|unit| unit.is("target")) {
        let mut unit = unit.clone();
        unit.directives.iter_mut().filter(|it| of_targets.contains(&&*it.key)).for_each(|it| it.used = true);
        leftovers(&mut unit, losses);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_a_row() {
        for (instances, expected) in [
            (&["00", "01", "02"][..], Some((0, 3, 2))),
            (&["9", "10", "11"], Some((9, 3, 1))),
            (&["2", "1"], Some((1, 2, 1))),
            (&["1", "3"], None),
            (&["a"], None),
            (&["08", "9"], None),
            (&[], None),
        ] {
            let mut instances: Vec<String> = instances.iter().map(|it| it.to_string()).collect();
            assert_eq!(in_a_row(&mut instances), expected, "{instances:?}");
        }
    }
}
