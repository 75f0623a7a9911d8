//! Decides who controls a name in a directory. Pure: owners and modes in, verdicts out.
//!
//! "We" are the effective user of this process, and root is trusted like ourselves. Everybody else is "others".

use rustix::fs::{FileType, Stat};

/// Who, besides root and ourselves, decides what a name in a directory leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Nobody. Group members of a directory of root's count as chosen by root.
    Ours,
    /// Others may add names, but not exchange ours: a sticky directory such as `/tmp`.
    Sticky,
    /// The user to whom the directory belongs.
    User(u32),
    /// Everybody.
    Anyone,
}

/// Who controls a directory of this owner and mode.
pub fn control(owner: u32, mode: u32, us: u32) -> Control {
    let for_all = mode & 0o002 != 0;
    let sticky = mode & 0o1000 != 0;
    match (is_trusted(owner, us), for_all, sticky) {
        (true, false, _) => Control::Ours,
        (true, true, true) => Control::Sticky,
        (false, false, _) | (false, true, true) => Control::User(owner),
        (_, true, false) => Control::Anyone,
    }
}

/// Whether nothing that belongs to this user can be turned against us.
pub fn is_trusted(owner: u32, us: u32) -> bool {
    owner == 0 || owner == us
}

/// Whether a symbolic link may be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// To wherever it leads.
    Follow,
    /// Only to what belongs to this user, who could write there without us.
    OnlyTo(u32),
    /// Nowhere: somebody put it there, and nobody knows who.
    Refuse,
}

/// Judges a symbolic link by its owner and by who controls the directory that it stands in. A link of root's is not
/// believed where somebody else could have moved it to.
pub fn judge_link(directory: Control, owner: u32, us: u32) -> Verdict {
    match (directory, is_trusted(owner, us)) {
        (Control::Ours | Control::Sticky, true) => Verdict::Follow,
        (Control::Ours | Control::Sticky | Control::Anyone, false) => Verdict::OnlyTo(owner),
        (Control::User(user), true) => Verdict::OnlyTo(user),
        (Control::User(user), false) if user == owner => Verdict::OnlyTo(user),
        (Control::User(_), false) | (Control::Anyone, true) => Verdict::Refuse,
    }
}

/// Whether an existing file may be a hard link that somebody made to a file of somebody else's
/// (`fs.protected_hardlinks` forbids that, but is not everywhere on).
pub fn may_be_planted(directory: Control, file: &Stat) -> bool {
    let regular = FileType::from_raw_mode(file.st_mode) == FileType::RegularFile;
    regular
        && file.st_nlink > 1
        && match directory {
            Control::Ours => false,
            Control::User(user) => file.st_uid != user,
            Control::Sticky | Control::Anyone => true,
        }
}

/// The mode for the file that follows another one in a rotation. A mode that somebody restricted stays restricted; only
/// our own files are believed, and a log is never executable.
///
/// `old` are owner and mode of the file before it.
pub fn mode_after(old: (u32, u32), us: u32) -> Option<u32> {
    let (owner, mode) = old;
    (owner == us).then_some(mode & 0o666)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Control::{Anyone, Ours, Sticky, User};
    use Verdict::{Follow, OnlyTo, Refuse};

    const ALICE: u32 = 1001;
    const BOB: u32 = 1002;

    #[test]
    fn who_controls_a_directory() {
        for (owner, mode, us, expected) in [
            (0, 0o755, 0, Ours),
            (0, 0o775, 0, Ours),
            (0, 0o1777, 0, Sticky),
            (0, 0o777, 0, Anyone),
            (ALICE, 0o755, 0, User(ALICE)),
            (ALICE, 0o700, 0, User(ALICE)),
            (ALICE, 0o1777, 0, User(ALICE)),
            (ALICE, 0o777, 0, Anyone),
            (ALICE, 0o755, ALICE, Ours),
            (0, 0o755, ALICE, Ours),
            (0, 0o1777, ALICE, Sticky),
            (BOB, 0o755, ALICE, User(BOB)),
        ] {
            assert_eq!(control(owner, mode, us), expected, "{owner} {mode:o} {us}");
        }
    }

    #[test]
    fn which_links_are_followed() {
        for (directory, owner, us, expected) in [
            (Ours, 0, 0, Follow),
            (Sticky, 0, 0, Follow),
            (Ours, ALICE, ALICE, Follow),
            (Ours, 0, ALICE, Follow),
            (Ours, ALICE, 0, OnlyTo(ALICE)),
            (Sticky, ALICE, 0, OnlyTo(ALICE)),
            (Anyone, ALICE, 0, OnlyTo(ALICE)),
            (User(ALICE), ALICE, 0, OnlyTo(ALICE)),
            (User(ALICE), 0, 0, OnlyTo(ALICE)),
            (User(ALICE), BOB, 0, Refuse),
            (Anyone, 0, 0, Refuse),
            (User(BOB), BOB, ALICE, OnlyTo(BOB)),
        ] {
            assert_eq!(judge_link(directory, owner, us), expected, "{directory:?} {owner} {us}");
        }
    }

    #[test]
    fn a_mode_is_taken_over_from_our_own_files_only_and_never_executable() {
        assert_eq!(mode_after((0, 0o640), 0), Some(0o640));
        assert_eq!(mode_after((0, 0o106_777), 0), Some(0o666));
        assert_eq!(mode_after((ALICE, 0o100_600), 0), None);
        assert_eq!(mode_after((0, 0o100_666), ALICE), None);
    }
}
