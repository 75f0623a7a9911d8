//! The kernel, one small file per job. Together with `shm` and `keeper` the only place where `unsafe` stands, each use
//! with its proof.
//!
//! [`spawn`] creates programs; [`memory`] is the memory shared between keeper and manager; the rest are thin wrappers
//! of single calls.

pub mod capabilities;
pub mod cgroup;
pub mod clock;
pub mod confine;
pub mod daemonize;
pub mod datagram;
pub mod descent;
pub mod environment;
pub mod errno;
pub mod exec;
pub mod fd;
pub mod inet;
pub mod kin;
pub mod landlock;
pub mod limits;
mod listeners;
pub mod localtime;
pub mod memory;
pub mod mounts;
pub mod orphans;
pub mod pidfd;
pub mod pipe;
pub mod process;
pub mod random;
pub mod schedule;
pub mod settings;
pub mod signals;
pub mod socket;
pub mod spawn;
pub mod stat;
pub mod syscall_filter;
pub mod title;
pub mod tree;
pub mod user;
