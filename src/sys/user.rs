//! Users: looking them up, and becoming one for good.

use nix::unistd::{
    Gid, Uid, User, getegid, geteuid, getgid, getgrouplist, getuid, setgid, setgroups, setuid,
};
use std::ffi::CString;

/// Everything that has to change to become a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// The primary group first, then every group that lists the user.
    pub groups: Vec<u32>,
}

/// Looks up what becoming `uid` means.
///
/// # Errors
/// The text to report: `Can't find uid N`.
pub fn identity(uid: u32) -> Result<Identity, String> {
    let not_found = || format!("Can't find uid {uid}");
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten().ok_or_else(not_found)?;
    let name = CString::new(user.name).map_err(|_| not_found())?;
    let groups = getgrouplist(&name, user.gid).map_err(|_| not_found())?;
    Ok(Identity { uid, gid: user.gid.as_raw(), groups: groups.into_iter().map(Gid::as_raw).collect() })
}

/// The user this process runs as.
pub fn current_uid() -> u32 {
    getuid().as_raw()
}

/// Becomes another user for good, and makes sure of it.
///
/// # Errors
/// The text to report, in Supervisor's words. The process may have changed halfway and must end.
pub fn become_user(uid: u32) -> Result<(), String> {
    if getuid().as_raw() == uid && geteuid().as_raw() == uid {
        return Ok(());
    }
    if !geteuid().is_root() {
        return Err("Can't drop privilege as nonroot user".to_string());
    }
    let identity = identity(uid)?;
    let groups: Vec<Gid> = identity.groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups).map_err(|_| "Could not set groups of effective user".to_string())?;
    setgid(Gid::from_raw(identity.gid))
        .map_err(|_| "Could not set group id of effective user".to_string())?;
    setuid(Uid::from_raw(uid)).map_err(|error| format!("Could not set user id {uid}: {error}"))?;
    let became = [getuid(), geteuid()].iter().all(|now| now.as_raw() == uid)
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
