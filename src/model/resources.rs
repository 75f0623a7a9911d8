//! What a program may use, and how the kernel ranks it.

use crate::model::cgroup::CgroupLimits;
use serde::{Deserialize, Serialize};

/// The keys `limit_*`, `nice`, `ionice`, `cpu_affinity`, `cpu_scheduling` and `oom_score_adj` of a program, and those of
/// its control group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// In the order of [`Resource::ALL`], each at most once.
    pub limits: Vec<ResourceLimit>,
    /// From -20, which is served first, to 19.
    pub nice: Option<i32>,
    /// How urgent its reads and writes are.
    pub ionice: Option<IoPriority>,
    /// The processors it may run on, ascending. Empty: all that the daemon may run on.
    pub cpu_affinity: Vec<u32>,
    /// How it shares processors with others.
    pub cpu_scheduling: Option<CpuScheduling>,
    /// From -1000, which is never killed for want of memory, to 1000.
    pub oom_score_adj: Option<i32>,
    /// Its control group.
    #[serde(default, skip_serializing_if = "CgroupLimits::are_default")]
    pub cgroup: CgroupLimits,
}

impl Resources {
    /// Whether none of the keys was written.
    pub fn are_default(&self) -> bool {
        *self == Resources::default()
    }
}

/// One `limit_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceLimit {
    /// What is limited.
    pub resource: Resource,
    /// The limit in force; `u64::MAX` is unlimited.
    pub soft: u64,
    /// How high the program may raise it; `u64::MAX` is unlimited.
    pub hard: u64,
}

/// What setrlimit(2) limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resource {
    /// The addresses of the process, in bytes.
    As,
    /// The size of a core dump, in bytes.
    Core,
    /// Time on processors, in seconds.
    Cpu,
    /// Data segment, in bytes.
    Data,
    /// The size of files it writes, in bytes.
    Fsize,
    /// Locked memory, in bytes.
    Memlock,
    /// POSIX message queues of its user, in bytes.
    Msgqueue,
    /// Open descriptors: one more than the highest number.
    Nofile,
    /// Processes and threads of its user.
    Nproc,
    /// The highest real-time priority.
    Rtprio,
    /// Waiting signals of its user.
    Sigpending,
    /// The stack, in bytes.
    Stack,
}

impl Resource {
    /// All of them.
    pub const ALL: [Resource; 12] = [
        Resource::As,
        Resource::Core,
        Resource::Cpu,
        Resource::Data,
        Resource::Fsize,
        Resource::Memlock,
        Resource::Msgqueue,
        Resource::Nofile,
        Resource::Nproc,
        Resource::Rtprio,
        Resource::Sigpending,
        Resource::Stack,
    ];

    /// The key that sets it.
    pub fn key(self) -> &'static str {
        match self {
            Resource::As => "limit_as",
            Resource::Core => "limit_core",
            Resource::Cpu => "limit_cpu",
            Resource::Data => "limit_data",
            Resource::Fsize => "limit_fsize",
            Resource::Memlock => "limit_memlock",
            Resource::Msgqueue => "limit_msgqueue",
            Resource::Nofile => "limit_nofile",
            Resource::Nproc => "limit_nproc",
            Resource::Rtprio => "limit_rtprio",
            Resource::Sigpending => "limit_sigpending",
            Resource::Stack => "limit_stack",
        }
    }

    /// Whether it is counted in bytes.
    pub fn is_size(self) -> bool {
        match self {
            Resource::As
            | Resource::Core
            | Resource::Data
            | Resource::Fsize
            | Resource::Memlock
            | Resource::Msgqueue
            | Resource::Stack => true,
            Resource::Cpu | Resource::Nofile | Resource::Nproc | Resource::Rtprio | Resource::Sigpending => {
                false
            }
        }
    }
}

/// How urgent reads and writes are, ioprio_set(2). Levels go from 0, the most urgent, to 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IoPriority {
    /// Before all others.
    RealTime(u8),
    /// As most programs.
    BestEffort(u8),
    /// When nobody else wants anything.
    Idle,
}

/// How a program shares processors with others, sched(7). Priorities go from 1 to 99.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CpuScheduling {
    /// As most programs.
    Other,
    /// As those that use a processor for long and wait for nobody.
    Batch,
    /// When nobody else wants anything.
    Idle,
    /// Before all those, until it waits or one of a higher priority comes.
    Fifo(u8),
    /// The same, in turns with others of its priority.
    RoundRobin(u8),
}
