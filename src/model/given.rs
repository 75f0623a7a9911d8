//! What a program is given by its keys about limits, ranks, groups, credentials and confinement, in the words of the configuration.

use crate::model::cgroup::Controller;
use crate::model::config::{ProcessConfig, StopScope};
use crate::model::resources::{CpuScheduling, IoPriority, ResourceLimit};
use crate::model::size::in_bytes;

/// The keys that are written, each with its value. Of credentials there are the names alone; what is in them, and where they
/// come from, is nobody's business. Where none is written, as with most programs, this allocates nothing.
pub fn given(config: &ProcessConfig) -> impl Iterator<Item = (&'static str, String)> {
    let resources = &config.resources;
    let limits = resources.limits.iter().map(|limit| (limit.resource.key(), limit_in_words(*limit)));
    let ranks = [
        resources.nice.map(|nice| ("nice", nice.to_string())),
        resources.ionice.map(|priority| ("ionice", io_priority(priority))),
        (!resources.cpu_affinity.is_empty()).then(|| ("cpu_affinity", joined(&resources.cpu_affinity))),
        resources.cpu_scheduling.map(|how| ("cpu_scheduling", scheduling(how))),
        resources.oom_score_adj.map(|score| ("oom_score_adj", score.to_string())),
    ];
    let scope = config.stop_scope;
    let groups = &config.supplementary_groups;
    let rest = [
        (scope != StopScope::default()).then(|| ("stop_scope", scope.word().to_string())),
        (!groups.is_empty()).then(|| ("supplementary_groups", joined(groups))),
        (!config.credentials.is_empty()).then(|| {
            let names: Vec<&str> =
                config.credentials.iter().map(|credential| credential.name.as_str()).collect();
            ("credentials", names.join(", "))
        }),
    ];
    let of_cgroup = resources.cgroup.knobs().into_iter().filter_map(|knob| {
        let value = knob.value?;
        let value = match (knob.controller, value.parse::<u64>()) {
            (Controller::Memory, Ok(bytes)) => in_bytes(bytes),
            _ if knob.key == "cpu_max" => match resources.cgroup.cpu_max {
                Some(percent) if percent != u32::MAX => format!("{percent}%"),
                _ => "max".to_string(),
            },
            _ => value.trim_start_matches("default ").to_string(),
        };
        Some((knob.key, value))
    });
    limits
        .chain(ranks.into_iter().flatten())
        .chain(of_cgroup)
        .chain(rest.into_iter().flatten())
        .chain(config.confinement.shown())
}

fn limit_in_words(limit: ResourceLimit) -> String {
    let one = |value: u64| match value {
        u64::MAX => "unlimited".to_string(),
        // As a number where only zero is meant: `limit_core=0`.
        value if limit.resource.is_size() && value > 0 => in_bytes(value),
        value => value.to_string(),
    };
    match limit {
        ResourceLimit { soft, hard, .. } if soft == hard => one(soft),
        ResourceLimit { soft, hard, .. } => format!("{}:{}", one(soft), one(hard)),
    }
}

fn io_priority(priority: IoPriority) -> String {
    match priority {
        IoPriority::RealTime(level) => format!("rt:{level}"),
        IoPriority::BestEffort(level) => format!("be:{level}"),
        IoPriority::Idle => "idle".to_string(),
    }
}

fn scheduling(how: CpuScheduling) -> String {
    match how {
        CpuScheduling::Other => "other".to_string(),
        CpuScheduling::Batch => "batch".to_string(),
        CpuScheduling::Idle => "idle".to_string(),
        CpuScheduling::Fifo(priority) => format!("fifo:{priority}"),
        CpuScheduling::RoundRobin(priority) => format!("rr:{priority}"),
    }
}

fn joined(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cgroup::CgroupLimits;
    use crate::model::config::Credential;
    use crate::model::resources::Resource;

    #[test]
    fn what_is_written_is_told_in_the_words_of_the_configuration() {
        let mut config = crate::core::sample::config();
        assert_eq!(given(&config).next(), None);
        let limit = |resource, soft, hard| ResourceLimit { resource, soft, hard };
        config.resources.limits = vec![
            limit(Resource::Core, 0, 0),
            limit(Resource::Nofile, 300, u64::MAX),
            limit(Resource::Stack, 1 << 20, 2 << 20),
        ];
        config.resources.nice = Some(-5);
        config.resources.ionice = Some(IoPriority::BestEffort(3));
        config.resources.cpu_affinity = vec![0, 2];
        config.resources.cpu_scheduling = Some(CpuScheduling::RoundRobin(7));
        config.resources.cgroup = CgroupLimits {
            memory_max: Some(512 << 20),
            cpu_max: Some(150),
            io_weight: Some(50),
            pids_max: Some(u64::MAX),
            ..CgroupLimits::default()
        };
        config.stop_scope = StopScope::Tree;
        config.credentials =
            vec![Credential { name: "token".into(), path: "/etc/secret".into(), may_be_missing: false }];
        let told: Vec<String> = given(&config).map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(
            told,
            [
                "limit_core=0",
                "limit_nofile=300:unlimited",
                "limit_stack=1MB:2MB",
                "nice=-5",
                "ionice=be:3",
                "cpu_affinity=0, 2",
                "cpu_scheduling=rr:7",
                "memory_max=512MB",
                "cpu_max=150%",
                "pids_max=max",
                "io_weight=50",
                "stop_scope=tree",
                "credentials=token",
            ]
        );
    }
}
