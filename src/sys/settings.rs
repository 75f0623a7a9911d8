//! What the kernel is told about a program before it is executed: limits and ranks. A child of [`crate::sys::spawn`] applies
//! them, so nothing here allocates then.

use crate::model::resources::{CpuScheduling, IoPriority, Resource, ResourceLimit, Resources};
use std::ffi::{CString, c_int};

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
        let key = match self {
            Setting::Limit(limit) => limit.resource.key(),
            Setting::Nice(_) => "nice",
            Setting::IoPriority(_) => "ionice",
            Setting::Affinity(_) => "cpu_affinity",
            Setting::Scheduling(_) => "cpu_scheduling",
            Setting::OomScore(_) => "oom_score_adj",
        };
        let lack = match self.capability() {
            Some(CAP_SYS_NICE) => " (CAP_SYS_NICE is missing)",
            Some(CAP_SYS_RESOURCE) => " (CAP_SYS_RESOURCE is missing)",
            _ => "",
        };
        (format!("couldn't set {key}: "), lack)
    }
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
