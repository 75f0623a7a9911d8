//! What the kernel is told about a program before it is executed: limits and ranks. A child of [`crate::sys::spawn`] applies
//! them, so nothing here allocates then.

use crate::model::resources::{CpuScheduling, IoPriority, Resource, ResourceLimit, Resources};
use crate::sys::capabilities;
use crate::sys::limits::Limit;
use crate::sys::stat::Stat;
use std::ffi::{CString, c_int};
use std::ops::RangeInclusive;

/// One thing to tell the kernel.
#[derive(Clone, Debug)]
pub enum Setting {
    /// A resource limit.
    Limit(ResourceLimit),
    /// Its niceness.
    Nice(c_int),
    /// How urgent its reads and writes are.
    IoPriority(IoPriority),
    /// A bit for each processor that it may run on.
    Affinity(Vec<u64>),
    /// How it shares processors.
    Scheduling(CpuScheduling),
    /// Its text for `/proc/self/oom_score_adj`.
    OomScore(CString),
}

/// The capabilities that raising takes, capabilities(7).
const CAP_SYS_NICE: u32 = 23;
const CAP_SYS_RESOURCE: u32 = 24;

/// `IOPRIO_WHO_PROCESS`, and how a class stands in front of its level, ioprio_set(2).
const WHO_PROCESS: c_int = 1;
const CLASS_SHIFT: c_int = 13;

impl Setting {
    /// Everything that a program's keys say, in the order in which it is to be applied.
    pub fn all(resources: &Resources) -> Vec<Setting> {
        let mut settings: Vec<Setting> = resources.limits.iter().copied().map(Setting::Limit).collect();
        if !resources.cpu_affinity.is_empty() {
            let highest = resources.cpu_affinity.iter().max().copied().unwrap_or(0) as usize;
            let mut mask = vec![0_u64; highest / 64 + 1];
            for processor in &resources.cpu_affinity {
                mask[*processor as usize / 64] |= 1 << (processor % 64);
            }
            settings.push(Setting::Affinity(mask));
        }
        settings.extend(resources.cpu_scheduling.map(Setting::Scheduling));
        // After the policy, which has a niceness of its own only in some.
        settings.extend(resources.nice.map(Setting::Nice));
        settings.extend(resources.ionice.map(Setting::IoPriority));
        // Digits have no zero byte.
        let score = resources.oom_score_adj.map(|score| CString::new(score.to_string()).unwrap_or_default());
        settings.extend(score.map(Setting::OomScore));
        settings
    }

