//! The page in a browser: headless Chromium, driven by the scripts of `tests/page`, in front of a daemon of ours.
//!
//! Each test starts a daemon and runs one script with it. What the scripts photograph is written to `target/page`; with
//! `PAGE_PICTURES=docs` the pictures of the documentation are made anew there.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::{Daemon, Side, Start, free_ports, page_script, run_within};

/// Scripts wait for conditions with deadlines of their own; this is for one that hangs.
const PATIENCE: Duration = Duration::from_secs(480);

/// A program that crashes when a file appears, in colour.
const FRAGILE: &str = r#"
echo "all is well"
while [ ! -e crash ]; do sleep 0.05; done
rm crash
printf '\033[1;31mERROR\033[0m the disk is on fire\n' >&2
exit 3
"#;

/// A program that says what it hears.
const TALKER: &str = r#"
trap 'echo heard USR1' USR1
echo talking
while :; do sleep 0.05; done
"#;

/// A program that repeats what stands in a file, and what is added to it.
const SPEAKER: &str = "touch said; exec tail -n +1 -F said 2>/dev/null\n";

/// A program whose output is not meant well.
const EVIL: &str = r#"
echo '<script>alert(2)</script><b>bold</b> &amp;'
printf 'nul \000 bell \007 no UTF-8 \377\376 turned \342\200\256 end\n'
printf '\033[38;2;120;80;255mown colour\033[0m \033[38;5;208mone of 256\033[0m \033[44mon blue\033[0m\n'
echo 'the last line'
exec sleep 3600
"#;

const PROGRAMS: &str = r#"
[program:web]
command=/bin/sh -c 'echo web is ready; exec sleep 3600'
environment=MODE="production",DB_PASSWORD="hunter2"
startsecs=0

[program:fragile]
command=/bin/sh fragile.sh
directory=%(here)s
autorestart=false
startsecs=0

[program:missing]
command=/opt/missing/server
startretries=0

[program:worker]
command=/bin/sleep 3600
process_name=%(program_name)s_%(process_num)02d
numprocs=2
startsecs=0

[program:talker]
command=/bin/sh talker.sh
directory=%(here)s
stdout_logfile=%(here)s/talker.log
startsecs=0

[group:team]
programs=talker

[program:speaker]
command=/bin/sh speaker.sh
directory=%(here)s
startsecs=0
stopasgroup=true

