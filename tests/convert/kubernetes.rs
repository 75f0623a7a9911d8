//! Manifests for Kubernetes.

use crate::samples::{assert_all_export, export, of_text};
use crate::validators::assert_right;

#[test]
fn every_configuration_makes_manifests_that_kubernetes_knows() {
    assert_all_export("kubernetes", Some("registry.example/app:1"));
}

const ALL: &str = r#"[supervisord]
[program:web_App]
command=/srv/web --port 8080 '$(HOME)' "a b"
numprocs=3
process_name=%(program_name)s_%(process_num)d
directory=/srv
user=1000:1001
environment=MODE="live",PRICE="$(x)$"
environment_file=/etc/web.env, -/etc/more.env
credential.token=/etc/token
ready=http://localhost:8080/ready header.X-A=b
ready_interval=500ms
ready_timeout=30s
health=tcp:8080
health_start_period=5s
stopsignal=QUIT
stopwaitsecs=25
memory_max=512MB
cpu_max=150%%
no_new_privs=true
capabilities=NET_BIND_SERVICE
private_tmp=true
supplementary_groups=1234
nice=5
depends_on=db
[program:db]
command=/srv/db
autorestart=true
[program:migrate]
command=/srv/migrate
type=oneshot
[program:api]
command=/srv/api
depends_on=migrate:done, seed:done
health=exec:/srv/healthy
[program:worker]
command=/srv/worker
autostart=false
depends_on=seed:done
[program:seed]
command=/srv/seed
type=oneshot
startretries=5
max_runtime=90
"#;

#[test]
fn a_manifest_says_what_it_can() {
    let sample = of_text(ALL);
    let (files, losses) = export("kubernetes", &sample, Some("app:1")).expect("it is exported");
    let [file] = files.as_slice() else { panic!("{files:?}") };
    assert_right("kubernetes", &[("all".to_string(), file.text.clone())]);
    let objects: Vec<&str> = file.text.split("---\n").collect();
    let object = |kind: &str, name: &str| {
        let found = objects
            .iter()
            .find(|object| object.contains(&format!("kind: {kind}\nmetadata:\n  name: {name}\n")));
        *found.unwrap_or_else(|| panic!("no {kind} {name} in {}", file.text))
    };
    let web = object("Deployment", "web-app");
    for expected in [
        "replicas: 3",
        "terminationGracePeriodSeconds: 25",
        "command:\n            - /srv/web\n          args:\n            - \"--port\"\n            - \"8080\"\n            - \"$$(HOME)\"\n            - \"a b\"",
        "runAsUser: 1000\n            runAsGroup: 1001\n            allowPrivilegeEscalation: false",
        "drop:\n                - ALL\n              add:\n                - NET_BIND_SERVICE",
        "cpu: \"1500m\"\n              memory: \"536870912\"",
        "startupProbe:\n            httpGet:\n              path: /ready\n              port: 8080\n              httpHeaders:\n                - name: X-A\n                  value: b\n            periodSeconds: 1\n            failureThreshold: 30",
        "livenessProbe:\n            tcpSocket:\n              port: 8080\n            initialDelaySeconds: 5\n            periodSeconds: 10\n            timeoutSeconds: 3\n            failureThreshold: 3",
        "name: PRICE\n              value: \"$$(x)$\"",
        "secretRef:\n                name: web-app-env-2\n                optional: true",
        "stopSignal: SIGQUIT",
        "supplementalGroups:\n          - 1234",
        "medium: Memory",
        "secretName: web-app-credentials\n            defaultMode: 256",
        "workingDir: /srv",
    ] {
        assert!(web.contains(expected), "{expected}\nis not in\n{web}");
    }
    assert!(object("Service", "web-app").contains("port: 8080\n      targetPort: 8080"));
    let job = object("Job", "seed");
    assert!(job.contains("backoffLimit: 5\n  activeDeadlineSeconds: 90"), "{job}");
    // One job is for the api alone and runs before it, the other one is for two programs.
    assert!(object("Deployment", "api").contains("initContainers:\n        - name: migrate"));
    assert!(!objects.iter().any(|object| object.contains("kind: Job\nmetadata:\n  name: migrate")));
    assert!(object("Deployment", "worker").contains("replicas: 0"));
    let losses: Vec<String> = losses.iter().map(ToString::to_string).collect();
    for expected in [
        "[program:web_App]: web_App is called web-app there",
        "[program:web_App] nice = 5: run the command through nice(1)",
        "[program:web_App] depends_on = db: nothing waits for db",
        "[program:api] depends_on = migrate:done, seed:done: nothing waits for the end of seed",
        "[program:web_App] ready_interval = 500ms: it is whole seconds there: 1",
        "kubectl create secret generic web-app-env-1 --from-env-file=/etc/web.env",
        "kubectl create secret generic web-app-credentials --from-file=token=/etc/token",
        "must listen there, and not on the loopback only",
        "ContainerStopSignals",
    ] {
        assert!(losses.iter().any(|loss| loss.contains(expected)), "{expected} is not in {losses:#?}");
    }
    assert!(!losses.iter().any(|loss| loss.contains("[program:db] autorestart")), "{losses:#?}");
}

#[test]
fn without_programs_there_is_nothing() {
    let error = export("kubernetes", &of_text("[supervisord]\n"), None).expect_err("nothing");
    assert!(error.contains("there is no program"), "{error}");
}
