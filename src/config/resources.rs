//! The keys about what a program may use, and how the kernel ranks it.

use crate::config::section::Section;
use crate::config::text::repr;
use crate::config::values::{self, Parsed, Reading};
use crate::model::cgroup::CgroupLimits;
use crate::model::resources::{CpuScheduling, IoPriority, Resource, ResourceLimit, Resources};

/// More processors than any machine has (`CPU_SETSIZE`, sched_setaffinity(2)).
const MOST_PROCESSORS: u32 = 1024;

pub(super) fn read(section: &Section<'_>) -> Resources {
    let limit = |resource: Resource| section.get(resource.key(), |text| limit(resource, text));
    Resources {
        limits: Resource::ALL.into_iter().filter_map(limit).collect(),
        nice: section.get("nice", |text| number(text, -20, 19)),
        ionice: section.get("ionice", ionice),
        cpu_affinity: section.get("cpu_affinity", cpu_affinity).unwrap_or_default(),
        cpu_scheduling: section.get("cpu_scheduling", cpu_scheduling),
        oom_score_adj: section.get("oom_score_adj", |text| number(text, -1000, 1000)),
        cgroup: cgroup(section),
    }
}

fn cgroup(section: &Section<'_>) -> CgroupLimits {
    CgroupLimits {
        memory_high: section.get("memory_high", memory),
        memory_max: section.get("memory_max", memory),
        cpu_max: section.get_percent("cpu_max", cpu_max),
        cpu_weight: section.get("cpu_weight", weight),
        pids_max: section.get("pids_max", pids_max),
        io_weight: section.get("io_weight", weight),
        cgroup_required: section.get_or_default("cgroup_required", values::boolean),
    }
}

/// Whether a word means that there is no limit.
fn is_unlimited(text: &str) -> bool {
    ["max", "unlimited", "infinity"].contains(&text.trim())
}

/// A size above zero, or `max`.
pub(crate) fn memory(text: &str) -> Parsed<u64> {
    if is_unlimited(text) {
        return Ok(u64::MAX);
    }
    match values::bytes(text)? {
        Reading { value: 0, .. } => Err(format!("{} leaves no memory; no limit is max", repr(text))),
        Reading { value, doubt: None } => Ok(value),
        Reading { doubt: Some(doubt), .. } => Err(doubt),
    }
}

/// `150%`, or `max`.
pub(crate) fn cpu_max(text: &str) -> Parsed<u32> {
    /// More processors than any machine has.
    const MOST: u32 = 100 * 100_000;
    if is_unlimited(text) {
        return Ok(u32::MAX);
    }
    let percent = text.trim().strip_suffix('%').and_then(|number| number.trim().parse().ok());
    percent
        .filter(|percent| (1..=MOST).contains(percent))
        .ok_or_else(|| format!("{} is no part of a processor such as 50% or 150%, and not max", repr(text)))
}

fn weight(text: &str) -> Parsed<u32> {
    let number = text.trim().parse().ok().filter(|number| (1..=10_000).contains(number));
    number.ok_or_else(|| format!("{} is no number from 1 to 10000", repr(text)))
}

pub(crate) fn pids_max(text: &str) -> Parsed<u64> {
    /// More than the kernel has pids (`PID_MAX_LIMIT`).
    const MOST: u64 = 1 << 22;
    if is_unlimited(text) {
        return Ok(u64::MAX);
    }
    let number = text.trim().parse().ok().filter(|number| (1..=MOST).contains(number));
    number.ok_or_else(|| format!("{} is no number from 1 to {MOST}, and not max", repr(text)))
}

fn number(text: &str, least: i32, most: i32) -> Parsed<i32> {
    let expected = || format!("{} is no number from {least} to {most}", repr(text));
    text.trim().parse().ok().filter(|number| (least..=most).contains(number)).ok_or_else(expected)
}

/// `65536`, `65536:131072`, `unlimited`; sizes as everywhere.
pub(crate) fn limit(resource: Resource, text: &str) -> Parsed<ResourceLimit> {
    let value = |word: &str| -> Parsed<u64> {
        match word.trim() {
            "unlimited" | "infinity" => Ok(u64::MAX),
            word if resource.is_size() => match values::bytes(word)? {
                Reading { value, doubt: None } => Ok(value),
                Reading { doubt: Some(doubt), .. } => Err(doubt),
            },
            word => word.parse().map_err(|_| format!("{} is no number, and not unlimited", repr(word))),
        }
    };
    let (soft, hard) = match text.split_once(':') {
        Some((soft, hard)) => (value(soft)?, value(hard)?),
        None => (value(text)?, value(text)?),
    };
    if soft > hard {
        return Err(format!(
            "{}: the first limit is higher than the second, up to which it may be raised",
            repr(text)
        ));
    }
    Ok(ResourceLimit { resource, soft, hard })
}

