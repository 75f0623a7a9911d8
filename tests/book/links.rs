//! Links lead to what is there.

use crate::document::{Document, anchors, beside, book, chapters_folder, links, others, read, root};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// What is wrong with a link, if anything.
fn fault(document: &Document, target: &str, chapters: &BTreeSet<PathBuf>) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (name, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if name.is_empty() { document.path.clone() } else { beside(&document.path, name) };
    if !root().join(&path).exists() {
        return Some("is not there".into());
    }
    let is_page = path.extension().is_some_and(|extension| extension == "md");
    if document.path.starts_with(chapters_folder()) {
        if !path.starts_with(chapters_folder()) {
            return Some("is not part of the book".into());
        }
        if is_page && !chapters.contains(&path) {
            return Some("is no chapter of the table of contents".into());
        }
    }
    let leads_on =
        anchor.is_empty() || (is_page && anchors(&read(&path).text).iter().any(|name| name == anchor));
    (!leads_on).then(|| "has no such heading".into())
}

#[test]
fn no_link_leads_nowhere() {
    let book = book();
    let chapters = book.iter().map(|chapter| chapter.path.clone()).collect();
    let (mut wrong, mut n_links) = (Vec::new(), 0);
    for document in book.iter().chain(&others()) {
        for (line, target) in links(&document.text) {
            n_links += 1;
            if let Some(why) = fault(document, &target, &chapters) {
                wrong.push(format!("{}:{line}: {target} {why}", document.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(n_links > 100, "only {n_links} links were found: the reader does not see them");
}

#[test]
fn every_chapter_is_in_the_table_of_contents_once() {
    let listed: Vec<PathBuf> = book().into_iter().map(|chapter| chapter.path).collect();
    let named: BTreeSet<PathBuf> = listed.iter().cloned().collect();
    assert_eq!(named.len(), listed.len(), "a chapter is named twice");
    let mut there = BTreeSet::new();
    let mut folders = vec![chapters_folder()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("the folder is there") {
            let path = folder.join(entry.expect("an entry").file_name());
            if root().join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                there.insert(path);
            }
        }
    }
    assert_eq!(named, there, "the table of contents, and the chapters that are there");
}

#[test]
fn a_dead_link_is_seen() {
    let document = Document { path: chapters_folder().join("x.md"), text: String::new() };
    let chapters = BTreeSet::from([chapters_folder().join("quick-start.md")]);
    for (target, why) in [
        ("nowhere.md", "is not there"),
        ("../../../README.md", "is not part of the book"),
        ("security.md", "is no chapter of the table of contents"),
        ("quick-start.md#nowhere", "has no such heading"),
    ] {
        assert_eq!(fault(&document, target, &chapters).as_deref(), Some(why), "{target}");
    }
    assert_eq!(fault(&document, "quick-start.md", &chapters), None);
    assert_eq!(fault(&document, "https://example.org/", &chapters), None);
}
