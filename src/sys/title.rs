//! Sets the name that lists of processes show for this process.

use crate::sys::exec::ExecStrings;
use crate::sys::stat::Stat;
use std::ops::Range;
use std::{ptr, slice};

/// Where the kernel put the arguments of this process, followed by its environment. That is where lists of processes
/// read them.
#[derive(Debug)]
pub struct TitleArea {
    arguments: Range<usize>,
    /// Where the environment ends.
    end: usize,
}

impl TitleArea {
    /// `None` if the kernel does not say, or keeps them in an unusual order.
    pub fn find() -> Option<TitleArea> {
        let stat = Stat::own()?;
        let (start, arguments_end): (usize, usize) = (stat.field(48)?, stat.field(49)?);
        let (environment_start, end): (usize, usize) = (stat.field(50)?, stat.field(51)?);
        let is_usual =
            start > 0 && start < arguments_end && arguments_end == environment_start && arguments_end <= end;
        is_usual.then_some(TitleArea { arguments: start..arguments_end, end })
    }

    /// Shows these words with blanks between them; what does not fit is cut off.
    ///
    /// The kernel takes arguments that do not end with a zero for a title, which goes on into what was the environment
    /// and ends at the first zero. A title that is shorter than the arguments is followed by zeros.
    ///
    /// # Safety
    /// This process has a single thread, and nothing in it reads its arguments or its environment in the place where
    /// they were handed to it, now or later.
    pub unsafe fn show(self, words: &ExecStrings) {
        let title = words.line();
        let shown = title.len().min(self.end - self.arguments.start - 1);
        let cleared = self.arguments.len().max(shown + 1);
        // SAFETY: the kernel put arguments and environment into these bytes of the stack, which can be written to
        // and are shared with nobody; by this function's contract nobody looks at them.
        let area = unsafe {
            slice::from_raw_parts_mut(ptr::with_exposed_provenance_mut(self.arguments.start), cleared)
        };
        area.fill(0);
        area[..shown].copy_from_slice(&title[..shown]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_arguments_are_where_the_kernel_says() {
        let TitleArea { arguments, end } = TitleArea::find().unwrap();
        assert_eq!(arguments.len(), fs::read("/proc/self/cmdline").unwrap().len());
        assert_eq!(end - arguments.end, fs::read("/proc/self/environ").unwrap().len());
    }
}
