//! Rules about files for Landlock, landlock(7). They are made here; the child of a spawn applies them.

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr,
};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;

/// What a kernel must have: before it, a file that is only to be read can be truncated.
const LEAST: i32 = 3;

/// What is known of later ones is used where they have it. Requests to devices (ioctl) came with this one.
const BEST: ABI = ABI::V5;

/// Rules under construction: what no rule allows is forbidden.
#[derive(Debug)]
pub struct Rules(RulesetCreated);

/// The version of Landlock that this kernel has; 0 for none, or if it is switched off. It stays the same until the next boot.
pub fn version() -> i32 {
    const ASK_FOR_VERSION: u32 = 1;
    static ANSWER: OnceLock<i32> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let number = libc::SYS_landlock_create_ruleset;
        // SAFETY: with this flag the kernel only returns a number, and the pointer has to be null.
        let version =
            unsafe { libc::syscall(number, std::ptr::null::<libc::c_void>(), 0_usize, ASK_FOR_VERSION) };
        i32::try_from(version).unwrap_or(0).max(0)
    })
}

/// Why files cannot be confined here; `None` if they can.
pub fn why_not() -> Option<String> {
    match version() {
        0 => Some("this kernel has no Landlock, or it is switched off (Linux 6.2 has what is needed)".into()),
        version if version < LEAST => Some(format!(
            "Landlock of this kernel has version {version}, which cannot keep files from being cut (Linux 6.2 can)"
        )),
        _ => None,
    }
}

/// All that Landlock of this kernel can allow, as the kernel's bits.
pub fn everything() -> u64 {
    AccessFs::from_all(usable()).bits()
}

/// What this kernel and this code both know.
fn usable() -> ABI {
    ABI::from(version().min(BEST as i32))
}

impl Rules {
    /// Rules that forbid everything.
    ///
    /// # Errors
    /// The kernel has no Landlock.
    pub fn new() -> Result<Rules, String> {
        if let Some(why) = why_not() {
            return Err(why);
        }
        let rules = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        let rules = rules.handle_access(AccessFs::from_all(usable())).and_then(Ruleset::create);
        rules.map(Rules).map_err(|error| error.to_string())
    }

    /// Allows what is below a place, or a file itself: reading and executing, or everything.
    ///
    /// # Errors
    /// The system's.
    pub fn allow(self, place: impl AsFd, may_write: bool) -> Result<Rules, String> {
        let all = if may_write { AccessFs::from_all(usable()) } else { AccessFs::from_read(usable()) };
        let is_directory = rustix::fs::fstat(&place).is_ok_and(|stat| {
            rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory
        });
        let fitting: BitFlags<AccessFs> =
            if is_directory { all } else { all & AccessFs::from_file(usable()) };
        let added = self.0.add_rule(PathBeneath::new(place, fitting));
        added.map(Rules).map_err(|error| error.to_string())
    }

    /// What stands for them.
    pub fn into_fd(self) -> Option<OwnedFd> {
        self.0.into()
    }
}
