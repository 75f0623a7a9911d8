//! Where the daemon may make control groups: texts of the kernel in, a place or the reason why there is none out. Pure.

use crate::model::cgroup::{CgroupLimits, Controller};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What the directory in which the daemon makes its control groups is called, before its pid.
pub(super) const HOME_PREFIX: &str = "supervisord.";

/// The control group of the daemon itself, where it had to leave the one it was started in. The names of programs contain
/// no full stop.
pub(super) const OWN_LEAF: &str = "daemon.self";

/// The control group in which the daemon was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Where cgroup v2 is mounted.
    pub mount: PathBuf,
    /// Its name below the mount: `/system.slice/x.service`; `/` is the uppermost one.
    pub name: String,
    /// Whether cgroup v1 is mounted, too, so that controllers may be there.
    pub has_v1: bool,
    /// Whether the mount takes no changes.
    is_read_only: bool,
}

impl Location {
    /// The directory of the control group.
    pub fn directory(&self) -> PathBuf {
        match self.name.trim_start_matches('/') {
            "" => self.mount.clone(),
            name => self.mount.join(name),
        }
    }

    /// The name of the nearest control group at or above it that systemd made for a unit.
    pub fn unit(&self) -> Option<&str> {
        let is_unit = |part: &str| [".service", ".scope", ".slice"].iter().any(|end| part.ends_with(end));
        let mut name = self.name.as_str();
        while let Some((above, last)) = name.rsplit_once('/') {
            if is_unit(last) {
                return Some(name);
            }
            name = above;
        }
        None
    }
}

/// What the kernel says about the directory of a [`Location`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `cgroup.type`; `None` in the one control group that has no such file, the root of the whole hierarchy.
    pub kind: Option<String>,
    /// `cgroup.controllers`.
    pub controllers: String,
    /// Whether this process may make directories in it and write to its `cgroup.procs` and `cgroup.subtree_control`.
    pub is_writable: bool,
    /// Whether this process is root.
    pub is_root: bool,
    /// Whether systemd's mark of delegation is on [`Location::unit`].
    pub is_delegated: bool,
}

/// Where control groups may be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// The control group below which they are made.
    pub location: Location,
    /// The controllers that are there to be given to them.
    pub controllers: Vec<Controller>,
    /// Whether the kernel wants it without processes before it gives controllers away: everywhere but in the root.
    pub must_be_empty: bool,
    /// Whether all processes in it are the daemon's to move, as it was given to the daemon or to its container.
    pub is_ours: bool,
}

/// Finds the control group that the daemon was started in. `own` is `/proc/self/cgroup`, `mounts` is
/// `/proc/self/mountinfo`, `keeper` the pid of the daemon.
///
/// # Errors
/// There is none that can be used, and why.
pub fn locate(own: &str, mounts: &str, keeper: i32) -> Result<Location, String> {
    let of_kind = |kind: &'static str| mounts.lines().filter_map(move |line| Mount::parse(line, kind));
    let has_v1 = of_kind("cgroup").next().is_some();
    let Some(name) = own.lines().find_map(|line| line.strip_prefix("0::")) else {
        return Err(if has_v1 || own.lines().any(|line| line.contains(':')) {
            "this system has cgroup v1 only".to_string()
        } else {
            "the kernel has no control groups".to_string()
        });
    };
    let found: Vec<Mount> = of_kind("cgroup2").collect();
    if found.is_empty() {
        return Err(if has_v1 {
            "this system mounts cgroup v1 only, and not cgroup v2".to_string()
        } else {
            "cgroup v2 is not mounted here".to_string()
        });
    }
    if name.ends_with(" (deleted)") {
        return Err(format!("the control group that the daemon is in was removed ({name})"));
    }
    let below = |mount: &Mount| -> Option<String> {
        let rest = if mount.root == "/" { name } else { name.strip_prefix(&mount.root)? };
        let is_below = rest.is_empty() || rest.starts_with('/');
        (is_below && !rest.split('/').any(|part| part == "..")).then(|| rest.to_string())
    };
    let mut usable: Vec<(&Mount, String)> =
        found.iter().filter_map(|mount| Some((mount, below(mount)?))).collect();
    // One that can be changed is better than one that cannot.
    usable.sort_by_key(|(mount, _)| mount.is_read_only);
    let Some((mount, name)) = usable.into_iter().next() else {
        return Err(format!("the control group that the daemon is in ({name}) is not visible here"));
    };
    // A former manager of this daemon has moved it.
    let moved = format!("/{HOME_PREFIX}{keeper}/{OWN_LEAF}");
    let name = name.strip_suffix(&moved).unwrap_or(&name);
    let name = if name.is_empty() { "/" } else { name };
    Ok(Location {
        mount: mount.point.clone(),
        name: name.to_string(),
        has_v1,
        is_read_only: mount.is_read_only,
    })
}

