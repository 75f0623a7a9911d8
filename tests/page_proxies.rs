//! The page in a browser behind nginx and Apache, configured as people configure them for Supervisor.
//!
//! Three daemons: one that everybody may use, one that knows the name under which the browser comes, and one with a
//! password. In front of each stands every kind of proxy; `tests/page/proxies.test.js` visits them all.

mod support;

use serde_json::json;
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::{Daemon, LONG, Side, Start, free_ports, page_script, run, run_within, until};

/// Scripts wait for conditions with deadlines of their own; this is for one that hangs.
const PATIENCE: Duration = Duration::from_secs(480);

const PROGRAMS: &str =
    "[program:web]\ncommand=/bin/sh -c 'echo web is ready; exec sleep 3600'\nstartsecs=0\n";

/// The daemons: a name, and what stands in the section of the server.
const DAEMONS: [(&str, &str); 3] =
    [("open", ""), ("named", "allowed_hosts=ops.test\n"), ("locked", "username=me\npassword=secret\n")];

/// What nginx is told: a name, the path of the page, and a location. `UPSTREAM` is the daemon, `APACHE` an Apache in
/// front of it.
const LOCATIONS: [(&str, &str, &str); 6] = [
    ("Host is the upstream's", "/", "location / { proxy_pass http://UPSTREAM; }"),
    ("Host without a port", "/", "location / { proxy_pass http://UPSTREAM; proxy_set_header Host $host; }"),
    (
        "two names in X-Forwarded-Host",
        "/",
        "location / { proxy_pass http://APACHE; proxy_set_header X-Forwarded-Host $http_host; }",
    ),
    (
        "Host with a path",
        "/supervisor",
        "location /supervisor { proxy_pass http://UPSTREAM/; proxy_set_header Host $http_host/supervisor; }",
    ),
    (
        "X-Forwarded-Prefix",
        "/sup",
        "location /sup { proxy_pass http://UPSTREAM/; proxy_set_header X-Forwarded-Prefix /sup; }",
    ),
    ("below a path", "/sup/", "location /sup/ { proxy_pass http://UPSTREAM/; }"),
];

/// A server that ends with the test.
struct Server(Child);

