//! The keys about what the kernel keeps a program from.

use crate::config::section::Section;
use crate::config::text::repr;
use crate::config::values::{self, Parsed};
use crate::model::confinement::{Capability, ConfinedPath, Confinement, Seccomp, Wish};
use std::path::PathBuf;
use std::str::FromStr;

pub(super) fn read(section: &Section<'_>) -> Confinement {
    let absolute = |path: PathBuf| section.context.surroundings.absolute(&path);
    let seccomp = section.get("seccomp", |text| wish(text, seccomp)).map(|wish| Wish {
        value: match wish.value {
            Seccomp::File(path) => Seccomp::File(absolute(path)),
            Seccomp::Service => Seccomp::Service,
        },
        ..wish
    });
    let all_paths = |key: &str| -> Vec<ConfinedPath> {
        // Without a path nothing is confined. An empty value says so; one that only comes out empty does not.
        let is_empty = section.raw(key).is_none_or(|value| value.text.trim().is_empty());
        let listed = if is_empty { Vec::new() } else { section.get(key, paths).unwrap_or_default() };
        listed.into_iter().map(|item| ConfinedPath { path: absolute(item.path), ..item }).collect()
    };
    let confinement = Confinement {
        no_new_privs: section.get_or_default("no_new_privs", |text| wish(text, values::boolean)).value,
        capabilities: section.get("capabilities", |text| wish(text, capabilities)),
        ambient_capabilities: section.get("ambient_capabilities", |text| wish(text, capabilities)),
        seccomp,
        read_only_paths: all_paths("read_only_paths"),
        read_write_paths: all_paths("read_write_paths"),
        private_tmp: plain(section.get_or_default("private_tmp", |text| wish(text, values::boolean))),
        private_network: plain(section.get_or_default("private_network", |text| wish(text, values::boolean))),
    };
    if let (Some(most), Some(ambient)) = (&confinement.capabilities, &confinement.ambient_capabilities)
        && let Some(beyond) = ambient.value.iter().find(|wanted| !most.value.contains(wanted))
    {
        let text =
            format!("{} is not among capabilities, which are the only ones that it can have", beyond.name);
        section.error(Some("ambient_capabilities"), text);
    }
    confinement
}

/// `-false` is `false`.
fn plain(wish: Wish<bool>) -> Wish<bool> {
    Wish { is_optional: wish.is_optional && wish.value, ..wish }
}

/// A value, perhaps behind a `-`.
fn wish<T>(text: &str, parse: impl Fn(&str) -> Parsed<T>) -> Parsed<Wish<T>> {
    let text = text.trim();
    let (value, is_optional) = text.strip_prefix('-').map_or((text, false), |rest| (rest.trim_start(), true));
    Ok(Wish { value: parse(value)?, is_optional })
}

/// `NET_BIND_SERVICE, CAP_CHOWN`; nothing or `none` is none.
fn capabilities(text: &str) -> Parsed<Vec<Capability>> {
    let capability = |word: &str| {
        let upper = word.to_ascii_uppercase();
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper).to_string();
        match caps::Capability::from_str(&format!("CAP_{name}")) {
            Ok(known) => Ok(Capability { number: known.index(), name }),
            Err(_) => Err(format!(
                "{} is no capability; capabilities(7) lists them, such as NET_BIND_SERVICE",
                repr(word)
            )),
        }
    };
    let words: Vec<&str> = words(text).collect();
    if words == ["none"] {
        return Ok(Vec::new());
    }
    let mut found: Vec<Capability> = words.into_iter().map(capability).collect::<Parsed<_>>()?;
    found.sort();
    found.dedup();
    Ok(found)
}

fn seccomp(text: &str) -> Parsed<Seccomp> {
    match text {
        "@service" => Ok(Seccomp::Service),
        "" => Err("'' is neither @service nor a file".into()),
        group if group.starts_with('@') => {
            Err(format!("{} is no group of system calls: @service is one", repr(group)))
        }
        path => Ok(Seccomp::File(path.into())),
    }
}

/// `/srv/app, -/srv/maybe`.
fn paths(text: &str) -> Parsed<Vec<ConfinedPath>> {
    let path = |word: &str| {
        let (path, may_be_missing) = word.strip_prefix('-').map_or((word, false), |path| (path.trim(), true));
        if path.is_empty() {
            return Err(format!("{} names no path", repr(word)));
        }
        Ok(ConfinedPath { path: path.into(), may_be_missing })
    };
    let found: Vec<ConfinedPath> = words(text).map(path).collect::<Parsed<_>>()?;
    if found.is_empty() { Err(format!("{} names no path", repr(text))) } else { Ok(found) }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_names_with_or_without_their_beginning() {
        let names = |text| {
            capabilities(text)
                .map(|all| all.iter().map(|it| (it.number, it.name.clone())).collect::<Vec<_>>())
        };
        let two = vec![(0, "CHOWN".to_string()), (10, "NET_BIND_SERVICE".to_string())];
        assert_eq!(names("NET_BIND_SERVICE, cap_chown,CHOWN"), Ok(two));
        assert_eq!((names(""), names("none")), (Ok(vec![]), Ok(vec![])));
        assert!(names("NET_BIND").unwrap_err().starts_with("'NET_BIND' is no capability; "));
        assert!(names("none, CHOWN").is_err() && names("1").is_err());
    }

    #[test]
    fn a_dash_makes_a_wish() {
        assert_eq!(wish("-true", values::boolean), Ok(Wish { value: true, is_optional: true }));
        assert_eq!(wish(" - @service", seccomp), Ok(Wish { value: Seccomp::Service, is_optional: true }));
        assert_eq!(wish("/a/-b", seccomp).unwrap().value, Seccomp::File("/a/-b".into()));
        assert!(seccomp("@all").is_err() && seccomp("").is_err() && wish("-", seccomp).is_err());
    }

    #[test]
    fn paths_are_listed_by_comma() {
        let item = |path: &str, may_be_missing| ConfinedPath { path: path.into(), may_be_missing };
        assert_eq!(paths("/usr, -/opt/a b,"), Ok(vec![item("/usr", false), item("/opt/a b", true)]));
        for wrong in ["/usr,-", "", " , "] {
            assert!(paths(wrong).unwrap_err().ends_with(" names no path"), "{wrong}");
        }
    }
}
