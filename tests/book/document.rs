//! Documents, and what stands in them.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// A document with its includes.
pub struct Document {
    /// From the top of the sources.
    pub path: PathBuf,
    pub text: String,
}

/// A block of code.
#[derive(Debug)]
pub struct Block {
    /// Of the opening fence in the document with its includes, counted from 1.
    pub line: usize,
    /// The first word behind the fence.
    pub language: String,
    /// What the comment before the block says.
    pub mark: Option<String>,
    pub text: String,
}

/// What a page consists of, in its order.
pub enum Piece {
    Block(Block),
    /// The command of an `until` comment.
    Until(String),
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where the chapters lie.
pub fn chapters_folder() -> PathBuf {
    Path::new("docs/book/src").to_path_buf()
}

/// The chapters that the table of contents names, itself first.
pub fn book() -> Vec<Document> {
    let folder = chapters_folder();
    let summary = read(&folder.join("SUMMARY.md"));
    let targets: Vec<String> = links(&summary.text).map(|(_, target)| target).collect();
    assert!(targets.len() > 20, "the table of contents names only {} chapters", targets.len());
    std::iter::once(summary).chain(targets.iter().map(|target| read(&folder.join(target)))).collect()
}

/// The documents that are read where they lie.
pub fn others() -> Vec<Document> {
    let mut paths: Vec<PathBuf> = [
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "README.md",
        "SECURITY.md",
        "tests/README.md",
        "fuzz/README.md",
    ]
    .iter()
    .map(PathBuf::from)
    .collect();
    for folder in ["docs", "docs/decisions"] {
        let found = fs::read_dir(root().join(folder)).expect("the folder is there");
        let names = found.map(|entry| Path::new(folder).join(entry.expect("an entry").file_name()));
        paths.extend(names.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    paths.iter().map(|path| read(path)).collect()
}

/// Reads a document and everything it includes.
#[track_caller]
pub fn read(path: &Path) -> Document {
    let text =
        fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Document { path: path.to_path_buf(), text: without_anchors(&with_includes(path, &text)) }
}

fn with_includes(path: &Path, text: &str) -> String {
    let mut whole = String::new();
    for line in text.lines() {
        let Some(what) = line.trim().strip_prefix("{{#include ").and_then(|rest| rest.strip_suffix("}}"))
        else {
            whole += &format!("{line}\n");
            continue;
        };
        let (name, anchor) = what.split_once(':').unwrap_or((what, ""));
        let from = beside(path, name);
        let included = fs::read_to_string(root().join(&from))
            .unwrap_or_else(|error| panic!("{} includes {}: {error}", path.display(), from.display()));
        whole += &part(&included, anchor).unwrap_or_else(|| panic!("{}: no anchor {anchor}", from.display()));
    }
    whole
}

/// What stands between the two comments of an anchor; everything if it has no name.
fn part(text: &str, anchor: &str) -> Option<String> {
    if anchor.is_empty() {
        return Some(text.to_string());
    }
    let (_, rest) = text.split_once(&format!("<!-- ANCHOR: {anchor} -->\n"))?;
    Some(rest.split_once(&format!("<!-- ANCHOR_END: {anchor} -->"))?.0.to_string())
}

fn without_anchors(text: &str) -> String {
    let kept = text.lines().filter(|line| !line.starts_with("<!-- ANCHOR"));
    kept.map(|line| format!("{line}\n")).collect()
}

/// A path that stands in a document, from the top of the sources.
pub fn beside(document: &Path, name: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for component in document.parent().unwrap_or(Path::new("")).join(name).components() {
        match component {
            Component::ParentDir => assert!(path.pop(), "{name} in {} leads out", document.display()),
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path
}

/// Every link of a text outside of code: the number of its line, and where it leads.
pub fn links(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let line = without_code(line);
        for (opening, closing) in [("](", ')'), ("src=\"", '"'), ("href=\"", '"')] {
            let targets = line.split(opening).skip(1).filter_map(|rest| rest.split_once(closing));
            found.extend(targets.map(|(target, _)| (number, target.to_string())));
        }
    }
    found.into_iter()
}

/// The names that a link can end with: those of headings, as books and hosts of sources make them, and those that are
/// written.
pub fn anchors(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (_, line) in prose(text) {
        if let Some(heading) = line.strip_prefix('#') {
            let plain = slug(heading.trim_start_matches('#').trim());
            let earlier = found.iter().filter(|anchor| **anchor == plain).count();
            found.push(if earlier == 0 { plain } else { format!("{plain}-{earlier}") });
        }
        let written = line.split(" id=\"").skip(1).filter_map(|rest| rest.split_once('"'));
        found.extend(written.map(|(name, _)| name.to_string()));
    }
    found
}

pub fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " _-".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// The lines outside of blocks of code, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        (!is_code && !is_fence).then_some((index + 1, line))
    })
}

fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("")
}