impl Server {
    /// Starts a server that stays in the foreground and is one process, and waits until it listens.
    #[track_caller]
    fn start(command: &mut Command, port: u16) -> Server {
        let what = format!("{command:?} listens");
        let child = command.stdin(Stdio::null()).spawn().unwrap_or_else(|error| {
            panic!("cannot run {:?}: {error}; .ci/prepare installs it", command.get_program())
        });
        let server = Server(child);
        until(&what, LONG, || TcpStream::connect(("127.0.0.1", port)).is_ok());
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Our own child, not waited for yet: the pid is no other's.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How many ports a site takes.
const PORTS: usize = 3 + LOCATIONS.len();

/// A daemon with what stands in front of it.
struct Site {
    name: &'static str,
    daemon: Daemon,
    port: u16,
    apache: u16,
    nginx: [u16; LOCATIONS.len()],
    tls: u16,
}

impl Site {
    #[track_caller]
    fn new(name: &'static str, lines: &str, ports: [u16; PORTS]) -> Site {
        let [port, apache, tls, nginx @ ..] = ports;
        let conf = format!("{PROGRAMS}[inet_http_server]\nport=127.0.0.1:{port}\n{lines}");
        Site { name, daemon: Start::new(Side::Ours, &conf).ready(), port, apache, nginx, tls }
    }

    /// The servers for the configuration of nginx.
    fn nginx(&self, certificate: &Path) -> String {
        let addresses = |text: &str| {
            text.replace("UPSTREAM", &format!("127.0.0.1:{}", self.port))
                .replace("APACHE", &format!("127.0.0.1:{}", self.apache))
        };
        let server = |(port, (_, _, location)): (&u16, &(&str, &str, &str))| {
            format!("server {{ listen 127.0.0.1:{port}; {} }}\n", addresses(location))
        };
        let plain: String = self.nginx.iter().zip(&LOCATIONS).map(server).collect();
        let (tls, file, location) = (self.tls, certificate.display(), addresses(LOCATIONS[0].2));
        format!(
            "{plain}server {{ listen 127.0.0.1:{tls} ssl; ssl_certificate {file}; ssl_certificate_key {file}; {location} }}\n"
        )
    }

    /// The same for Apache, which adds to X-Forwarded-Host by itself.
    fn apache(&self) -> String {
        let (apache, port) = (self.apache, self.port);
        format!(
            "Listen 127.0.0.1:{apache}\n<VirtualHost 127.0.0.1:{apache}>\nProxyPass / http://127.0.0.1:{port}/\n\
             ProxyPassReverse / http://127.0.0.1:{port}/\n</VirtualHost>\n"
        )
    }

    /// Where the browser finds what.
    fn places(&self) -> Vec<serde_json::Value> {
        let place = |shape: &str, scheme: &str, port: u16, path: &str| json!({"shape": shape, "daemon": self.name, "scheme": scheme, "port": port, "path": path});
        let nginx = self.nginx.iter().zip(&LOCATIONS);
        let mut places: Vec<_> =
            nginx.map(|(port, (shape, path, _))| place(shape, "http", *port, path)).collect();
        places.push(place("Apache", "http", self.apache, "/"));
        places.push(place("TLS", "https", self.tls, "/"));
        places
    }
}

/// A key and a certificate of its own in one file.
#[track_caller]
fn certificate(directory: &Path) -> std::path::PathBuf {
    let file = directory.join("server.pem");
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    openssl.args(["-subj", "/CN=ops.test", "-days", "2", "-keyout"]).arg(&file);
    let certificate = run(openssl.arg("-out").arg("/dev/stdout")).expect(0).stdout;
    let key = fs::read_to_string(&file).expect("openssl wrote the key");
    fs::write(&file, format!("{key}{certificate}")).expect("the test's directory can be written");
    file
}

#[track_caller]
fn nginx(directory: &Path, sites: &[Site]) -> Server {
    let certificate = certificate(directory);
    let here = directory.display();
    let servers: String = sites.iter().map(|site| site.nginx(&certificate)).collect();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {here}/nginx-{kind};\n"));
    let conf = format!(
        "daemon off;\nmaster_process off;\npid {here}/nginx.pid;\nerror_log {here}/nginx.log;\n\
         events {{ worker_connections 512; }}\nhttp {{\naccess_log off;\n{}{servers}}}\n",
        temporary.concat()
    );
    let file = directory.join("nginx.conf");
    fs::write(&file, conf).expect("the test's directory can be written");
    let mut command = Command::new("nginx");
    command.arg("-e").arg(directory.join("nginx.log")).arg("-p").arg(directory).arg("-c").arg(file);
    Server::start(&mut command, sites[0].nginx[0])
}

#[track_caller]
fn apache(directory: &Path, sites: &[Site]) -> Server {
    let here = directory.display();
    let servers: String = sites.iter().map(Site::apache).collect();
    let modules = ["mpm_event", "authz_core", "proxy", "proxy_http"]
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"));
    let conf = format!(
        "ServerRoot {here}\nDefaultRuntimeDir {here}\nPidFile {here}/apache.pid\nErrorLog {here}/apache.log\n\
         ServerName localhost\nUser nobody\nGroup nogroup\nMutex sem\n{}{servers}",
        modules.concat()
    );
    let file = directory.join("apache.conf");
    fs::write(&file, conf).expect("the test's directory can be written");
    // One process, with threads.
    let mut command = Command::new("apache2");
    Server::start(command.arg("-X").arg("-f").arg(file), sites[0].apache)
}

#[test]
fn the_page_works_behind_the_proxies_that_people_have() {
    // All at once, so that they differ: most are bound only when every daemon runs.
    let ports: [u16; PORTS * DAEMONS.len()] = free_ports();
    let mut ports = ports.into_iter();
    let sites = DAEMONS.map(|(name, lines)| {
        Site::new(name, lines, std::array::from_fn(|_| ports.next().expect("as many as are needed")))
    });
    let directory = sites[0].daemon.directory();
    let _apache = apache(directory, &sites);
    let _nginx = nginx(directory, &sites);
    let places: Vec<_> = sites.iter().flat_map(Site::places).collect();
    let mut node = page_script(&sites[0].daemon, "proxies.test.js", sites[0].port);
    node.env("PAGE_PLACES", json!(places).to_string());
    run_within(&mut node, PATIENCE).expect(0);
    let log = sites[0].daemon.log();
    assert!(log.contains("WARN refused: a page of \"http://ops.test:"), "{log}");
    assert!(log.contains("WARN refused: a browser asked for \"ops.test\""), "{log}");
}
