//! Scripts that open the page in a browser.

use super::Daemon;
use std::path::Path;
use std::process::Command;

/// A script of `tests/page`, to be run. It finds the page of `daemon`, which listens on `port`, and the daemon's
/// directory in its environment.
///
/// # Panics
/// If the browser tests are not installed.
pub fn page_script(daemon: &Daemon, name: &str, port: u16) -> Command {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page");
    assert!(
        scripts.join("node_modules/playwright-core").is_dir(),
        "the browser tests are not installed: run .ci/prepare .venv"
    );
    let mut node = Command::new("node");
    node.arg("--test-reporter=spec").arg(scripts.join(name)).current_dir(&scripts);
    node.env("PAGE_URL", format!("http://127.0.0.1:{port}/")).env("PAGE_DIRECTORY", daemon.directory());
    node.env("PAGE_OUTPUT", Path::new(env!("CARGO_TARGET_TMPDIR")).join("../page"));
    node.env("HOME", daemon.directory());
    // The browser, too, ends even if the script is killed.
    daemon.adopt(&mut node);
    node
}