[program:<script>alert(1)<b>&lt;"]
command=/bin/sh evil.sh
directory=%(here)s
startsecs=0
"#;

/// A shop in which one waits for another. Files say whether the database is ready and well, and whether the job has ended.
const WAITING: &str = r#"
[program:db]
command=/bin/sleep 3600
ready=file:%(here)s/ready
ready_interval=100ms
ready_timeout=1h
health=file:%(here)s/well
health_interval=100ms
health_retries=2
health_action=none

[program:migrate]
type=oneshot
command=/bin/sh -c 'while [ ! -e %(here)s/migrated ]; do sleep 0.05; done'
depends_on=db:healthy

[program:mail]
command=/bin/sleep 3600
startsecs=3600

[program:web]
command=/bin/sleep 3600
startsecs=0
depends_on=db:healthy, migrate:done, mail?
restart_limit=5/60s

[program:plain]
command=/bin/sleep 3600
startsecs=0
"#;

/// More processes that depend on others than one picture shows, and a hundred that it does.
const CROWD: &str = r#"
[program:hub]
command=/bin/sleep 3600
autostart=false

[program:spoke]
command=/bin/sleep 3600
process_name=%(program_name)s_%(process_num)03d
numprocs=99
autostart=false
depends_on=hub

[program:source]
command=/bin/sleep 3600
autostart=false

[program:many]
command=/bin/sleep 3600
process_name=%(program_name)s_%(process_num)03d
numprocs=21
autostart=false
depends_on=source
"#;

/// A small shop, for pictures.
const SHOP: &str = r#"
[program:web]
command=/bin/sh shop.sh
directory=%(here)s
process_name=%(program_name)s_%(process_num)02d
numprocs=3
startsecs=0

[program:mailer]
command=/bin/sh busy.sh 20000
directory=%(here)s
startsecs=0

[program:thumbnails]
command=/bin/sh busy.sh 60000
directory=%(here)s
startsecs=0

[group:workers]
programs=mailer,thumbnails

[program:cache]
command=/bin/sleep 3600
startsecs=0

[program:search]
command=/opt/search/bin/search --index /srv/index
startretries=0

[program:backup]
command=/bin/sh -c 'exit 1'
startsecs=0
autorestart=false

[program:payments]
command=/bin/sleep 3600
startsecs=3600

[program:import]
command=/bin/sleep 3600
autostart=false
"#;

/// What a web server writes, as fast as it takes to fill a picture.
const SERVER: &str = r#"
say() { printf '%s \033[%sm%-5s\033[0m %s\n' "$(date +%T.%3N)" "$1" "$2" "$3"; }
say 32 INFO 'listening on 127.0.0.1:8000, 4 threads'
i=0
while :; do
  i=$((i + 1))
  say 32 INFO "GET /products/$((i * 7 % 90)) 200 in $((i * 13 % 37 + 3)) ms"
  [ $((i % 4)) -eq 0 ] && say 32 INFO "POST /cart 201 in $((i * 5 % 23 + 9)) ms"
  [ $((i % 7)) -eq 0 ] && say 33 WARN "slow query: select * from carts where id = $i took 412 ms"
  [ $((i % 11)) -eq 0 ] && say '1;31' ERROR 'payment gateway timed out, trying again in 2 s'
  [ $i -gt 24 ] && sleep 1
done
"#;

/// A program with something to do, more or less of it.
const BUSY: &str = "while :; do i=0; while [ $i -lt $1 ]; do i=$((i + 1)); done; sleep 0.3; done";

/// Written beside the configuration.
const SCRIPTS: [(&str, &str); 6] = [
    ("fragile.sh", FRAGILE),
    ("talker.sh", TALKER),
    ("speaker.sh", SPEAKER),
    ("evil.sh", EVIL),
    ("shop.sh", SERVER),
    ("busy.sh", BUSY),
];

/// A daemon with a page, and the page's port.
fn daemon_with_page(programs: &str) -> (Daemon, u16) {
    let [port] = free_ports();
    let conf = format!("[inet_http_server]\nport=127.0.0.1:{port}\n{programs}");
    let mut daemon = Start::new(Side::Ours, &conf).prepare();
    for (name, text) in SCRIPTS {
        fs::write(daemon.path(name), text).expect("the test's directory can be written");
    }
    daemon.start();
    (daemon, port)
}

/// Where pictures for the documentation are to be made, if somebody asks for them.
fn pictures() -> Option<PathBuf> {
    std::env::var_os("PAGE_PICTURES").map(|directory| Path::new(env!("CARGO_MANIFEST_DIR")).join(directory))
}

/// Runs a script of `tests/page` with a daemon of its own.
///
/// # Panics
/// If it fails; its output is printed.
#[track_caller]
fn run_script(name: &str, programs: &str) {
    let (daemon, port) = daemon_with_page(programs);
    let mut node = page_script(&daemon, name, port);
    if let Some(directory) = pictures() {
        node.env("PAGE_PICTURES", directory);
    }
    run_within(&mut node, PATIENCE).expect(0);
}

#[test]
fn a_person_finds_reads_mends_and_orders() {
    run_script("person.test.js", PROGRAMS);
}

#[test]
fn nobody_else_gets_in_and_data_stays_data() {
    run_script("safety.test.js", PROGRAMS);
}

#[test]
fn it_is_legible_for_everybody_in_both_themes() {
    run_script("looks.test.js", PROGRAMS);
}

#[test]
fn it_says_when_the_daemon_is_not_there() {
    run_script("daemon.test.js", PROGRAMS);
}

#[test]
fn its_parts_do_what_they_say() {
    run_script("parts.test.js", PROGRAMS);
}

#[test]
fn it_shows_who_waits_for_whom_and_how_they_are() {
    run_script("life.test.js", WAITING);
}

#[test]
fn it_says_when_a_picture_would_show_nothing() {
    run_script("crowd.test.js", CROWD);
}

#[test]
fn its_pictures_are_made_when_somebody_asks() {
    if pictures().is_some() {
        run_script("pictures.test.js", SHOP);
    }
}