/// Whether control groups may be made at a place.
///
/// # Errors
/// They may not, and why.
pub fn judge(location: Location, facts: &Facts) -> Result<Base, String> {
    let name = &location.name;
    if location.is_read_only {
        return Err(format!("{} is mounted read-only", location.mount.display()));
    }
    if let Some(kind) = facts.kind.as_deref().map(str::trim)
        && kind != "domain"
    {
        return Err(format!("the control group {name} is of type '{kind}', not 'domain'"));
    }
    if facts.is_root
        && !facts.is_delegated
        && let Some(unit) = location.unit()
    {
        return Err(format!(
            "the control group {unit} is systemd's and was not delegated: write Delegate=yes into its unit"
        ));
    }
    if !facts.is_writable {
        let hint = match location.unit() {
            Some(_) => ": write Delegate=yes into the unit of systemd",
            None => "",
        };
        return Err(format!("the control group {name} may not be changed by the daemon's user{hint}"));
    }
    let words: Vec<&str> = facts.controllers.split_whitespace().collect();
    Ok(Base {
        controllers: Controller::ALL.into_iter().filter(|it| words.contains(&it.name())).collect(),
        must_be_empty: facts.kind.is_some(),
        is_ours: facts.is_delegated && location.unit() == Some(name) || (name == "/" && facts.kind.is_some()),
        location,
    })
}

/// Which keys of a program cannot be applied at a place, and why: `memory_max: REASON` each.
pub fn problems(base: &Base, limits: &CgroupLimits) -> Vec<(&'static str, String)> {
    let knobs = limits.knobs().into_iter().filter(|knob| knob.value.is_some());
    let knobs = knobs.filter(|knob| !base.controllers.contains(&knob.controller));
    knobs.map(|knob| (knob.key, missing(knob.controller, &base.location))).collect()
}

/// Why a controller is not there to be given to programs.
pub(super) fn missing(controller: Controller, location: &Location) -> String {
    let place = location.directory();
    let why = if location.has_v1 { ": cgroup v1 has it, or the kernel lacks it" } else { "" };
    format!("{} offers no {} controller{why}", place.display(), controller.name())
}

/// One line of `/proc/self/mountinfo`.
struct Mount {
    /// Which part of the hierarchy is mounted.
    root: String,
    point: PathBuf,
    is_read_only: bool,
}

impl Mount {
    /// `None` unless it is of this kind; proc(5) has the fields.
    fn parse(line: &str, wanted: &str) -> Option<Mount> {
        let (about, file_system) = line.split_once(" - ")?;
        let mut file_system = file_system.split(' ');
        if file_system.next()? != wanted {
            return None;
        }
        let mut fields = about.split(' ').skip(3);
        let (root, point, options) = (fields.next()?, fields.next()?, fields.next()?);
        let is_read_only = |options: &str| options.split(',').any(|option| option == "ro");
        Some(Mount {
            root: String::from_utf8_lossy(&plain(root)).into_owned(),
            point: Path::new(OsStr::from_bytes(&plain(point))).to_path_buf(),
            is_read_only: is_read_only(options) || file_system.nth(1).is_some_and(is_read_only),
        })
    }
}

