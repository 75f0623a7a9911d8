//! The directory of a site: a database, a cache, a migration, two services, a worker, and a proxy in front.

use crate::support::{Daemon, LONG, Run, Side, Start, free_ports, has_root, run_within};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The user that Debian's package makes: PostgreSQL refuses to run as root.
const USER: &str = "postgres";

/// What depends on something stands before it, so that nothing is in order by chance.
const PROGRAMS: &str = "
[supervisord]
environment=PGHOST=\"%(here)s/db\",PGPORT=\"DB_PORT\",PGUSER=\"postgres\",PGDATABASE=\"postgres\",
  RECORDS=\"%(here)s/records\",FRONT=\"FRONT_PORT\"

[program:front]
command=nginx -e %(here)s/nginx.log -c %(here)s/nginx.conf
depends_on=api, web
ready=tcp:FRONT_PORT
stopsignal=QUIT
priority=1

[program:worker]
command=python3 %(here)s/service.py work API_PORT
ready=log:^the service is there$
depends_on=api:healthy
depends_restart=restart
priority=2

[program:web]
command=python3 %(here)s/service.py serve web WEB_PORT CACHE_PORT
depends_on=db, cache, migrate:done
depends_restart=restart
ready=http://127.0.0.1:WEB_PORT/ready
ready_interval=100ms
priority=3

[program:api]
command=python3 %(here)s/service.py serve api API_PORT
depends_on=db, migrate:done
depends_restart=restart
ready=http://127.0.0.1:API_PORT/ready
ready_interval=100ms
health=http://127.0.0.1:API_PORT/health
health_interval=500ms
health_timeout=2s
health_retries=2
stopwaitsecs=2
priority=4

[program:migrate]
type=oneshot
command=psql -X -q -v ON_ERROR_STOP=1 -o /dev/null -f %(here)s/migrate.sql
depends_on=db
priority=5

[program:cache]
command=redis-server --port CACHE_PORT --bind 127.0.0.1 --save '' --appendonly no --dir %(here)s
user=nobody
ready=tcp:CACHE_PORT
ready_interval=100ms
priority=6

[program:db]
command=BIN/postgres -D %(here)s/db/data
user=postgres
autorestart=true
stopsignal=INT
ready=READY
ready_interval=100ms
stderr_logfile=%(here)s/db.log
priority=7
";

/// How it is found out whether the database is ready, as its authors mean it.
pub const PG_ISREADY: &str = "exec:BIN/pg_isready -q";

/// The addresses of a site.
#[derive(Clone, Copy)]
pub struct Ports {
    pub db: u16,
    pub cache: u16,
    pub api: u16,
    pub web: u16,
    pub front: u16,
}

impl Ports {
    pub fn free() -> Ports {
        let [db, cache, api, web, front] = free_ports();
        Ports { db, cache, api, web, front }
    }
}

/// The directory with the server's programs, which Debian does not put on the path; `None`, with the reason printed, if
/// something is missing.
pub fn postgresql() -> Option<PathBuf> {
    if !has_root("PostgreSQL is started as a user of its own, which needs root") {
        return None;
    }
    let has = |name: &str| {
        let search = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&search).any(|folder| folder.join(name).exists())
    };
    let missing: Vec<&str> =
        ["psql", "redis-server", "nginx", "python3"].into_iter().filter(|name| !has(name)).collect();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = versions.map(|entry| entry.path().join("bin")).find(|bin| bin.join("postgres").exists());
    if found.is_none() || !missing.is_empty() {
        let postgresql = if found.is_none() { "postgresql " } else { "" };
        println!("skipped: {postgresql}{} missing; `make prepare` installs it", missing.join(" "));
        return None;
    }
    found
}

/// A site that is about to be started. `ready` is how to find out whether its database is ready.
///
/// # Panics
/// If one of its programs does not do what it should.
#[track_caller]
pub fn site(bin: &Path, ports: Ports, ready: &str) -> Daemon {
    let conf = configuration(bin, ports, ready);
    let daemon = Start::new(Side::Ours, &conf).prepare();
    furnish(&daemon, bin, ports);
    fs::write(daemon.path("nginx.conf"), nginx(&daemon, ports)).expect("written");
    daemon
}

/// The programs of a site.
pub fn configuration(bin: &Path, ports: Ports, ready: &str) -> String {
    with_values(&PROGRAMS.replace("READY", ready), bin, ports)
}

/// A configuration with the ports, and the directory of the database's programs, in their places.
fn with_values(conf: &str, bin: &Path, ports: Ports) -> String {
    let mut conf = conf.replace("BIN", &bin.to_string_lossy());
    for (name, port) in [
        ("DB_PORT", ports.db),
        ("CACHE_PORT", ports.cache),
        ("API_PORT", ports.api),
        ("WEB_PORT", ports.web),
        ("FRONT_PORT", ports.front),
    ] {
        conf = conf.replace(name, &port.to_string());
    }
    conf
}

/// Puts what the programs need into the directory: an empty database, a migration, the service.
#[track_caller]
pub fn furnish(daemon: &Daemon, bin: &Path, ports: Ports) {
    // The users of the programs pass through.
    fs::set_permissions(daemon.directory(), fs::Permissions::from_mode(0o711)).expect("it is ours");
    for name in ["service.py", "migrate.sql"] {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real_programs").join(name);
        fs::copy(source, daemon.path(name)).expect("copied");
    }
    let owner = nix::unistd::User::from_name(USER).expect("a list of users").expect("the package makes it");
    let db = daemon.path("db");
    fs::create_dir(&db).expect("made");
    chown(&db, Some(owner.uid.as_raw()), Some(owner.gid.as_raw())).expect("root may");
    let mut initdb = Command::new("setpriv");
    initdb.args(["--reuid", USER, "--regid", USER, "--clear-groups", "--"]).arg(bin.join("initdb"));
    initdb.args(["--auth=trust", "--no-sync", "--no-locale", "--encoding=UTF8", "-U", "postgres", "-D"]);
    // Its own directory, as it looks for that first.
    initdb.arg(db.join("data")).current_dir("/");
    run_within(&mut initdb, LONG * 3).expect(0);
    let settings = db.join("data/postgresql.conf");
    let text = fs::read_to_string(&settings).expect("initdb has written it");
    let ours = format!(
        "listen_addresses='127.0.0.1'\nport={}\nunix_socket_directories='{}'\nfsync=off\nmax_connections=20\n\
         shared_buffers=4MB\n",
        ports.db,
        db.display()
    );
    fs::write(settings, text + &ours).expect("root may");
}

fn nginx(daemon: &Daemon, ports: Ports) -> String {
    let here = daemon.directory().display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {here}/nginx-{kind};\n"));
    format!(
        "daemon off;\nuser nobody nogroup;\nworker_processes 1;\npid {here}/nginx.pid;\nevents {{}}\n\
         http {{\naccess_log off;\n{}server {{\nlisten 127.0.0.1:{};\n\
         location /api/ {{ proxy_pass http://127.0.0.1:{}/; }}\n\
         location / {{ proxy_pass http://127.0.0.1:{}/; }}\n}}\n}}\n",
        temporary.concat(),
        ports.front,
        ports.api,
        ports.web
    )
}

/// Asks the database of a site.
pub fn psql(daemon: &Daemon, ports: Ports, statement: &str) -> Run {
    let mut psql = Command::new("psql");
    psql.args(["-X", "-A", "-t", "-U", "postgres", "-d", "postgres", "-c", statement]);
    psql.arg("-h").arg(daemon.path("db")).args(["-p", &ports.db.to_string()]).current_dir("/");
    run_within(&mut psql, LONG)
}
