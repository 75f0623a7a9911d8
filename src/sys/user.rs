//! Users: looking them up, and becoming one for good.

use crate::sys::capabilities;
use crate::sys::errno::errno_name;
use nix::unistd::{
    Gid, Uid, User, getegid, geteuid, getgid, getgrouplist, getgroups, getuid, setgid, setgroups, setuid,
};
use std::collections::BTreeSet;
use std::ffi::{CString, OsString};

/// Why an ordinary user cannot run anything as somebody else; Supervisor, options.py, drop_privileges().
pub const NOT_ROOT: &str = "Can't drop privilege as nonroot user";

/// Everything that has to change to become a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// The primary group first, then every group that lists the user.
    pub groups: Vec<u32>,
}

/// Looks up what becoming `uid` means, with `group` instead of the user's own if it is given, and with `more` groups. One
/// that is in no list of users keeps the group of this process, and has no other but those, if `may_be_unlisted`.
///
/// # Errors
/// The text to report: `Can't find uid N`.
pub fn identity(
    uid: u32,
    may_be_unlisted: bool,
    group: Option<u32>,
    more: &[u32],
) -> Result<Identity, String> {
    let not_found = || format!("Can't find uid {uid}");
    let Some(user) = User::from_uid(Uid::from_raw(uid)).map_err(|_| not_found())? else {
        if !may_be_unlisted {
            return Err(not_found());
        }
        let gid = group.unwrap_or_else(|| getegid().as_raw());
        return Ok(Identity { uid, gid, groups: with(vec![gid], more) });
    };
    let name = CString::new(user.name).map_err(|_| not_found())?;
    let gid = group.map_or(user.gid, Gid::from_raw);
    let groups = getgrouplist(&name, gid).map_err(|_| not_found())?;
    let groups = groups.into_iter().map(Gid::as_raw).collect();
    Ok(Identity { uid, gid: gid.as_raw(), groups: with(groups, more) })
}

/// Who this process is, with more groups.
pub fn own_identity(more: &[u32]) -> Identity {
    let groups = getgroups().unwrap_or_default().into_iter().map(Gid::as_raw).collect();
    Identity { uid: current_uid(), gid: current_gid(), groups: with(groups, more) }
}

fn with(mut groups: Vec<u32>, more: &[u32]) -> Vec<u32> {
    for group in more {
        if !groups.contains(group) {
            groups.push(*group);
        }
    }
    groups
}

/// Why this process cannot run a program as another user; `None` if it can.
pub fn why_not_another() -> Option<String> {
    if geteuid().is_root() {
        return None;
    }
    if !capabilities::is_effective(SETUID.1) {
        return Some(NOT_ROOT.to_string());
    }
    // Nobody else could stop it.
    let lacks_kill = !capabilities::is_effective(KILL.1);
    lacks_kill.then(|| format!("the daemon could not send it signals ({} is missing)", KILL.0))
}

/// Names and numbers of capabilities(7).
const KILL: (&str, u32) = ("CAP_KILL", 5);
const SETGID: (&str, u32) = ("CAP_SETGID", 6);
const SETUID: (&str, u32) = ("CAP_SETUID", 7);

/// What belongs to a user in an environment: HOME, USER, LOGNAME, SHELL. `None` is whoever this process is.
///
/// # Errors
/// The user is in no list, so nobody knows; the text for `spawnerr`.
pub fn variables(uid: Option<u32>) -> Result<Vec<(OsString, OsString)>, String> {
    let uid = uid.unwrap_or_else(current_uid);
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    let user = user.ok_or_else(|| format!("user_environment: there is no user with the number {uid}"))?;
    let name = OsString::from(user.name);
    Ok(vec![
        ("HOME".into(), user.dir.into()),
        ("USER".into(), name.clone()),
        ("LOGNAME".into(), name),
        ("SHELL".into(), user.shell.into()),
    ])
}

/// Whether this process has the groups of an identity already, and no other.
pub fn has_groups(identity: &Identity) -> bool {
    let as_set = |groups: Vec<u32>| groups.into_iter().chain([identity.gid]).collect::<BTreeSet<u32>>();
    let own = getgroups().map(|groups| groups.into_iter().map(Gid::as_raw).collect());
    own.is_ok_and(|own| as_set(own) == as_set(identity.groups.clone()))
}

/// The user this process runs as.
pub fn current_uid() -> u32 {
    getuid().as_raw()
}

/// The group this process runs as.
pub fn current_gid() -> u32 {
    getegid().as_raw()
}

/// Becomes another user for good, and makes sure of it; see [`identity`]. Steps to what is so already are left out.
///
/// # Errors
/// The text to report; it begins with Supervisor's words where that has any. The process may have changed halfway and
/// must end.
pub fn become_user(uid: u32, may_be_unlisted: bool) -> Result<(), String> {
    if getuid().as_raw() == uid && geteuid().as_raw() == uid {
        return Ok(());
    }
    let is_root = geteuid().is_root();
    if !is_root && !capabilities::is_effective(SETUID.1) {
        return Err(format!("{NOT_ROOT}: becoming uid {uid} takes root with CAP_SETUID and CAP_SETGID"));
    }
    let identity = identity(uid, may_be_unlisted, None, &[])?;
    let failed = |what: &str, call: &str, capability: (&str, u32)| {
        let (name, number) = capability;
        let missing =
            if capabilities::is_effective(number) { String::new() } else { format!(" ({name} is missing)") };
        let text = format!("{what}: {call}");
        move |error: nix::Error| format!("{text}: {}{missing}", errno_name(error as i32))
    };
    if !has_groups(&identity) {
        let groups: Vec<Gid> = identity.groups.iter().copied().map(Gid::from_raw).collect();
        setgroups(&groups).map_err(failed("Could not set groups of effective user", "setgroups", SETGID))?;
    }
    if [getgid(), getegid()] != [Gid::from_raw(identity.gid); 2] {
        setgid(Gid::from_raw(identity.gid)).map_err(failed(
            "Could not set group id of effective user",
            "setgid",
            SETGID,
        ))?;
    }
    setuid(Uid::from_raw(uid)).map_err(failed(&format!("Could not set user id {uid}"), "setuid", SETUID))?;
    // The kernel drops them with root only.
    let is_bare = uid == 0 || is_root || capabilities::drop_all();
    let became = is_bare
        && has_groups(&identity)
        && [getuid(), geteuid()].iter().all(|now| now.as_raw() == uid)
        && [getgid(), getegid()].iter().all(|now| now.as_raw() == identity.gid);
    if !became || (uid != 0 && setuid(Uid::from_raw(0)).is_ok()) {
        return Err(format!("Privileges could not be dropped completely to uid {uid}"));
    }
    Ok(())
}

/// Whether this process may do what only root may.
pub fn is_root() -> bool {
    geteuid().is_root()
}
