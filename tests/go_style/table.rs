//! The rows of "Feature by feature" in `docs/from-go.md`: what its last column says is what happens.

use crate::ctl;
use crate::support::{
    Address, Client, Daemon, LONG, Response, Run, Side, Start, cmdline, free_ports, run, until,
};
use std::fs;
use std::path::Path;
use std::process::Command;
use supervisord::config::{self, Surroundings};
use supervisord::model::config::{Config, Level};
use supervisord::model::state::ProcessState::{Exited, Running};

/// One daemon with a bit of everything.
struct World {
    daemon: Daemon,
    /// A server with a login, and one whose password is a hash.
    ports: [u16; 2],
}

/// How a row is tried.
enum Case {
    /// Gives what the last column has to say.
    Try(fn(&World) -> String),
    /// By a test of this file that has this name.
    Test(&'static str, &'static str),
}

use Case::{Test, Try};

const TAKING_OVER: &str = "the_table_of_a_go_descendant_is_taken_over_as_far_as_it_is_certain";
const PIDPROXY: &str = "it_can_end_with_the_process_instead_of_its_command";
const THEIR_KEYS: &str = "their_names_of_keys_are_understood";
const NO_COPIES: &str = "whatever_is_left_of_the_table_there_are_never_two";

/// In the order of the table, in which they are tried.
const CASES: [(&str, Case); 58] = [
    ("a file with a program and a server, and nothing else", Try(nothing_else)),
    ("`ctl` without `[supervisorctl]`", Try(client_without_section)),
    ("the login of the client", Try(login)),
    ("neither `-d` nor `nodaemon`", Try(|_| where_it_runs(&[]))),
    ("`-d` without a directory", Try(|_| where_it_runs(&["-d"]))),
    ("`--env-file FILE`", Try(env_file)),
    ("`--dlog-file FILE`", Try(dlog_file)),
    ("`./supervisord.ini`", Try(|_| search("supervisord.ini"))),
    ("`./conf/supervisord.conf`", Try(|_| search("conf/supervisord.conf"))),
    ("keys and sections that nobody reads", Try(unknown_keys)),
    ("`[program-default]`", Try(|_| program_default())),
    ("`depends_on`", Test("config/from_go.rs", THEIR_KEYS)),
    ("`restartPause`", Test("config/from_go.rs", THEIR_KEYS)),
    ("`liveness_check_script` and the like", Test("config/from_go.rs", THEIR_KEYS)),
    ("`killwaitsecs`", Try(|world| not_read(world, "[program:web] killwaitsecs"))),
    ("`user=name:group`", Test("e2e/relatives.rs", "a_program_may_have_a_group_of_its_own")),
    ("`user=54321`", Try(numeric_user)),
    ("`stopsignal=HUP INT TERM`", Test("e2e/relatives.rs", "stop_signals_come_one_after_the_other")),
    ("`command=/bin/date +%H:%M`", Try(bare_percent)),
    ("`loglevel=warning`", Try(|_| log_level("warning"))),
    ("`loglevel=fatal`, `loglevel=panic`", Try(|_| both(log_level("fatal"), log_level("panic")))),
    ("booleans `t` and `f`", Try(booleans)),
    ("`[unix_http_server]` without `file`", Try(socket_without_file)),
    ("`username` without `password`", Try(username_alone)),
    ("a password as `{SHA}` and a hash", Try(hashed_password)),
    ("several log files, `a.log, /dev/stdout`", Try(several_logs)),
    ("`stdout_logfile=memory`", Try(log_in_memory)),
    ("`stdout_logfile=syslog`", Try(local_syslog)),
    ("`stdout_logfile=syslog @host`", Test("config/from_go.rs", "their_syslog_is_taken")),
    ("`syslog_facility` and the like", Test("config/from_go.rs", "their_syslog_is_taken")),
    ("a value in `\"\"\"`", Try(|_| triple_quotes())),
    ("`supervisord ctl start x`, `x` in the group `g`", Try(start_as_in_go)),
    ("`supervisorctl start x`, `x` in the group `g`", Try(start_as_in_supervisor)),
    ("`POST /program/start/x`, `x` in the group `g`", Try(start_by_post)),
    ("options behind the action", Try(options_behind)),
    ("`ctl signal all`", Try(signal_all)),
    ("`ctl fg x`", Try(foreground)),
    ("`ctl start-group g`, `ctl stop-group g`", Try(groups)),
    ("`supervisord shutdown`, `supervisord reload`, as in its unit", Try(words_for_the_daemon)),
    ("`supervisord version`", Try(version)),
    ("`supervisord init -o FILE`", Try(init)),
    ("`supervisord service install`", Test("service.rs", "a_service_comes_and_goes")),
    ("`ctl reload`", Try(reload)),
    ("`ctl update`", Try(update)),
    ("`status _procs`, `_infomap`, `_prestart` with `--json`", Try(tables_as_json)),
    ("`exitkillall=false` without `processinfomapfile`", Try(table_without_a_name)),
    ("a table of the fork's", Test("e2e/copies.rs", TAKING_OVER)),
    ("the daemon is killed and started again", Test("e2e/copies.rs", NO_COPIES)),
    ("`node` in `GET /program/list`", Try(node)),
    ("`POST /program/stop/OTHER/x`", Try(|world| other_node(world, "/program/stop/OTHER/web"))),
    ("`POST /supervisor/OTHER/shutdown`", Try(|world| other_node(world, "/supervisor/OTHER/shutdown"))),
    ("`nodename`", Try(node_name)),
    ("`remotes`", Try(|world| not_read(world, "[inet_http_server] remotes"))),
    ("`GET /logtail/x/stdout`", Try(|world| whole_log(world, "/logtail/shop:web/stdout"))),
    ("`GET /program/log/x/stdout`", Try(|world| whole_log(world, "/program/log/web/stdout"))),
    ("`GET /conf/x`, `conf_file`", Try(conf_file)),
    ("`GET /metrics`", Try(metrics)),
    ("`pidproxy -exit-daemon-stop`", Test("e2e/pidproxy.rs", PIDPROXY)),
];

