//! The two outputs of a program.

/// One of the outputs of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output, descriptor 1.
    Stdout,
    /// Standard error, descriptor 2.
    Stderr,
}

impl Stream {
    /// Both, in the order of their descriptors.
    pub const ALL: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

    /// The name in messages, paths and files, and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }

    /// The stream of this name, spelt exactly so.
    pub fn parse(name: &str) -> Option<Stream> {
        Stream::ALL.into_iter().find(|stream| stream.name() == name)
    }

    /// The stream of this name in any case, as people may type it.
    pub fn parse_in_any_case(name: &str) -> Option<Stream> {
        Stream::ALL.into_iter().find(|stream| stream.name().eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact_in_paths_and_in_any_case_on_the_command_line() {
        for (name, exact, typed) in [
            ("stdout", Some(Stream::Stdout), Some(Stream::Stdout)),
            ("stderr", Some(Stream::Stderr), Some(Stream::Stderr)),
            ("StdErr", None, Some(Stream::Stderr)),
            ("stdin", None, None),
            ("", None, None),
        ] {
            assert_eq!((Stream::parse(name), Stream::parse_in_any_case(name)), (exact, typed), "{name:?}");
        }
    }
}
