//! Procfiles.

use crate::imported::{assert_hostile_is_refused, import, refusal, run_with};
use supervisord::model::config::Autorestart;

const WITHOUT: [&str; 2] = ["PORT", "foreman ends all programs"];

#[test]
fn a_procfile_becomes_a_program_per_line() {
    let text = "# what runs here\nweb: python3 -m http.server $PORT\nworker: sh -c 'sleep 5; echo 100%'\n\n\
                clock:\tcd /tmp && A=1 sleep 60 # x\nlog: tail -f /dev/null | cat\n";
    let found = import("procfile", "Procfile", text, &[]);
    found.assert_losses(&WITHOUT);
    let command = |program: &str| found.process(program).command.clone();
    assert_eq!(command("web"), "/bin/sh -c \"exec python3 -m http.server $PORT\"");
    assert_eq!(command("worker"), "sh -c \"sleep 5; echo 100%\"");
    assert_eq!(command("clock"), "/bin/sh -c \"cd /tmp && exec env A=1 sleep 60 \"\"# x\"");
    assert_eq!(command("log"), "/bin/sh -c \"tail -f /dev/null | cat\"");
    let ports = ["web", "worker", "clock", "log"].map(|name| found.process(name).environment["PORT"].clone());
    assert_eq!(ports, ["5000", "5100", "5200", "5300"]);
    let web = found.process("web");
    assert!(!web.stopasgroup && found.process("log").stopasgroup);
    assert_eq!(web.autorestart, Autorestart::Always);
    let file = &web.environment_sources.environment_file[0];
    assert!(file.path.ends_with(".env") && file.may_be_missing);
    assert_eq!(web.directory.as_deref(), file.path.parent());
}

#[test]
fn realistic_procfiles_are_imported() {
    for (text, n_programs, losses) in [
        ("web: bundle exec puma -C config/puma.rb\nworker: bundle exec sidekiq -c 5\n", 2, &[][..]),
        (
            "web: gunicorn app.wsgi --log-file - --bind 0.0.0.0:$PORT\nrelease: python manage.py migrate\n",
            2,
            &["release"],
        ),
        ("web: node server.js\r\nassets: npm run watch -- --colors\r\n", 2, &[]),
        ("web: java $JAVA_OPTS -jar target/app.jar --server.port=${PORT:-8080}\n", 1, &[]),
        (
            "css: yarn build:css --watch\njs: yarn build --watch\nweb: unset PORT && env RUBY_DEBUG_OPEN=true bin/rails server\n",
            3,
            &[],
        ),
        ("web: php -S 0.0.0.0:$PORT -t public/\n\n\n# end", 1, &[]),
        ("worker: celery -A proj worker --loglevel=INFO --concurrency=10 -n worker1@%h\n", 1, &[]),
        ("a-b_c: ./run.sh\nweb: ./x\nweb: ./y\n", 2, &["a program of this name is there already"]),
        ("web: exec ./server 2>&1\n", 1, &[]),
        ("web: while true; do ./x; sleep 1; done\n", 1, &[]),
    ] {
        let found = import("procfile", "Procfile", text, &[]);
        assert_eq!(found.counts().len(), n_programs, "{}", found.text);
        found.assert_losses(&[&WITHOUT[..], losses].concat());
    }
}

#[test]
fn what_is_no_procfile_is_refused() {
    let error = refusal("procfile", "Procfile", "web: x\nnonsense\n");
    assert_eq!(error, "Procfile:2: this is no line of a Procfile, which are written as NAME: COMMAND");
    assert_eq!(refusal("procfile", "Procfile", "# nothing\n"), "there is no program in it");
    assert_hostile_is_refused("procfile", "Procfile");
    for bytes in [&b"\xff\xfe\x00"[..], &[b'x'; 2 << 20]] {
        let (status, said) = run_with("procfile", "Procfile", bytes);
        assert_eq!(status, Some(1), "{said}");
        assert!(
            said.starts_with("Error: ") && said.lines().count() == 1 && said.contains("Procfile"),
            "{said}"
        );
    }
}
