//! quadlet's files: the form of a unit, and keys that podman-systemd.unit(5) knows.

use crate::samples;

/// The keys of `[Container]`.
const CONTAINER: &str = "AddCapability AddDevice AddHost Annotation AutoUpdate CgroupsMode ContainerName \
    ContainersConfModule DNS DNSOption DNSSearch DropCapability Entrypoint Environment EnvironmentFile EnvironmentHost Exec \
    ExposeHostPort GIDMap GlobalArgs Group GroupAdd HealthCmd HealthInterval HealthLogDestination HealthMaxLogCount \
    HealthMaxLogSize HealthOnFailure HealthRetries HealthStartPeriod HealthStartupCmd HealthStartupInterval \
    HealthStartupRetries HealthStartupSuccess HealthStartupTimeout HealthTimeout HostName Image IP IP6 Label LogDriver LogOpt \
    Mask Mount Network NetworkAlias NoNewPrivileges Notify PidsLimit Pod PodmanArgs PublishPort Pull ReadOnly ReadOnlyTmpfs \
    Rootfs RunInit SeccompProfile Secret SecurityLabelDisable SecurityLabelFileType SecurityLabelLevel SecurityLabelNested \
    SecurityLabelType ShmSize StartWithPod StopSignal StopTimeout SubGIDMap SubUIDMap Sysctl Timezone Tmpfs UIDMap Ulimit Unmask \
    User UserNS Volume WorkingDir";

/// Those of systemd that are used beside it.
const OTHERS: &str = "Description PartOf Requires BindsTo Wants After StartLimitIntervalSec StartLimitBurst Type RemainAfterExit \
    TimeoutStartSec TimeoutStopSec Restart SuccessExitStatus RestartForceExitStatus RestartPreventExitStatus RestartSec \
    RestartSteps RestartMaxDelaySec RuntimeMaxSec MemoryHigh MemoryMax CPUQuota CPUWeight TasksMax IOWeight WantedBy";

fn problems(text: &str) -> Vec<String> {
    let (mut section, mut found) = ("", Vec::new());
    let mut n_images = 0;
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
            continue;
        }
        let key = line.split_once('=').map_or("", |(key, _)| key);
        let known = match section {
            "Container" => CONTAINER,
            "Unit" | "Service" | "Install" => OTHERS,
            _ => "",
        };
        n_images += usize::from(key == "Image");
        if !known.split_whitespace().any(|known| known == key) {
            found.push(format!("[{section}] {line}"));
        }
    }
    if n_images != 1 {
        found.push(format!("{n_images} images"));
    }
    found
}

#[test]
fn every_configuration_makes_containers_of_known_keys() {
    assert!(!problems("[Container]\nImage=x\nNoSuchKey=1\n").is_empty());
    let mut n_files = 0;
    for sample in samples::all() {
        let (files, losses) = samples::export("quadlet", &sample, Some("app:1")).expect("it exports");
        for file in files.iter().filter(|file| file.path.ends_with(".container")) {
            n_files += 1;
            let problems = problems(&file.text);
            assert!(problems.is_empty(), "{}: {problems:?}\n{}", sample.name, file.text);
        }
        assert!(losses.iter().all(|loss| loss.what != "--image"));
    }
    assert!(n_files > 120, "{n_files}");
}

#[test]
fn a_container_says_what_it_can() {
    let sample = samples::of_text(
        "[program:web]\ncommand=/app --x 'a b'\nhealth=exec:curl -f 'http://x/$y'\nhealth_interval=5s\nhealth_retries=2\n\
         health_action=stop\nlimit_nofile=10:unlimited\ncapabilities=CHOWN\nuser=1234\nstopsignal=INT\nstopwaitsecs=3\n\
         private_network=true\nnice=3\n",
    );
    let (files, losses) = samples::export("quadlet", &sample, None).expect("it exports");
    let text = &files[0].text;
    for line in [
        "Image=IMAGE",
        "Exec=/app --x \"a b\"",
        "HealthCmd='curl' '-f' 'http://x/$$y'",
        "HealthInterval=5s",
        "HealthRetries=2",
        "HealthOnFailure=stop",
        "Ulimit=nofile=10:-1",
        "DropCapability=all",
        "AddCapability=CAP_CHOWN",
        "User=1234",
        "StopSignal=SIGINT",
        "StopTimeout=3",
        "TimeoutStopSec=13s",
        "Network=none",
        "Restart=on-failure",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let losses: Vec<String> = losses.iter().map(ToString::to_string).collect();
    assert_eq!(losses.len(), 2, "{losses:?}");
    assert!(losses.iter().any(|loss| loss.starts_with("--image: ")), "{losses:?}");
    assert!(losses.iter().any(|loss| loss.starts_with("[program:web] nice = 3: ")), "{losses:?}");
}
