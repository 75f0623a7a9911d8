//! Bytes inside of text that are not UTF-8. A variable of the environment may hold any bytes, and a file that passes
//! the variable on with `%(ENV_X)s` means these bytes.
//!
//! Where a configuration is text, such a byte is the character U+10FF00 plus its value, at the end of the last private
//! plane. It can be stored and sent like any other character. Code that passes a text to the kernel uses [`bytes`] of
//! it.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

const BASE: u32 = 0x10_ff00;

/// Converts bytes to text: UTF-8 stays as it is, every other byte becomes its character of the private plane.
pub fn text(bytes: &OsStr) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.as_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match byte(c) {
                // What happens to look like one of ours stands for its own bytes.
                Some(_) => text.extend(c.encode_utf8(&mut [0; 4]).bytes().map(character)),
                None => text.push(c),
            }
        }
        text.extend(chunk.invalid().iter().copied().map(character));
    }
    text
}

/// Converts a text back to the bytes it was made from by [`text`].
pub fn bytes(text: &str) -> Cow<'_, [u8]> {
    if !text.contains(|c| byte(c).is_some()) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match byte(c) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Cow::Owned(bytes)
}

/// [`bytes`] as a name or value of the environment.
pub fn os_string(text: &str) -> OsString {
    OsString::from_vec(bytes(text).into_owned())
}

/// [`bytes`] of a path. A path that is not UTF-8 already consists of the right bytes.
pub fn path(path: &Path) -> PathBuf {
    path.to_str().map_or_else(|| path.to_path_buf(), |text| PathBuf::from(os_string(text)))
}

fn byte(c: char) -> Option<u8> {
    let byte = u8::try_from((c as u32).checked_sub(BASE)?).ok()?;
    (byte >= 0x80).then_some(byte)
}

fn character(byte: u8) -> char {
    // BASE plus a byte is the last plane, which has no surrogates.
    char::from_u32(BASE + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back() {
        for original in
            [&b""[..], b"plain", "ä€😀".as_bytes(), b"\xff\x80a\xc3", "\u{10ff80}\u{10ffff}x".as_bytes()]
        {
            let text = text(OsStr::from_bytes(original));
            assert_eq!(&*bytes(&text), original);
            let raw = original != b"" && std::str::from_utf8(original).is_err();
            assert!(!raw || text.chars().any(|c| byte(c).is_some()));
        }
        assert_eq!(text(OsStr::from_bytes(b"a\xe9")), "a\u{10ffe9}");
        assert_eq!(path(Path::new("/\u{10ffe9}")).as_os_str().as_bytes(), b"/\xe9");
    }
}
