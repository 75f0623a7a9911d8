//! Files that rotate, are moved away, or are shared.

use super::*;
use crate::files::location::Missing;
use crate::files::{self, open::Opened};
use crate::log::sinks::file::log_file::{CHECK_NAME_EVERY, LINE_PATIENCE};
use crate::log::sinks::rotate;
use std::fs::{read, write};
use std::os::unix::fs::PermissionsExt;

fn open_shared(path: &Path) -> SharedFile {
    let opened = files::open::for_writing(path, open::PLAIN_MODE, Missing::Make).unwrap();
    let Opened::File(file, stat) = opened else { panic!("not a regular file") };
    SharedFile::join(path, open::PLAIN_MODE, file.into(), stat.into())
}

fn append_all(file: &SharedFile, mut bytes: &[u8], limits: Limits) {
    while !bytes.is_empty() {
        let written = file.append(bytes, limits).unwrap();
        assert_eq!(written.notice, None);
        bytes = &bytes[written.n_bytes..];
    }
}

/// Appends pieces to a fresh file, and moves them there from a pipe; what is in `f`, `f.1`, ... afterwards.
#[track_caller]
fn check(maxbytes: u64, backups: u32, pieces: &[&str], files: &[&str]) {
    let limits = Limits { maxbytes, backups };
    for spliced in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let file = open_shared(&path);
        for piece in pieces {
            if spliced {
                splice_all(&file, piece.as_bytes(), limits);
            } else {
                append_all(&file, piece.as_bytes(), limits);
            }
        }
        let names = std::iter::once(path.clone()).chain((1..).map(|i| rotate::backup_name(&path, i)));
        let found: Vec<String> =
            names.map_while(|name| read(name).ok()).map(|bytes| String::from_utf8(bytes).unwrap()).collect();
        assert_eq!(found, files, "spliced: {spliced}");
    }
}

fn splice_all(file: &SharedFile, bytes: &[u8], limits: Limits) {
    let flags = rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK;
    let (from, to) = rustix::pipe::pipe_with(flags).unwrap();
    rustix::pipe::fcntl_setpipe_size(&from, 1 << 20).unwrap();
    assert_eq!(rustix::io::write(&to, bytes).unwrap(), bytes.len());
    while rustix::io::ioctl_fionread(&from).unwrap() > 0 {
        assert_eq!(file.splice(&from, 1 << 20, limits).unwrap().notice, None);
    }
}

#[test]
fn a_file_ends_with_the_first_line_at_its_limit_or_after() {
    check(10, 5, &["123456789\n"], &["", "123456789\n"]);
    check(10, 5, &["12345678\n"], &["12345678\n"]);
    check(10, 5, &["1234567890\n"], &["", "1234567890\n"]);
    check(10, 5, &["1234567\nabcdef\nx\n"], &["x\n", "1234567\nabcdef\n"]);
    check(10, 5, &["1234567\n", "abc", "def\n", "x\n"], &["x\n", "1234567\nabcdef\n"]);
    check(10, 1, &["123456789\n", "abcdefghi\n", "x\n"], &["x\n", "abcdefghi\n"]);
    check(10, 0, &["123456789\n", "x\n"], &["x\n"]);
    check(1, 3, &["a\nb\nc\nd\n"], &["", "d\n", "c\n", "b\n"]);
    check(0, 3, &["1234567890\n1234567890\n"], &["1234567890\n1234567890\n"]);
    check(10, 5, &["no line's end yet"], &["no line's end yet"]);
}

/// Else a manager that is killed then leaves one to which another stream of the file adds its own.
#[test]
fn no_splice_ends_within_a_line_that_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let (file, limits) = (open_shared(&path), Limits { maxbytes: 25, backups: 99 });
    let (from, to) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap();
    let lines = "a line\n".repeat(50) + &"a line of more than the limit has room for\n".repeat(2);
    assert_eq!(rustix::io::write(&to, lines.as_bytes()).unwrap(), lines.len());
    let mut left = lines.as_str();
    while !left.is_empty() {
        let n_bytes = file.splice(&from, 1 << 20, limits).unwrap().n_bytes;
        assert!(left[..n_bytes].ends_with('\n'), "{:?}", &left[..n_bytes]);
        left = &left[n_bytes..];
    }
}

