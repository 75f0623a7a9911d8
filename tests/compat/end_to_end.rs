//! The original's own end-to-end tests, from the installed package, with our binary in the place of the original.

use crate::support::{Side, run_within};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

#[test]
fn the_originals_own_tests_pass() {
    let Some(python) = Side::python_of_original() else {
        eprintln!("the original is not installed: its tests cannot be run");
        return;
    };
    let has_pexpect = Command::new(&python).args(["-c", "import pexpect"]).output();
    if !has_pexpect.is_ok_and(|output| output.status.success()) {
        eprintln!("pexpect is not installed beside the original, see .ci/prepare: its tests cannot be run");
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat/end_to_end.py");
    let mut command = Command::new(python);
    command.arg(script).arg(env!("CARGO_BIN_EXE_supervisord")).arg(directory.path());
    run_within(&mut command, Duration::from_secs(400)).expect(0);
}
