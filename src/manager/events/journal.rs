//! The inputs of the event pools, written down so that a successor can rebuild the pools.
//!
//! The pools depend on nothing but their inputs. So a journal of the inputs, in memory that the keeper holds, is all it
//! takes: the first line is a state of the pools, each further line is an input since. A line is written before anything
//! follows from it. The last line has no end if the manager died while it wrote, and then nothing has followed from it.
//! When the journal has grown, it is begun anew.

use crate::core::events::pools::{Input, Pools};
use crate::shm::layout::Place;
use crate::shm::link::Link;
use crate::sys::memory::{self, Sealed};
use serde::Serialize;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

/// A journal is begun anew when it is larger than this and several times its first line.
const LARGE: u64 = 1 << 20;
const SEVERAL: u64 = 4;

/// The journal of this manager.
#[derive(Debug)]
pub struct Journal {
    file: File,
    n_bytes: u64,
    n_first: u64,
}

impl Journal {
    /// Begins a journal with the pools as they are, and leaves it with the keeper.
    ///
    /// # Errors
    /// Out of memory or descriptors. The keeper has the old one still.
    pub fn begin(pools: &Pools, link: &Link) -> io::Result<Journal> {
        let file = File::from(memory::new_file("supervisord-events")?);
        memory::seal(&file, Sealed::MayGrow);
        let mut journal = Journal { file, n_bytes: 0, n_first: 0 };
        journal.write(pools)?;
        journal.n_first = journal.n_bytes;
        link.deposit(&[(Place::Events, journal.file.as_fd())])?;
        Ok(journal)
    }

    /// Writes an input down.
    ///
    /// # Errors
    /// Out of memory.
    pub fn append(&mut self, input: &Input) -> io::Result<()> {
        self.write(input)
    }

    /// Whether it is time to begin a new one.
    pub fn is_large(&self) -> bool {
        self.n_bytes > LARGE.max(self.n_first * SEVERAL)
    }

    fn write(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        self.file.write_all_at(&bytes, self.n_bytes)?;
        self.n_bytes += bytes.len() as u64;
        Ok(())
    }

    /// The pools as an earlier manager left them; `None` if it had none.
    ///
    /// # Errors
    /// The journal cannot be understood.
    pub fn read(link: &Link) -> io::Result<Option<Pools>> {
        let Some(fd) = link.take(Place::Events) else { return Ok(None) };
        let mut file = File::from(fd);
        let mut text = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut text)?;
        replay(&text)
    }
}

fn replay(text: &[u8]) -> io::Result<Option<Pools>> {
    let mut lines = text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    let Some(first) = lines.next() else { return Ok(None) };
    let mut pools: Pools = serde_json::from_slice(first)?;
    for line in lines {
        // What followed from it was done, or is found undone in a mailbox.
        let _ = pools.step(serde_json::from_slice(line)?);
    }
    Ok(Some(pools))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::{PayloadLength, PoolConfig, ResultHandler};
    use crate::model::event::Kind;
    use crate::model::state::ProcessState;
    use crate::model::time::Monotonic;

    #[test]
    fn a_journal_leads_to_the_same_pools_wherever_it_is_cut() {
        let config = PoolConfig {
            buffer_size: 3,
            events: vec!["EVENT".to_string()],
            result_handler: ResultHandler::Default,
            payload_length: PayloadLength::Characters,
        };
        let now = Monotonic(5);
        let heard = |bytes: &[u8]| Input::Heard { slot: 4, bytes: bytes.to_vec(), now };
        let inputs = [
            Input::Add { pool: "p".to_string(), config, listeners: vec![(4, "a".to_string())] },
            Input::Changed { slot: 4, state: ProcessState::Running },
            Input::Publish { kind: Kind::LogStdout, payload: "grüße\n\u{0}".to_string() },
            Input::Clock { secs: 100 },
            Input::Clock { secs: 105 },
            heard(b"READY\n"),
            Input::Dispatch { now },
            heard(b"RESULT 4\nFAI\xff"),
            Input::Undelivered { slot: 4 },
            Input::Reaped { slot: 4, now },
            Input::Remove { pool: "q".to_string() },
            Input::RemoveListener { slot: 9 },
        ];
        let mut pools = Pools::new("s");
        let mut text = serde_json::to_vec(&pools).unwrap();
        text.push(b'\n');
        for input in inputs {
            let whole = text.len();
            text.extend(serde_json::to_vec(&input).unwrap());
            text.push(b'\n');
            for cut in whole..text.len() {
                assert_eq!(replay(&text[..cut]).unwrap().as_ref(), Some(&pools), "cut in {input:?}");
            }
            let _ = pools.step(input);
        }
        assert_eq!(replay(&text).unwrap(), Some(pools));
        assert_eq!(replay(b"").unwrap(), None);
    }
}
