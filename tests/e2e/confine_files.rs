//! Which files programs can get at.

use crate::confine_kit::*;
use crate::support::has_root;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

#[test]
fn files_outside_of_the_paths_cannot_be_reached() {
    if !has_landlock() {
        return;
    }
    let check = |wrapper: &[&str], user: &str, circumstances: &str| {
        let here = "%(here)s";
        let keys = format!(
            "read_only_paths={SYSTEM}, /proc, {here}/public, {here}/files.sh, -{here}/nowhere\n\
             read_write_paths={here}/own, /dev/null\ndirectory={here}\ncredential.token={here}/secret/file\n{user}\n"
        );
        let mut conf = once("files", &keys);
        conf += &format!(
            "[program:gone]\ncommand=sleep 1000\nstartretries=0\nread_only_paths={SYSTEM}, {here}/nowhere\n\
             [program:locked]\ncommand=sleep 1000\nstartretries=0\nread_only_paths=/dev/null\n"
        );
        let elsewhere = format!(
            "read_only_paths={SYSTEM}, /proc\nread_write_paths=/dev/null\ndirectory={here}/secret\n{user}"
        );
        conf += &teller("elsewhere", "cat file\ncat /proc/self/cwd/file\nls\nls /\necho over", &elsewhere);
        conf += &teller("plain", "cat file", &format!("directory={here}/secret\n{user}"));
        let mut daemon = prepared(wrapper, &conf);
        for directory in ["public", "secret", "own"] {
            let path = daemon.path(directory);
            fs::create_dir(&path).expect("the directory is ours");
            fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).expect("the directory is ours");
        }
        for (name, text) in [("public/file", "open\n"), ("secret/file", "hidden\n"), ("own/file", "mine\n")] {
            fs::write(daemon.path(name), text).expect("the directory is ours");
            fs::set_permissions(daemon.path(name), PermissionsExt::from_mode(0o666)).expect("ours");
        }
        symlink("../secret/file", daemon.path("public/link")).expect("the directory is ours");
        symlink(daemon.path("secret"), daemon.path("own/link")).expect("the directory is ours");
        write_script(
            &daemon,
            "files",
            r#"here=$PWD
try() { if "$@" >out.txt 2>/dev/null; then echo "reached: $*"; fi; }
cd own
try cat ../public/file
try cat "$CREDENTIALS_DIRECTORY/token"
try cp file copy
try cat ../secret/file
try ls ../secret
try ls ..
try cat ../public/link
try cat link/file
try cat "/proc/self/root$here/secret/file"
try cat "/proc/self/cwd/../secret/file"
try cat /etc/passwd
try cp file ../public/new
try truncate -s 0 ../public/file
try rm ../public/file
try mv file ../public/moved
try ln ../secret/file hard
try cat hard
try mv ../secret/file stolen
try mkdir ../public/directory
try ln -P ../public/file hard
try mount --bind ../secret .
try sh -c 'echo more >>../public/file'
try ls /
try mknod ../public/fifo p
perl -e 'symlink("../../secret/file", "new")'; try cat new
perl -e 'open(my $f, "<", "/proc/'$PPID'/root'$here'/secret/file") and print "reached: parent\n"'
"#,
        );
        daemon.start();
        let reached = output_of(&daemon, "files");
        let token = reached.lines().find(|line| line.ends_with("/token")).unwrap_or_default().to_string();
        assert!(!token.is_empty(), "{circumstances}: {reached}");
        let rest: Vec<&str> = reached.lines().filter(|line| *line != token).collect();
        assert_eq!(rest, ["reached: cat ../public/file", "reached: cp file copy"], "{circumstances}");
        assert_eq!(daemon.read("public/file"), "open\n", "{circumstances}");
        assert_eq!(daemon.read("secret/file"), "hidden\n", "{circumstances}");
        assert_eq!(daemon.read("own/copy"), "mine\n", "{circumstances}");
        let gone = why(&daemon, "gone");
        let wanted =
            format!("read_only_paths {}: No such file or directory", daemon.path("nowhere").display());
        assert_eq!(gone, wanted, "{circumstances}");
        let locked = why(&daemon, "locked");
        assert!(
            locked.starts_with("couldn't exec ")
                && locked.contains("EACCES (what it executes, and the loader of that, must lie below"),
            "{locked}"
        );
        let said = told(&daemon, "elsewhere");
        assert!(said.contains("Permission denied"), "{circumstances}: {said}");
        let reached: Vec<&str> = said.lines().filter(|line| !line.contains(": ")).collect();
        assert_eq!(reached, ["over"], "{circumstances}: {said}");
        assert_eq!(told(&daemon, "plain"), "hidden", "{circumstances}");
    };
    as_everybody(|wrapper, circumstances| check(wrapper, "", circumstances));
    if has_root("takes root, to become others") {
        check(&[], "user=nobody", "as another user");
    }
}