#[test]
fn a_line_without_end_is_cut_in_the_end() {
    let long = "x".repeat(100_000);
    let (first, rest) = (10 + 65_536, 100_000 - 10 - 65_536);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    append_all(&open_shared(&path), long.as_bytes(), Limits { maxbytes: 10, backups: 2 });
    let sizes = |path: &Path| read(path).unwrap().len();
    assert!(sizes(&dir.path().join("f.1")).abs_diff(first) <= 1);
    assert!(sizes(&path).abs_diff(rest) <= 1);
}

#[test]
fn a_line_whose_end_does_not_come_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let (file, limits) = (open_shared(&path), Limits { maxbytes: 10, backups: 2 });
    append_all(&file, b"a prompt without a line's end> ", limits);
    // As if that had been a while ago.
    file.lock().overhang.as_mut().unwrap().at -= LINE_PATIENCE;
    append_all(&file, b"more", limits);
    assert_eq!(read(&path).unwrap(), b"more");
}

#[test]
fn an_oversized_file_is_rotated_first() {
    for (text, own) in [("old\n", true), ("old", false)] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write(&path, text.repeat(9)).unwrap();
        append_all(&open_shared(&path), b"\nnew\n", Limits { maxbytes: 10, backups: 2 });
        // Whoever was killed within a line has it ended, and only then its file.
        let (first, last) = if own { (text.repeat(9), "\nnew\n") } else { (text.repeat(9) + "\n", "new\n") };
        assert_eq!(read(dir.path().join("f.1")).unwrap(), first.as_bytes());
        assert_eq!(read(&path).unwrap(), last.as_bytes());
    }
}

#[test]
fn a_truncation_from_outside_leaves_no_hole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let (file, limits) = (open_shared(&path), Limits { maxbytes: 0, backups: 0 });
    append_all(&file, b"before", limits);
    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    append_all(&file, b"after", limits);
    assert_eq!(read(&path).unwrap(), b"after");
}

#[test]
fn a_deleted_file_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sub/f");
    let (file, limits) = (open_shared(&path), Limits { maxbytes: 0, backups: 0 });
    append_all(&file, b"before", limits);
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    append_all(&file, b"after", limits);
    assert_eq!(read(&path).unwrap(), b"after");
}

#[test]
fn a_moved_file_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (path, moved) = (dir.path().join("f"), dir.path().join("moved"));
    let (file, limits) = (open_shared(&path), Limits { maxbytes: 0, backups: 0 });
    append_all(&file, b"before", limits);
    std::fs::rename(&path, &moved).unwrap();
    // As if the name had last been looked up a while ago.
    file.lock().name_checked -= CHECK_NAME_EVERY;
    append_all(&file, b"after", limits);
    assert_eq!((read(&path).unwrap(), read(&moved).unwrap()), (b"after".to_vec(), b"before".to_vec()));
}

#[test]
fn a_moved_file_goes_on_if_there_can_be_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (path, moved) = (dir.path().join("sub/f"), dir.path().join("f"));
    let (file, limits) = (open_shared(&path), Limits { maxbytes: 0, backups: 0 });
    std::fs::rename(&path, &moved).unwrap();
    std::fs::remove_dir(dir.path().join("sub")).unwrap();
    write(dir.path().join("sub"), "in the way").unwrap();
    file.lock().name_checked -= CHECK_NAME_EVERY;
    append_all(&file, b"text", limits);
    assert_eq!(read(&moved).unwrap(), b"text");
}

#[test]
fn the_next_file_has_the_mode_of_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let file = open_shared(&path);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    append_all(&file, b"0123456789\nab", Limits { maxbytes: 10, backups: 2 });
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn two_names_of_one_file_share_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let (one, two) = (open_shared(&path), open_shared(&dir.path().join(".").join("f")));
    assert!(Arc::ptr_eq(&one.0, &two.0));
}

#[test]
fn a_rotation_that_fails_does_not_stop_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    // A directory that is not empty cannot be replaced by a file.
    std::fs::create_dir_all(dir.path().join("f.1/in the way")).unwrap();
    let (file, limits) = (open_shared(&path), Limits { maxbytes: 10, backups: 1 });
    let written = file.append(b"012345678\n", limits).unwrap();
    assert!(written.notice.unwrap().starts_with("could not rotate log file"));
    append_all(&file, b"more", limits);
    assert_eq!(read(&path).unwrap(), b"012345678\nmore");
}