/// The first and the last cell of each row.
fn rows() -> Vec<(String, String)> {
    let text = read("docs/from-go.md");
    let (_, part) = text.split_once("## Feature by feature").expect("the heading is there");
    let (part, _) = part.split_once("\n## ").expect("more follows");
    let rows = part.lines().filter(|line| line.starts_with("| ")).skip(2);
    let cells = |row: &str| -> Vec<String> {
        row.trim_start_matches("| ").trim_end_matches(" |").split(" | ").map(str::to_string).collect()
    };
    let rows = rows.map(|row| {
        let cells = cells(row);
        assert_eq!(cells.len(), 5, "{row}");
        (cells[0].clone(), cells[4].clone())
    });
    rows.collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("the file is there")
}

#[test]
fn every_row_is_true() {
    let rows = rows();
    let cases: Vec<_> = CASES.iter().collect();
    let names = |names: Vec<&str>| names.join("\n");
    assert_eq!(
        names(rows.iter().map(|(name, _)| name.as_str()).collect()),
        names(cases.iter().map(|(name, _)| *name).collect()),
        "each row has a case, and each case a row"
    );
    let world = World::new();
    let mut wrong = Vec::new();
    for ((name, says), (_, case)) in rows.iter().zip(cases) {
        let happens = match case {
            Try(case) => case(&world),
            Test(file, test) => {
                let text = read(&format!("tests/{file}"));
                assert!(text.contains(&format!("#[test]\nfn {test}(")), "{name}: no test {test} in {file}");
                continue;
            }
        };
        if happens != *says {
            wrong.push(format!("{name}\n  the document: {says}\n  what happens: {happens}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

impl World {
    fn new() -> World {
        let ports = free_ports();
        let [open, hashed] = ports;
        let conf = format!(
            "[unix_http_server]\nfile=%(here)s/s.sock\n\
             [inet_http_server]\nport=127.0.0.1:{open}\nusername=test1\npassword=thepassword\nnodename=n1\n\
             remotes=n2:127.0.0.1:1\n\
             [inet_http_server:hashed]\nport=127.0.0.1:{hashed}\nusername=test1\n\
             password={{SHA}}82ab876d1387bfafe46cc1c8a2ef074eae50cb1d\n\
             [program:web]\ncommand=/bin/sh -c 'echo hello; exec sleep %(ENV_TIME)s'\nstartsecs=0\n\
             stdout_logfile=web.log, %(here)s/copy.log\ndepends_on=date:exited?\nrestartPause=1\nkillwaitsecs=1\n\
             conf_file=/etc/hostname\nxyz=1\n\
             [group:shop]\nprograms=web\n\
             [program:date]\ncommand=/bin/echo +%H:%M\nstartsecs=0\nautorestart=false\nstdout_logfile=%(here)s/date.log\n\
             [program:kept]\ncommand=/bin/echo kept\nstartsecs=0\nautorestart=false\nstdout_logfile=memory\nxyz=1\n"
        );
        let arguments = ["-n", "-q", ".", "--env-file", "vars", "--dlog-file", "out.log"];
        let mut daemon = Start::raw(Side::Ours, &conf).arguments(&arguments).prepare();
        fs::write(daemon.path("vars"), "export UNUSED=1\nTIME=1234").expect("written");
        daemon.start();
        daemon.wait_for_state("shop:web", Running, LONG);
        daemon.wait_for_state("date", Exited, LONG);
        daemon.wait_for_state("kept", Exited, LONG);
        World { daemon, ports }
    }

    fn port(&self, index: usize) -> Address {
        Address::Tcp(([127, 0, 0, 1], self.ports[index]).into())
    }

    /// An answer to a request on the socket.
    fn ask(&self, method: &str, path: &str) -> Response {
        ask(&self.daemon.address(), method, path, "")
    }

    fn warned_of(&self, what: &str) -> bool {
        let messages = self.daemon.messages();
        messages.iter().any(|line| line.level == "WARN" && line.text.contains(what))
    }
}

fn ask(address: &Address, method: &str, path: &str, headers: &str) -> Response {
    let mut client = Client::open(address).expect("it listens");
    client.send(format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n{headers}\r\n"));
    let head = client.head().expect("there is an answer");
    // Of a log without end the head is enough.
    if head.header("content-length").is_none() { head } else { client.with_body(head).expect("its body") }
}

/// `test1:thepassword`.
const LOGIN: &str = "Authorization: Basic dGVzdDE6dGhlcGFzc3dvcmQ=\r\n";

/// The text for what was seen, or what there was instead.
fn seen(is_so: bool, text: &str, instead: impl std::fmt::Debug) -> String {
    if is_so { text.to_string() } else { format!("{instead:?}") }
}

fn both(one: String, other: String) -> String {
    if one == other { one } else { format!("{one} and {other}") }
}

fn parse(text: &str) -> Result<Config, String> {
    let around = Surroundings::of_this_process();
    let parsed = config::parse(Path::new("/x.conf"), text, &Default::default(), &around);
    parsed.map_err(|errors| errors.to_string())
}

fn warns(config: &Config, what: &str) -> bool {
    config.messages.iter().any(|message| message.level == Level::Warn && message.text.contains(what))
}

/// The daemon's binary with these words, in a directory.
fn binary(directory: &Path, words: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_supervisord"));
    run(command.args(words).current_dir(directory))
}

fn nothing_else(_: &World) -> String {
    let conf =
        "[program:test]\ncommand=/bin/sleep 1000\nstartsecs=0\n[unix_http_server]\nfile=%(here)s/s.sock\n";
    let daemon = Start::raw(Side::Ours, conf).arguments(&["-n"]).ready();
    daemon.wait_for_state("test", Running, LONG);
    "runs".to_string()
}

fn client_without_section(world: &World) -> String {
    let url = format!("unix://{}", world.daemon.path("s.sock").display());
    let wrong = format!("unix://{}", world.daemon.path("other.sock").display());
    let [by_file, by_url, by_wrong] =
        [&["pid"][..], &["-s", &url, "pid"], &["-s", &wrong, "pid"]].map(|words| ctl(&world.daemon, words));
    let is_so = by_file.code == 0 && by_url.stdout == by_file.stdout && by_wrong.code != 0;
    seen(is_so, "uses the servers of the file; `-s` goes first", (by_file, by_url, by_wrong))
}

fn login(world: &World) -> String {
    let url = format!("http://127.0.0.1:{}", world.ports[0]);
    let by_file = ctl(&world.daemon, &["-s", &url, "pid"]);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let typed = |password: &str, option: &str| {
        binary(directory.path(), &["ctl", "-s", &url, "-u", "test1", option, password, "pid"])
    };
    let all = [by_file, typed("thepassword", "-P"), typed("thepassword", "-p"), typed("wrong", "-P")];
    let is_so =
        all[0].code == 0 && all[1..3].iter().all(|run| run.stdout == all[0].stdout) && all[3].code != 0;
    seen(is_so, "that of the server in the file as well; `-P` is `-p`", all)
}

fn where_it_runs(arguments: &[&str]) -> String {
    let conf = "[unix_http_server]\nfile=%(here)s/s.sock\n[program:x]\ncommand=cat\n";
    let (started, daemon) = Start::raw(Side::Ours, conf).arguments(arguments).run();
    seen(started.code == 0 && daemon.answers(), "the background", started)
}

fn env_file(world: &World) -> String {
    let command = cmdline(world.daemon.pid_of("shop:web"));
    seen(command.contains("1234"), "set before the file is read; a last line without its end counts", command)
}

fn dlog_file(world: &World) -> String {
    let is_so = world.warned_of("--dlog_file: has no effect") && !world.daemon.path("out.log").exists();
    seen(is_so, "taken, without effect, with a warning", world.daemon.log())
}

fn search(name: &str) -> String {
    let expected = "found, after the places of Supervisor";
    if ["/etc/supervisord.conf", "/etc/supervisor/supervisord.conf"]
        .iter()
        .any(|file| Path::new(file).exists())
    {
        eprintln!("{name}: not tried, because there is a file in /etc");
        return expected.to_string();
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::create_dir(directory.path().join("conf")).expect("made");
    let text = |program: &str| format!("[program:{program}]\ncommand=cat\n");
    fs::write(directory.path().join(name), text("relative")).expect("written");
    let alone = binary(directory.path(), &["check", "--dump"]);
    fs::write(directory.path().join("supervisord.conf"), text("original")).expect("written");
    let beside = binary(directory.path(), &["check", "--dump"]);
    let is_so = alone.stdout.contains("[program:relative]") && beside.stdout.contains("[program:original]");
    seen(is_so, expected, (alone, beside))
}

fn unknown_keys(world: &World) -> String {
    let n_lines = || {
        let messages = world.daemon.messages();
        messages.iter().filter(|line| line.level == "WARN" && line.text.contains("xyz: unknown key")).count()
    };
    let at_start = n_lines();
    world.daemon.ctl(&["reread"]).expect(0);
    let words = ["--env-file", "vars", "check", "-c", "supervisord.conf"];
    let checked = binary(world.daemon.directory(), &words);
    let n_places = checked.stdout.matches("xyz: unknown key").count();
    seen(
        (at_start, n_lines(), n_places) == (1, 2, 2),
        "one warning each at start and reread; `check` lists every place",
        (at_start, n_lines(), checked),
    )
}

fn not_read(world: &World, place: &str) -> String {
    let is_so =
        world.warned_of(&format!(": {place}: a ")) && world.warned_of("of other supervisors, ignored: ");
    seen(is_so, "not read, with a warning", world.daemon.log())
}

fn program_default() -> String {
    let parsed = parse(
        "[program-default]\numask=027\nenvironment=A=1\n[program:x]\ncommand=cat\nenvironment=B=2\n\
         [eventlistener:y]\ncommand=cat\nevents=TICK_5\n",
    );
    let has_all = |config: &Config| {
        let mut processes = config.groups.iter().flat_map(|group| &group.processes);
        processes.all(|process| process.umask == Some(0o027) && process.environment.contains_key("A"))
    };
    let is_so = parsed.as_ref().is_ok_and(has_all);
    seen(is_so, "holds for every program and event listener; `environment` is merged", parsed)
}

fn numeric_user(_: &World) -> String {
    let parsed = parse("[program:x]\ncommand=cat\nuser=54321\n");
    // Without root there is another reason to refuse it.
    let is_so = parsed.as_ref().map_or_else(|error| !error.contains("Invalid user name"), |_| true);
    seen(is_so, "a number", parsed)
}

fn bare_percent(world: &World) -> String {
    let is_so =
        world.daemon.read("date.log") == "+%H:%M\n" && world.warned_of("[program:date] command: a '%'");
    seen(is_so, "passed on, with a warning", world.daemon.log())
}

fn log_level(name: &str) -> String {
    match parse(&format!("[supervisord]\nloglevel={name}\n")) {
        Ok(config) => format!("`{:?}`", config.supervisord.loglevel).to_lowercase(),
        Err(error) => error,
    }
}

fn booleans(_: &World) -> String {
    let text = |on: &str, off: &str| {
        format!("[program:x]\ncommand=cat\nautostart={off}\nredirect_stderr={on}\nstopasgroup={on}\n")
    };
    let meant = parse(&text("true", "false")).map(|config| config.groups);
    let taken = [("t", "f"), ("T", "F")].map(|(on, off)| parse(&text(on, off)).map(|config| config.groups));
    let is_so = meant.is_ok() && taken.iter().all(|groups| format!("{groups:?}") == format!("{meant:?}"));
    seen(is_so, "true and false", taken)
}

fn socket_without_file(_: &World) -> String {
    let parsed = parse("[unix_http_server]\n[program:x]\ncommand=cat\n");
    let is_so = parsed.as_ref().is_ok_and(|config| {
        format!("{:?}", config.http_servers).contains("\"/tmp/supervisord.sock\"")
            && warns(config, "[unix_http_server] file: not given")
    });
    seen(is_so, "`/tmp/supervisord.sock`, with a warning", parsed)
}

fn username_alone(_: &World) -> String {
    let parsed = parse("[inet_http_server]\nport=9001\nusername=me\n");
    let is_so = parsed.as_ref().is_err_and(|error| error.contains("incomplete authentication"));
    seen(is_so, "refused: it looks like a login and is none", parsed)
}

fn hashed_password(world: &World) -> String {
    let answers = ["", LOGIN].map(|login| ask(&world.port(1), "GET", "/program/list", login).status);
    seen(answers == [401, 200], "understood", answers)
}

fn several_logs(world: &World) -> String {
    until("the program's output is there", LONG, || {
        ["web.log", "copy.log"].iter().all(|log| world.daemon.read(log).starts_with("hello\n"))
    });
    "written to all".to_string()
}

fn log_in_memory(world: &World) -> String {
    let text = world.ask("GET", "/program/log/kept/stdout").text();
    let is_so = text == "kept\n" && !world.daemon.path("memory").exists();
    seen(is_so, "in memory", text)
}

fn local_syslog(_: &World) -> String {
    let parsed = parse("[program:x]\ncommand=cat\nstdout_logfile=syslog\n");
    let is_so = parsed.as_ref().is_ok_and(|config| config.groups[0].processes[0].stdout.syslog);
    seen(is_so, "the syslog of this machine", parsed)
}

fn start_as_in_go(world: &World) -> String {
    let told = [ctl(&world.daemon, &["stop", "web"]), ctl(&world.daemon, &["start", "web"])];
    let is_so = told[0].stdout == "shop:web: stopped\n" && told[1].stdout == "shop:web: started\n";
    seen(is_so, "started", told)
}

fn start_as_in_supervisor(world: &World) -> String {
    let told = world.daemon.ctl(&["start", "web"]);
    seen(told.code == 1 && told.stdout == "web: ERROR (no such process)\n", "no such process", told)
}

fn start_by_post(world: &World) -> String {
    world.daemon.ctl(&["stop", "shop:web"]).expect(0);
    let answer = world.ask("POST", "/program/start/web");
    let is_so = answer.text().contains("true") && world.daemon.state_of("shop:web") == Running;
    seen(is_so, "started", answer)
}

fn options_behind(world: &World) -> String {
    let conf = world.daemon.conf();
    let conf = conf.to_string_lossy();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let ours = binary(directory.path(), &["ctl", "status", "-c", &conf, "-v", "web"]);
    let mut command = Side::Ours.ctl();
    let original = run(command.args(["status", "-c", &conf]).current_dir(directory.path()));
    let is_so = ours.code == 0 && ours.stdout.starts_with("shop:web ") && original.code != 0;
    seen(is_so, "understood by `supervisord ctl`", (ours, original))
}

fn signal_all(world: &World) -> String {
    let told = ctl(&world.daemon, &["signal", "all"]);
    if told.stdout.starts_with("Error: ") { format!("an error, {}", told.code) } else { told.to_string() }
}

fn foreground(world: &World) -> String {
    let told = ctl(&world.daemon, &["fg", "web"]);
    seen(told.stdout.contains("Press Ctrl-C to exit"), "attaches", told)
}

fn groups(world: &World) -> String {
    let told = [ctl(&world.daemon, &["stop-group", "shop"]), ctl(&world.daemon, &["start-group", "shop"])];
    let is_so = told[0].stdout == "shop:web: stopped\n" && told[1].stdout == "shop:web: started\n";
    seen(is_so, "understood", told)
}

fn words_for_the_daemon(world: &World) -> String {
    let told = ["shutdown", "reload"].map(|word| binary(world.daemon.directory(), &[word]));
    let is_so = told.iter().all(|run| run.code == 2 && run.stderr.contains("positional arguments"));
    seen(is_so && world.daemon.answers(), "refused", told)
}

fn version(world: &World) -> String {
    let told = binary(world.daemon.directory(), &["version"]);
    seen(told.code == 0 && told.stdout.lines().count() == 1, "one line", told)
}

fn init(world: &World) -> String {
    let made = binary(world.daemon.directory(), &["init", "-o", "sample.conf"]);
    let text = world.daemon.read("sample.conf");
    let keys = ["stopwaitsecs", "processinfomapfile", "allowed_hosts", "result_handler"];
    let is_so = made.code == 0 && keys.iter().all(|key| text.contains(&format!("{key}=")));
    seen(is_so, "a sample in which every key is explained", made)
}

fn reload(world: &World) -> String {
    let before = world.daemon.pid_of("shop:web");
    let told = ctl(&world.daemon, &["reload"]);
    until("the program was started again", LONG, || {
        let answer = world.daemon.address().call("supervisor.getPID", vec![]);
        matches!(answer, Ok(Ok(_))) && {
            let told = ctl(&world.daemon, &["pid", "web"]);
            told.code == 0 && told.stdout.trim().parse().is_ok_and(|pid: i32| pid > 0 && pid != before)
        }
    });
    seen(told.code == 0, "everything starts again", told)
}

fn update(world: &World) -> String {
    let daemon = &world.daemon;
    let (former, before) = (daemon.read("supervisord.conf"), daemon.pid_of("shop:web"));
    let changed = former.replace("[program:date]", "[program:another]");
    fs::write(daemon.conf(), &changed).expect("written");
    let told = ctl(daemon, &["update"]);
    let names = ["another", "date"].map(|name| ctl(daemon, &["status", name]).code != 4);
    let is_so = told.code == 0 && names == [true, false] && daemon.pid_of("shop:web") == before;
    fs::write(daemon.conf(), &former).expect("written");
    seen(is_so, "applies what changed", told)
}

fn tables_as_json(world: &World) -> String {
    let told =
        ["_procs", "_infomap", "_prestart"].map(|name| ctl(&world.daemon, &["status", name, "--json"]));
    let is_json = |run: &Run| serde_json::from_str::<serde_json::Value>(&run.stdout).is_ok();
    seen(told.iter().all(is_json), "JSON", told)
}

fn table_without_a_name(world: &World) -> String {
    let text = "[supervisord]\npidfile=%(here)s/d.pid\nexitkillall=false\n";
    fs::write(world.daemon.path("leaving.conf"), text).expect("written");
    let dump = binary(world.daemon.directory(), &["check", "--dump", "-c", "leaving.conf"]);
    let expected = format!("processinfomapfile={} ", world.daemon.path("d.pid.map").display());
    seen(dump.stdout.contains(&expected), "a table beside the pidfile", dump)
}

fn node(world: &World) -> String {
    let body = world.ask("GET", "/program/list").text();
    let list: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
    seen(list[0]["node"] == "n1", "the `nodename`, or the host's name", body)
}

fn other_node(world: &World, path: &str) -> String {
    let before = world.daemon.pid_of("shop:web");
    let answer = world.ask("POST", path);
    let (status, body) = (answer.status, answer.text());
    let is_same = before != 0 && world.daemon.pid_of("shop:web") == before;
    let success: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
    let is_so = status == 404 && success == serde_json::json!({"success": false}) && is_same;
    seen(is_so, "404 with `{\"success\": false}`; nothing is done", (status, body))
}

fn node_name(world: &World) -> String {
    let answer = world.ask("GET", "/program/info/n1/web");
    let (status, body) = (answer.status, answer.text());
    seen(status == 200 && !world.warned_of("nodename"), "names this machine", (status, body))
}

fn triple_quotes() -> String {
    let command = |text: &str| {
        let config = parse(&format!("[program:x]\ncommand=\"\"\"{text}\n"));
        config.map(|config| config.groups[0].processes[0].command.clone())
    };
    // The second one is two keys to Supervisor.
    let values = [command("/bin/echo\none two\"\"\""), command("cat\nb=\"\"\"")];
    let expected = [Ok("/bin/echo\none two".to_string()), Ok("\"\"\"cat".to_string())];
    seen(values == expected, "several lines where Supervisor would refuse", values)
}

/// Whether an answer has an announced end.
fn whole_log(world: &World, path: &str) -> String {
    let answer = world.ask("GET", path);
    let (is_ok, body) = (answer.status == 200, answer.text());
    match answer.header("content-length") {
        Some(_) => seen(is_ok && body.starts_with("hello\n"), "all of it, then ends", answer),
        None => seen(is_ok, "goes on without end", answer),
    }
}

fn conf_file(world: &World) -> String {
    let status = world.ask("GET", "/conf/shop:web").status;
    format!("{status}; {}", not_read(world, "[program:web] conf_file"))
}

fn metrics(world: &World) -> String {
    let answers = ["", LOGIN].map(|login| ask(&world.port(0), "GET", "/metrics", login).status);
    seen(answers == [401, 200], "to those who may log in", answers)
}
