//! Logs whose names the daemon makes up: `stdout_logfile = AUTO`.

use crate::files::location::{Location, Missing};
use crate::files::open;
use crate::log::sinks::open::PRIVATE_MODE;
use crate::model::stream::Stream;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};

/// The letters of the random part of a name (Python, tempfile.py).
const LETTERS: &[u8; 37] = b"abcdefghijklmnopqrstuvwxyz0123456789_";

/// How often another name is tried when one is taken.
const TRIES: u32 = 100;

/// The longest backup number that [`clean`] takes for one, in digits; as in Supervisor, options.py.
const MAX_DIGITS: usize = 4;

/// Creates an empty log of mode 0600 in `childlogdir`:
/// `<process>-<stdout|stderr>---<identifier>-<8 random letters>.log`.
///
/// # Errors
/// The system's, for instance if the directory does not exist.
pub fn create(childlogdir: &Path, process: &str, stream: Stream, identifier: &str) -> io::Result<PathBuf> {
    let stream = stream.name();
    for _ in 0..TRIES {
        let name = format!("{process}-{stream}---{identifier}-{}.log", random_letters());
        let path = childlogdir.join(name.replace('/', "_"));
        match open::new(&path, PRIVATE_MODE) {
            Ok(_) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Eight letters that nobody can guess, from the same source as the standard library's hash keys.
fn random_letters() -> String {
    let mut number = RandomState::new().hash_one(std::process::id());
    let mut letters = String::new();
    for _ in 0..8 {
        letters.push(char::from(LETTERS[(number % 37) as usize]));
        number /= 37;
    }
    letters
}

/// Removes the logs that an earlier daemon of this identifier made up, and their backups, except `keep` and
/// its backups. To be called once it is certain that no other daemon of this configuration runs.
///
/// What cannot be removed is returned with the reason.
///
/// # Errors
/// The directory cannot be listed.
pub fn clean(
    childlogdir: &Path,
    identifier: &str,
    keep: &HashSet<PathBuf>,
) -> io::Result<Vec<(PathBuf, io::Error)>> {
    let mut failures = Vec::new();
    for entry in std::fs::read_dir(childlogdir)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let Some(base) = made_up(name, identifier) else { continue };
        if keep.contains(&path.with_file_name(base)) {
            continue;
        }
        if let Err(error) = Location::of(&path, Missing::Fail).and_then(|at| at.unlink()) {
            failures.push((path, error));
        }
    }
    Ok(failures)
}

/// The name without its backup number, if we may have made it up for this identifier.
fn made_up<'a>(name: &'a str, identifier: &str) -> Option<&'a str> {
    let base = match name.rsplit_once('.') {
        Some((base, number)) if is_number(number) => base,
        _ => name,
    };
    let (front, random) = base.strip_suffix(".log")?.rsplit_once('-')?;
    let front = front.strip_suffix(identifier)?.strip_suffix("---")?;
    let process = front.strip_suffix("-stdout").or_else(|| front.strip_suffix("-stderr"))?;
    let random = random.len() == 8 && random.bytes().all(|byte| LETTERS.contains(&byte));
    (random && !process.is_empty()).then_some(base)
}

fn is_number(text: &str) -> bool {
    (1..=MAX_DIGITS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn names_are_private_and_recognised() {
        let dir = tempfile::tempdir().unwrap();
        let path = create(dir.path(), "web", Stream::Stdout, "super-visor").unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("web-stdout---super-visor-"), "{name}");
        assert_eq!(name.len(), "web-stdout---super-visor-12345678.log".len());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(made_up(name, "super-visor"), Some(name));
    }

    #[test]
    fn only_names_like_ours_are_ours() {
        for (name, ours) in [
            ("web-stdout---sup-abcdefgh.log", true),
            ("web-stderr---sup-abcd_f9h.log", true),
            ("a-b---c-stdout---sup-abcdefgh.log.12", true),
            ("web-stdout---sup-abcdefgh.log.12345", false),
            ("web-stdout---supervisor-abcdefgh.log", false),
            ("web-stdout---sXp-abcdefgh.log", false),
            ("-stdout---sup-abcdefgh.log", false),
            ("web---sup-abcdefgh.log", false),
            ("web-stdout---sup-abcdefgh.log.bak", false),
            ("web-stdout---sup-important.log", false),
            ("web-stdout---sup-.log", false),
        ] {
            assert_eq!(made_up(name, "sup").is_some(), ours, "{name}");
        }
        // An identifier is a text, not a pattern.
        assert!(made_up("web-stdout---sXp-abcdefgh.log", "s.p").is_none());
    }

    #[test]
    fn cleaning_spares_what_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let old = create(dir.path(), "web", Stream::Stdout, "sup").unwrap();
        let live = create(dir.path(), "web", Stream::Stderr, "sup").unwrap();
        let live_backup = crate::log::sinks::rotate::backup_name(&live, 1);
        let other = create(dir.path(), "web", Stream::Stdout, "else").unwrap();
        std::fs::write(&live_backup, "").unwrap();
        let failures = clean(dir.path(), "sup", &HashSet::from([live.clone()])).unwrap();
        assert!(failures.is_empty());
        assert_eq!([old, live, live_backup, other].map(|path| path.exists()), [false, true, true, true]);
    }
}