/// The blocks of code, and the waiting between them.
pub fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut mark: Option<String> = None;
    let mut open: Option<Block> = None;
    for (index, line) in text.lines().enumerate() {
        match &mut open {
            Some(block) if line.trim_start().starts_with("```") => {
                block.text = without_indent(&block.text);
                pieces.extend(open.take().map(Piece::Block));
            }
            Some(block) => block.text += &format!("{line}\n"),
            None => {
                let line = line.trim();
                if let Some(info) = line.strip_prefix("```") {
                    let language = info.split_whitespace().next().unwrap_or_default().to_string();
                    open = Some(Block { line: index + 1, language, mark: mark.take(), text: String::new() });
                } else if let Some(comment) = comment(line) {
                    match comment.strip_prefix("until: ") {
                        Some(command) => pieces.push(Piece::Until(command.to_string())),
                        None => mark = Some(comment.to_string()),
                    }
                } else if !line.is_empty() {
                    mark = None;
                }
            }
        }
    }
    assert!(open.is_none(), "a block of code is not closed: {open:?}");
    pieces
}

pub fn blocks(text: &str) -> impl Iterator<Item = Block> {
    pieces(text).into_iter().filter_map(|piece| match piece {
        Piece::Block(block) => Some(block),
        Piece::Until(_) => None,
    })
}

fn comment(line: &str) -> Option<&str> {
    Some(line.strip_prefix("<!--")?.strip_suffix("-->")?.trim())
}

/// A block within a list is indented as a whole.
fn without_indent(text: &str) -> String {
    let indent =
        text.lines().filter(|line| !line.trim().is_empty()).map(|line| line.len() - line.trim_start().len());
    let indent = indent.min().unwrap_or(0);
    text.lines().map(|line| format!("{}\n", line.get(indent..).unwrap_or_default())).collect()
}

#[test]
fn the_reader_of_documents_sees_what_there_is() {
    let text = "# A `b` [c:x]\n\n[d](e.md#f) `[g](h)`\n<!-- check -->\n```ini\n# no heading\n[i](j)\n```\n## A b cx\n\
                <!-- until: k -->\n- x\n  ```sh\n  l\n    m\n  ```\n";
    assert_eq!(links(text).collect::<Vec<_>>(), [(3, "e.md#f".to_string())]);
    assert_eq!(anchors(text), ["a-b-cx", "a-b-cx-1"]);
    let pieces = pieces(text);
    let [Piece::Block(ini), Piece::Until(until), Piece::Block(sh)] = &pieces[..] else {
        panic!("{}", pieces.len())
    };
    assert_eq!((ini.mark.as_deref(), ini.line, &*ini.language), (Some("check"), 5, "ini"));
    assert_eq!((&**until, &sh.mark, &*sh.text), ("k", &None, "l\n  m\n"));
    assert_eq!(part("a\n<!-- ANCHOR: x -->\nb\n<!-- ANCHOR_END: x -->\n", "x").as_deref(), Some("b\n"));
    assert_eq!(beside(Path::new("docs/book/src/a.md"), "../../b.md"), Path::new("docs/b.md"));
}