/// A field without its escapes: `\040` is a blank.
fn plain(field: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.filter(|_| *first == b'\\').and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}

fn encoded(text: &str) -> String {
    let mut name = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => name.push(char::from(byte)),
            other => name.push_str(&format!("%{other:02X}")),
        }
    }
    name
}

/// The name of a directory for a process: letters, digits, `_` and `-` as they are, every other byte as `%XX`, and an `@`
/// between group and process if they differ. Nothing can be taken for a file of the kernel's, whose names have full stops.
pub fn directory_name(group: &str, process: &str) -> String {
    /// The kernel's limit is 255.
    const LONGEST: usize = 200;
    let whole =
        if group == process { encoded(process) } else { format!("{}@{}", encoded(group), encoded(process)) };
    if whole.len() <= LONGEST {
        return whole;
    }
    // FNV-1a tells those apart that are the same up to there; the sign before it stands in no shorter name.
    let hash = whole.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{}~{hash:016x}", &whole[..LONGEST])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the kernel writes them, shortened to what matters.
    const V2: &str = "24 30 0:22 / /sys rw,nosuid - sysfs sysfs rw\n\
                      35 24 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
    const V2_READ_ONLY: &str =
        "812 811 0:30 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate\n";
    const HYBRID: &str = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
                          35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                          41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
    const V1: &str = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n";
    const ALL: &str = "cpuset cpu io memory hugetlb pids rdma misc\n";

    fn domain(controllers: &str) -> Facts {
        Facts {
            kind: Some("domain\n".to_string()),
            controllers: controllers.to_string(),
            is_writable: true,
            is_root: true,
            is_delegated: false,
        }
    }

    /// `DIRECTORY [CONTROLLERS] [empty] [ours]`, or the reason.
    #[track_caller]
    fn check(own: &str, mounts: &str, facts: Facts, expected: &str) {
        let found = locate(own, mounts, 77).and_then(|location| judge(location, &facts));
        let text = match found {
            Ok(base) => {
                let names: Vec<&str> = base.controllers.iter().map(|it| it.name()).collect();
                let mut text = format!("{} {names:?}", base.location.directory().display());
                for (holds, word) in [(base.must_be_empty, " empty"), (base.is_ours, " ours")] {
                    text += if holds { word } else { "" };
                }
                text
            }
            Err(why) => why,
        };
        assert_eq!(text, expected);
    }

    #[test]
    fn a_place_is_found_or_the_reason_is_told() {
        let root = Facts { kind: None, ..domain(ALL) };
        let all = "[\"cpu\", \"io\", \"memory\", \"pids\"]";
        // The plain root of the hierarchy, without systemd.
        check("0::/\n", V2, root.clone(), &format!("/sys/fs/cgroup {all}"));
        // A service of systemd, with Delegate=yes and without.
        let service = "0::/system.slice/supervisord.service\n";
        let delegated = Facts { is_delegated: true, ..domain("cpu memory pids\n") };
        let place = "/sys/fs/cgroup/system.slice/supervisord.service";
        check(service, V2, delegated.clone(), &format!("{place} [\"cpu\", \"memory\", \"pids\"] empty ours"));
        let refusal = "the control group /system.slice/supervisord.service is systemd's and was not delegated: \
                       write Delegate=yes into its unit";
        check(service, V2, domain("cpu memory pids\n"), refusal);
        // Below a delegated one somebody else may have processes.
        let below = "0::/system.slice/supervisord.service/a\n";
        check(below, V2, delegated.clone(), &format!("{place}/a [\"cpu\", \"memory\", \"pids\"] empty"));
        // The next manager of the daemon that was moved.
        let moved = "0::/system.slice/supervisord.service/supervisord.77/daemon.self\n";
        check(moved, V2, delegated, &format!("{place} [\"cpu\", \"memory\", \"pids\"] empty ours"));
        check(
            "0::/supervisord.77/daemon.self\n",
            V2,
            domain(ALL),
            &format!("/sys/fs/cgroup {all} empty ours"),
        );
        // Somebody who is not root.
        let user = Facts { is_root: false, is_writable: false, ..domain("memory pids\n") };
        let session = "0::/user.slice/user-1000.slice/session-3.scope\n";
        let refusal = "the control group /user.slice/user-1000.slice/session-3.scope may not be changed by the \
                       daemon's user: write Delegate=yes into the unit of systemd";
        check(session, V2, user.clone(), refusal);
        check("0::/x\n", V2, user.clone(), "the control group /x may not be changed by the daemon's user");
        let given = Facts { is_writable: true, ..user };
        check("0::/x\n", V2, given, "/sys/fs/cgroup/x [\"memory\", \"pids\"] empty");
        // A container with a namespace of its own.
        check("0::/\n", V2_READ_ONLY, domain(ALL), "/sys/fs/cgroup is mounted read-only");
        check("0::/\n", V2, domain(ALL), &format!("/sys/fs/cgroup {all} empty ours"));
        // One that sees the host's names.
        let whole = V2.replace("0:30 / ", "0:30 /docker/abc ");
        check("0::/docker/abc\n", &whole, domain("pids\n"), "/sys/fs/cgroup [\"pids\"] empty ours");
        check(
            "0::/../x\n",
            V2,
            domain(ALL),
            "the control group that the daemon is in (/../x) is not visible here",
        );
        check(
            "0::/docker/abcd\n",
            &whole,
            domain(ALL),
            "the control group that the daemon is in (/docker/abcd) is not visible here",
        );
        // Both versions, with the controllers at v1.
        let hybrid = Facts { kind: None, ..domain("hugetlb\n") };
        check("4:memory:/x\n0::/\n", HYBRID, hybrid, "/sys/fs/cgroup/unified []");
        check(
            "4:memory:/x\n0::/\n",
            V1,
            root.clone(),
            "this system mounts cgroup v1 only, and not cgroup v2",
        );
        check("4:memory:/x\n", V1, root.clone(), "this system has cgroup v1 only");
        check("0::/\n", "", root.clone(), "cgroup v2 is not mounted here");
        check("", "", root, "the kernel has no control groups");
        let threaded = Facts { kind: Some("threaded\n".to_string()), ..domain(ALL) };
        check("0::/x\n", V2, threaded, "the control group /x is of type 'threaded', not 'domain'");
        let gone = "the control group that the daemon is in was removed (/x (deleted))";
        check("0::/x (deleted)\n", V2, domain(ALL), gone);
    }

    #[test]
    fn blanks_in_names_are_read() {
        let mounts = V2.replace("/sys/fs/cgroup", "/a\\040b");
        let location = locate("0::/c d\n", &mounts, 1).unwrap();
        assert_eq!(location.directory(), Path::new("/a b/c d"));
    }

    #[test]
    fn names_are_safe_and_different() {
        for (group, process, expected) in [
            ("web", "web", "web"),
            ("web", "web_00", "web@web_00"),
            ("a@b", "a@b", "a%40b"),
            ("..", "..", "%2E%2E"),
            ("a/b:c", "x.y", "a%2Fb%3Ac@x%2Ey"),
            ("cgroup.procs", "cgroup.procs", "cgroup%2Eprocs"),
            ("ü ", "%", "%C3%BC%20@%25"),
        ] {
            assert_eq!(directory_name(group, process), expected);
        }
        let (one, other) = (format!("{}1", "x".repeat(300)), format!("{}2", "x".repeat(300)));
        assert_ne!(directory_name(&one, &one), directory_name(&other, &other));
        assert!(directory_name(&one, &other).len() < 255);
    }
}