    /// Tells the kernel, about the calling process; false with errno set if it refuses.
    ///
    /// # Safety
    /// In the child of a spawn only: it changes the calling process, and other threads of it might not expect that.
    pub(super) unsafe fn apply(&self) -> bool {
        // SAFETY: numbers, and pointers to what `self` holds; by this function's contract nobody else is concerned.
        unsafe {
            match self {
                Setting::Limit(limit) => {
                    let wanted = libc::rlimit { rlim_cur: limit.soft, rlim_max: limit.hard };
                    libc::setrlimit(number_of(limit.resource), &wanted) == 0
                }
                Setting::Nice(nice) => libc::setpriority(libc::PRIO_PROCESS, 0, *nice) == 0,
                Setting::IoPriority(priority) => {
                    let (class, level) = match priority {
                        IoPriority::RealTime(level) => (1, *level),
                        IoPriority::BestEffort(level) => (2, *level),
                        IoPriority::Idle => (3, 0),
                    };
                    let priority = class << CLASS_SHIFT | c_int::from(level);
                    libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, priority) == 0
                }
                Setting::Affinity(mask) => {
                    let size = size_of_val(mask.as_slice());
                    libc::syscall(libc::SYS_sched_setaffinity, 0, size, mask.as_ptr()) == 0
                }
                Setting::Scheduling(scheduling) => {
                    let (policy, priority) = match scheduling {
                        CpuScheduling::Other => (libc::SCHED_OTHER, 0),
                        CpuScheduling::Batch => (libc::SCHED_BATCH, 0),
                        CpuScheduling::Idle => (libc::SCHED_IDLE, 0),
                        CpuScheduling::Fifo(priority) => (libc::SCHED_FIFO, *priority),
                        CpuScheduling::RoundRobin(priority) => (libc::SCHED_RR, *priority),
                    };
                    let parameters = libc::sched_param { sched_priority: c_int::from(priority) };
                    libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &raw const parameters) == 0
                }
                Setting::OomScore(score) => {
                    let flags = libc::O_WRONLY | libc::O_CLOEXEC;
                    let fd = libc::open(c"/proc/self/oom_score_adj".as_ptr(), flags);
                    if fd < 0 {
                        return false;
                    }
                    let bytes = score.to_bytes();
                    let written = libc::write(fd, bytes.as_ptr().cast(), bytes.len());
                    let errno = *libc::__errno_location();
                    libc::close(fd);
                    *libc::__errno_location() = errno;
                    written == bytes.len() as isize
                }
            }
        }
    }

    /// The key that it is from.
    pub fn key(&self) -> &'static str {
        match self {
            Setting::Limit(limit) => limit.resource.key(),
            Setting::Nice(_) => "nice",
            Setting::IoPriority(_) => "ionice",
            Setting::Affinity(_) => "cpu_affinity",
            Setting::Scheduling(_) => "cpu_scheduling",
            Setting::OomScore(_) => "oom_score_adj",
        }
    }

    /// Why the kernel would refuse it to a child of this process. `None` if nothing speaks against it.
    pub fn why_not(&self) -> Option<String> {
        let lacks = |number: u32| !capabilities::is_effective(number);
        match self {
            Setting::Limit(limit) => {
                let own = own_limit(number_of(limit.resource)).hard;
                let most = (limit.resource == Resource::Nofile).then(most_descriptors).flatten();
                if let Some(most) = most.filter(|most| limit.hard > *most) {
                    return Some(format!("the kernel allows {most} at most (fs.nr_open)"));
                }
                (limit.hard > own && lacks(CAP_SYS_RESOURCE)).then(|| {
                    format!("the hard limit here is {own}, and CAP_SYS_RESOURCE, which it takes to raise that, is missing")
                })
            }
            // RLIMIT_NICE counts from 20 downwards, getrlimit(2).
            Setting::Nice(nice) => {
                let own = own_nice();
                let ceiling = own_limit(libc::RLIMIT_NICE).soft;
                let is_free = *nice >= own || u64::try_from(20 - *nice).is_ok_and(|wanted| wanted <= ceiling);
                (!is_free && lacks(CAP_SYS_NICE)).then(|| {
                    format!(
                        "the daemon has {own}, and CAP_SYS_NICE, which it takes to go below that, is missing"
                    )
                })
            }
            Setting::IoPriority(IoPriority::RealTime(_)) => (lacks(CAP_SYS_NICE)
                && lacks(capabilities::CAP_SYS_ADMIN))
            .then(|| "CAP_SYS_NICE is missing".to_string()),
            Setting::IoPriority(IoPriority::BestEffort(_) | IoPriority::Idle) => None,
            Setting::Scheduling(CpuScheduling::Fifo(priority) | CpuScheduling::RoundRobin(priority)) => {
                let most = own_limit(libc::RLIMIT_RTPRIO).soft;
                (u64::from(*priority) > most && lacks(CAP_SYS_NICE))
                    .then(|| format!("the highest priority here is {most}, and CAP_SYS_NICE is missing"))
            }
            Setting::Scheduling(CpuScheduling::Other | CpuScheduling::Batch | CpuScheduling::Idle) => None,
            Setting::OomScore(score) => {
                let own: i32 =
                    std::fs::read_to_string("/proc/self/oom_score_adj").ok()?.trim().parse().ok()?;
                let wanted: i32 = score.to_str().ok()?.parse().ok()?;
                (wanted < own && lacks(CAP_SYS_RESOURCE)).then(|| {
                    format!("the daemon has {own}, and CAP_SYS_RESOURCE, which it takes to go below that, is missing")
                })
            }
            Setting::Affinity(mask) => {
                let present = present_processors()?;
                let is_there = |number: &usize| present.iter().any(|range| range.contains(number));
                let wanted =
                    (0..mask.len() * 64).filter(|number| mask[number / 64] & 1 << (number % 64) != 0);
                let (here, missing): (Vec<usize>, Vec<usize>) = wanted.partition(is_there);
                let missing: Vec<String> = missing.iter().map(usize::to_string).collect();
                here.is_empty().then(|| format!("this machine has no processor {}", missing.join(", ")))
            }
        }
    }

    /// The capability that it may take.
    pub(super) fn capability(&self) -> Option<u32> {
        match self {
            Setting::Limit(_) | Setting::OomScore(_) => Some(CAP_SYS_RESOURCE),
            Setting::Nice(_) | Setting::IoPriority(_) | Setting::Scheduling(_) => Some(CAP_SYS_NICE),
            Setting::Affinity(_) => None,
        }
    }

    /// What is said if it fails: before the error, and behind it if the capability is missing.
    pub(super) fn note(&self) -> (String, &'static str) {
        let lack = match self.capability() {
            Some(CAP_SYS_NICE) => " (CAP_SYS_NICE is missing)",
            Some(CAP_SYS_RESOURCE) => " (CAP_SYS_RESOURCE is missing)",
            _ => "",
        };
        (format!("couldn't set {}: ", self.key()), lack)
    }
}

/// The most descriptors that a process can be allowed (proc(5)).
fn most_descriptors() -> Option<u64> {
    std::fs::read_to_string("/proc/sys/fs/nr_open").ok()?.trim().parse().ok()
}

/// A limit of this process. None at all if the kernel does not know it, so that nothing is held against it.
fn own_limit(number: libc::__rlimit_resource_t) -> Limit {
    let mut own = libc::rlimit { rlim_cur: u64::MAX, rlim_max: u64::MAX };
    // SAFETY: a number, and room for the answer, which the kernel fills or leaves alone.
    unsafe { libc::getrlimit(number, &raw mut own) };
    Limit { soft: own.rlim_cur, hard: own.rlim_max }
}

fn own_nice() -> c_int {
    Stat::own().and_then(|stat| stat.nice()).unwrap_or(0)
}

/// The processors of this machine: `0-3,6`.
fn present_processors() -> Option<Vec<RangeInclusive<usize>>> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/present").ok()?;
    let parse = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    text.trim().split(',').map(parse).collect()
}

fn number_of(resource: Resource) -> libc::__rlimit_resource_t {
    match resource {
        Resource::As => libc::RLIMIT_AS,
        Resource::Core => libc::RLIMIT_CORE,
        Resource::Cpu => libc::RLIMIT_CPU,
        Resource::Data => libc::RLIMIT_DATA,
        Resource::Fsize => libc::RLIMIT_FSIZE,
        Resource::Memlock => libc::RLIMIT_MEMLOCK,
        Resource::Msgqueue => libc::RLIMIT_MSGQUEUE,
        Resource::Nofile => libc::RLIMIT_NOFILE,
        Resource::Nproc => libc::RLIMIT_NPROC,
        Resource::Rtprio => libc::RLIMIT_RTPRIO,
        Resource::Sigpending => libc::RLIMIT_SIGPENDING,
        Resource::Stack => libc::RLIMIT_STACK,
    }
}