/// `idle`, `be:0-7`, `rt:0-7`.
fn ionice(text: &str) -> Parsed<IoPriority> {
    let expected = || format!("{} is none of idle, be:0 to be:7, rt:0 to rt:7", repr(text));
    let level = |level: &str| level.parse().ok().filter(|level| *level <= 7_u8).ok_or_else(expected);
    match text.trim().split_once(':') {
        None if text.trim() == "idle" => Ok(IoPriority::Idle),
        Some(("be", number)) => level(number).map(IoPriority::BestEffort),
        Some(("rt", number)) => level(number).map(IoPriority::RealTime),
        _ => Err(expected()),
    }
}

/// `other`, `batch`, `idle`, `fifo:1-99`, `rr:1-99`.
fn cpu_scheduling(text: &str) -> Parsed<CpuScheduling> {
    let expected =
        || format!("{} is none of other, batch, idle, fifo:1 to fifo:99, rr:1 to rr:99", repr(text));
    let priority =
        |number: &str| number.parse().ok().filter(|number| (1..=99_u8).contains(number)).ok_or_else(expected);
    match text.trim().split_once(':') {
        None => match text.trim() {
            "other" => Ok(CpuScheduling::Other),
            "batch" => Ok(CpuScheduling::Batch),
            "idle" => Ok(CpuScheduling::Idle),
            _ => Err(expected()),
        },
        Some(("fifo", number)) => priority(number).map(CpuScheduling::Fifo),
        Some(("rr", number)) => priority(number).map(CpuScheduling::RoundRobin),
        _ => Err(expected()),
    }
}

/// `0-3,6`.
pub(crate) fn cpu_affinity(text: &str) -> Parsed<Vec<u32>> {
    let expected = || format!("{} is no list of processors such as 0-3,6", repr(text));
    let number = |word: &str| {
        word.trim().parse::<u32>().ok().filter(|number| *number < MOST_PROCESSORS).ok_or_else(expected)
    };
    let mut processors = Vec::new();
    for word in text.split(',') {
        let (first, last) = match word.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(word)?, number(word)?),
        };
        if first > last {
            return Err(expected());
        }
        processors.extend(first..=last);
    }
    processors.sort_unstable();
    processors.dedup();
    Ok(processors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_numbers_sizes_or_none() {
        let nofile = |text| limit(Resource::Nofile, text).map(|it| (it.soft, it.hard));
        let core = |text| limit(Resource::Core, text).map(|it| (it.soft, it.hard));
        assert_eq!(nofile("65536"), Ok((65536, 65536)));
        assert_eq!(nofile("1024:4096"), Ok((1024, 4096)));
        assert_eq!(nofile("1024:unlimited"), Ok((1024, u64::MAX)));
        assert_eq!(core("unlimited"), Ok((u64::MAX, u64::MAX)));
        assert_eq!(core("1MB:2GB"), Ok((1 << 20, 2 << 30)));
        for text in ["", "x", "-1", "1:", "2:1", "1MB", "1:2:3"] {
            assert!(nofile(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ranks_are_in_their_ranges() {
        assert_eq!(ionice("idle"), Ok(IoPriority::Idle));
        assert_eq!(ionice("be:7"), Ok(IoPriority::BestEffort(7)));
        assert_eq!(ionice("rt:0"), Ok(IoPriority::RealTime(0)));
        assert_eq!(cpu_scheduling("batch"), Ok(CpuScheduling::Batch));
        assert_eq!(cpu_scheduling("fifo:99"), Ok(CpuScheduling::Fifo(99)));
        assert_eq!(cpu_scheduling("rr:1"), Ok(CpuScheduling::RoundRobin(1)));
        assert_eq!(number("-20", -20, 19), Ok(-20));
        for text in ["", "be", "be:8", "rt:-1", "fast", "fifo:0", "fifo:100", "20", "idle:1"] {
            assert!(ionice(text).is_err() && cpu_scheduling(text).is_err(), "{text}");
            assert!(number(text, -20, 19).is_err(), "{text}");
        }
    }

    #[test]
    fn what_control_groups_get_is_in_its_ranges() {
        assert_eq!((memory("64MB"), memory(" max ")), (Ok(64 << 20), Ok(u64::MAX)));
        assert_eq!((cpu_max("150%"), cpu_max("1 %"), cpu_max("max")), (Ok(150), Ok(1), Ok(u32::MAX)));
        assert_eq!((weight("1"), weight("10000")), (Ok(1), Ok(10_000)));
        assert_eq!((pids_max("20"), pids_max("unlimited")), (Ok(20), Ok(u64::MAX)));
        for text in ["", "0", "0%", "-1", "150", "1.5%", "10001%%", "x", "4194305"] {
            assert!(cpu_max(text).is_err(), "{text}");
            assert!(text == "150" || (weight(text).is_err() && pids_max(text).is_err()), "{text}");
        }
        assert!(memory("0").is_err() && memory("64QB").is_err() && memory("").is_err());
    }

    #[test]
    fn processors_are_listed_once_and_in_order() {
        assert_eq!(cpu_affinity("0-3,6"), Ok(vec![0, 1, 2, 3, 6]));
        assert_eq!(cpu_affinity("2, 1 ,1-2"), Ok(vec![1, 2]));
        for text in ["", "a", "3-1", "1024", "0,", "-1"] {
            assert!(cpu_affinity(text).is_err(), "{text}");
        }
    }
}
