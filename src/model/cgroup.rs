//! The control group (cgroup v2) of a program: what its keys say, and what it uses.

use serde::{Deserialize, Serialize};

/// The keys of a program about its control group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupLimits {
    /// `memory_high`: beyond so many bytes it is slowed down and its memory reclaimed; `u64::MAX` is no limit.
    pub memory_high: Option<u64>,
    /// `memory_max`: beyond so many bytes the kernel kills; `u64::MAX` is no limit.
    pub memory_max: Option<u64>,
    /// `cpu_max`: how much of one processor it gets at most, in percent; `u32::MAX` is no limit.
    pub cpu_max: Option<u32>,
    /// `cpu_weight`: its share where processors are short, 1 to 10000; 100 is the kernel's default.
    pub cpu_weight: Option<u32>,
    /// `pids_max`: how many processes and threads it may have; `u64::MAX` is no limit.
    pub pids_max: Option<u64>,
    /// `io_weight`: its share where a disk is busy, 1 to 10000; 100 is the kernel's default.
    pub io_weight: Option<u32>,
    /// `cgroup_required`: whether it does not start without all of that.
    pub cgroup_required: bool,
}

/// A controller of the kernel that we set something with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// Time on processors.
    Cpu,
    /// Reads and writes of disks.
    Io,
    /// Memory.
    Memory,
    /// The number of processes and threads.
    Pids,
}

impl Controller {
    /// All of them.
    pub const ALL: [Controller; 4] = [Controller::Cpu, Controller::Io, Controller::Memory, Controller::Pids];

    /// Its name in `cgroup.controllers`.
    pub fn name(self) -> &'static str {
        match self {
            Controller::Cpu => "cpu",
            Controller::Io => "io",
            Controller::Memory => "memory",
            Controller::Pids => "pids",
        }
    }
}

/// One key and what it writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knob {
    /// The key of the configuration.
    pub key: &'static str,
    /// The controller it needs.
    pub controller: Controller,
    /// The file of the control group.
    pub file: &'static str,
    /// What goes into it; `None` if the key was not written.
    pub value: Option<String>,
    /// What stands there without the key.
    pub default: &'static str,
}

/// The period in microseconds within which `cpu_max` is counted, the kernel's default.
const PERIOD: u64 = 100_000;

impl CgroupLimits {
    /// Whether none of the keys was written.
    pub fn are_default(&self) -> bool {
        *self == CgroupLimits::default()
    }

    /// Every key, written or not.
    pub fn knobs(&self) -> [Knob; 6] {
        use Controller::{Cpu, Io, Memory, Pids};
        let number = |number: u64| if number == u64::MAX { "max".to_string() } else { number.to_string() };
        let quota = |percent: u32| match percent {
            u32::MAX => format!("max {PERIOD}"),
            percent => format!("{} {PERIOD}", u64::from(percent) * PERIOD / 100),
        };
        let knob = |key, controller, file, value, default| Knob { key, controller, file, value, default };
        [
            knob("memory_high", Memory, "memory.high", self.memory_high.map(number), "max"),
            knob("memory_max", Memory, "memory.max", self.memory_max.map(number), "max"),
            knob("cpu_max", Cpu, "cpu.max", self.cpu_max.map(quota), "max 100000"),
            knob("cpu_weight", Cpu, "cpu.weight", self.cpu_weight.map(|it| it.to_string()), "100"),
            knob("pids_max", Pids, "pids.max", self.pids_max.map(number), "max"),
            knob(
                "io_weight",
                Io,
                "io.weight",
                self.io_weight.map(|it| format!("default {it}")),
                "default 100",
            ),
        ]
    }
}

/// What a control group uses, as far as the kernel counts it there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CgroupUsage {
    /// Memory in bytes, caches included (`memory.current`). `None` without the memory controller.
    pub memory_bytes: Option<u64>,
    /// Time on processors in microseconds, of all that ever ran in it (`cpu.stat`).
    pub cpu_usec: Option<u64>,
    /// Processes and threads (`pids.current`); processes alone without the pids controller.
    pub tasks: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_into_the_files() {
        let limits = CgroupLimits {
            memory_max: Some(64 << 20),
            cpu_max: Some(150),
            pids_max: Some(u64::MAX),
            io_weight: Some(50),
            ..CgroupLimits::default()
        };
        let written: Vec<(&str, String)> =
            limits.knobs().into_iter().filter_map(|knob| Some((knob.file, knob.value?))).collect();
        let expected = [
            ("memory.max", "67108864"),
            ("cpu.max", "150000 100000"),
            ("pids.max", "max"),
            ("io.weight", "default 50"),
        ];
        assert_eq!(written, expected.map(|(file, value)| (file, value.to_string())));
        assert_eq!(
            CgroupLimits { cpu_max: Some(u32::MAX), ..limits }.knobs()[2].value.as_deref(),
            Some("max 100000")
        );
    }
}
