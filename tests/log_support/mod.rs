//! What tests of logs share.

// Each test uses its part.
#![allow(dead_code)]

use std::io::Write;
use std::path::{Path, PathBuf};

/// A tiny file system of its own that is gone with the test.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` without the right to mount.
    pub fn mount(kilobytes: u32) -> Option<SmallDisk> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={kilobytes}k");
        let mut mount = std::process::Command::new("mount");
        let status = mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path()).status();
        status.is_ok_and(|status| status.success()).then(|| SmallDisk(dir))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Fills what is left of it, with the file of the returned name.
    pub fn fill(&self) -> PathBuf {
        let path = self.path("filler");
        let mut filler = std::fs::File::create(&path).unwrap();
        while filler.write_all(&[0; 4096]).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Somebody may have a log open still; it goes when that is closed.
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// The whole text of a log.
pub fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// So many lines of 100 bytes.
pub fn numbered_lines(n_lines: usize) -> String {
    (0..n_lines).map(|number| format!("{number:>99}\n")).collect()
}
