//! Where exported files go: to stdout one after the other, to a file, or into a directory. Never over anything.

use crate::convert::export::{OutputFile, Source};
use crate::convert::import::InputFile;
use crate::convert::losses::{Losses, without_line_ends};
use std::collections::{HashMap, HashSet};
use std::fs::Metadata;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

/// So many names stand in a comment.
const SHOWN: usize = 5;

/// Only the owner may read what is written: it may hold passwords. An import has those of the files it is made of, and an
/// export has the values of the variables that the configuration names.
const MODE: u32 = 0o600;

/// A file as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finished {
    path: String,
    text: String,
}

/// Puts the losses at the heads of the files they are about.
pub(super) fn with_losses(
    files: Vec<OutputFile>,
    comment: &str,
    losses: &Losses,
    source: &Source,
) -> Vec<Finished> {
    let own: HashSet<String> =
        files.iter().filter_map(|file| file.section.as_ref()).map(|section| format!("[{section}]")).collect();
    // By the file they belong to; what belongs to none stands under nothing.
    let mut heads: HashMap<&str, Losses> = HashMap::new();
    for loss in losses.iter() {
        let about = loss.what.split_inclusive(']').next().filter(|section| own.contains(*section));
        let head = heads.entry(about.unwrap_or_default()).or_default();
        head.note(&*loss.what, &*loss.value, &*loss.why);
    }
    let mut rest = true;
    let mut finished = Vec::new();
    let has_common = files.iter().any(|file| file.section.is_none());
    for (at, file) in files.into_iter().enumerate() {
        // What belongs to no file stands in the first that is there for all.
        let takes_rest = rest && (file.section.is_none() || !has_common && at == 0);
        rest &= !takes_rest;
        let section = file.section.as_ref().map(|section| format!("[{section}]"));
        let others = takes_rest.then(|| heads.get("")).flatten();
        let own_head = section.as_ref().and_then(|section| heads.get(section.as_str()));
        let head: String =
            own_head.into_iter().chain(others).map(|losses| losses.to_comment(comment, |_| true)).collect();
        let gap = if head.is_empty() { "" } else { "\n" };
        let text = format!(
            "{comment} Exported from {} by supervisord.\n{head}{gap}{}",
            without_line_ends(&source.config.path.to_string_lossy()),
            file.text
        );
        finished.push(Finished { path: file.path, text });
    }
    finished
}

/// All files as one text, each behind a comment with its name if there are several.
pub(super) fn as_stream(files: &[Finished], comment: &str) -> String {
    match files {
        [file] => file.text.clone(),
        files => {
            let texts = files.iter().map(|file| format!("{comment} --- {} ---\n{}", file.path, file.text));
            texts.collect::<Vec<_>>().join("\n")
        }
    }
}

/// Writes a single file to a path that is no directory, and anything else into a directory, which is made. All of them,
/// or none.
pub(super) fn write(files: &[Finished], place: &Path) -> Result<(), String> {
    let names_directory = place.as_os_str().as_encoded_bytes().ends_with(b"/");
    if let ([file], false) = (files, names_directory || place.is_dir()) {
        return write_one(&file.text, place);
    }
    check_names(files, place)?;
    let mut made = Made::default();
    for file in files {
        let path = place.join(&file.path);
        made.folder(path.parent().unwrap_or(place))?;
        made.file(path, &file.text)?;
    }
    made.keep();
    Ok(())
}

/// Looks whether all names are possible and free, before anything is written.
fn check_names(files: &[Finished], place: &Path) -> Result<(), String> {
    let mut seen = HashSet::new();
    for file in files {
        let path = Path::new(&file.path);
        if !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(format!("{} cannot be the name of a file below {}", file.path, place.display()));
        }
        if !seen.insert(path) {
            return Err(format!("two files would be called {}: give the programs other names", file.path));
        }
        if place.join(path).symlink_metadata().is_ok() {
            return Err(already_there(&place.join(path)));
        }
    }
    Ok(())
}

/// Writes one text.
pub(super) fn write_one(text: &str, place: &Path) -> Result<(), String> {
    let mut made = Made::default();
    made.file(place.to_path_buf(), text)?;
    made.keep();
    Ok(())
}

/// Which file it is, whatever it is called.
#[derive(PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(metadata: &Metadata) -> FileId {
        FileId { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// The files and directories that this run has made. They are removed unless all could be made.
#[derive(Default)]
struct Made {
    files: Vec<(PathBuf, FileId)>,
    /// Each behind the one it lies in.
    folders: Vec<PathBuf>,
}

impl Made {
    /// Makes a directory, and those it lies in.
    fn folder(&mut self, folder: &Path) -> Result<(), String> {
        let missing: Vec<&Path> = folder
            .ancestors()
            .take_while(|path| !path.as_os_str().is_empty() && path.symlink_metadata().is_err())
            .collect();
        // They lie in each other from the last to the first.
        let made = missing.iter().rev().try_for_each(|path| match std::fs::create_dir(path) {
            Ok(()) => {
                self.folders.push(path.to_path_buf());
                Ok(())
            }
            // `new/..` is there as soon as `new` is.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        });
        made.and_then(|()| std::fs::create_dir_all(folder))
            .map_err(|error| format!("could not make the directory {}: {error}", folder.display()))
    }

    /// Makes a file.
    fn file(&mut self, path: PathBuf, text: &str) -> Result<(), String> {
        let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(MODE).open(&path);
        let written = opened.and_then(|mut file| {
            // From here on there is one, which may be cut.
            self.files.push((path.clone(), FileId::of(&file.metadata()?)));
            file.write_all(text.as_bytes())
        });
        written.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => already_there(&path),
            _ => format!("could not write {}: {error}", path.display()),
        })
    }

    fn keep(&mut self) {
        self.files.clear();
        self.folders.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // What cannot be removed stays: the first error is the one that is told.
        for (path, made) in &self.files {
            // Nothing that somebody else has put there meanwhile.
            if path.symlink_metadata().is_ok_and(|found| FileId::of(&found) == *made) {
                let _ = std::fs::remove_file(path);
            }
        }
        for folder in self.folders.iter().rev() {
            let _ = std::fs::remove_dir(folder);
        }
    }
}

fn already_there(path: &Path) -> String {
    format!("{} is there already: remove it, or write to another place", path.display())
}

/// The names of some files, for a comment.
pub(super) fn names(files: &[InputFile]) -> String {
    let mut names: Vec<String> = files.iter().take(SHOWN).map(|file| without_line_ends(&file.name)).collect();
    if files.len() > SHOWN {
        names.push(format!("{} more", files.len() - SHOWN));
    }
    names.join(", ")
}
