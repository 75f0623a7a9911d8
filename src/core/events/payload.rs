//! The payload of each event, byte for byte as Supervisor writes it (events.py, `payload()`).

use crate::core::process::StateChange;
use crate::model::state::ProcessState;

/// Of a change of state. The values are those of the moment of the change.
pub fn state_change(process: &str, group: &str, change: StateChange) -> String {
    let StateChange { from, to, pid, tries, expected } = change;
    let base = format!("processname:{process} groupname:{group} from_state:{from}");
    match to {
        ProcessState::Starting | ProcessState::Backoff => format!("{base} tries:{tries}"),
        ProcessState::Running | ProcessState::Stopping | ProcessState::Stopped => format!("{base} pid:{pid}"),
        ProcessState::Exited => format!("{base} expected:{} pid:{pid}", u8::from(expected)),
        ProcessState::Fatal | ProcessState::Unknown => base,
    }
}

/// Of a health check: as of a change of state, from the state that the process is in.
pub fn health(process: &str, group: &str, state: ProcessState, pid: i32) -> String {
    format!("processname:{process} groupname:{group} from_state:{state} pid:{pid}")
}

/// Of what a program wrote between capture tokens.
pub fn communication(process: &str, group: &str, pid: i32, data: &str) -> String {
    format!("processname:{process} groupname:{group} pid:{pid}\n{data}")
}

/// Of a piece of a program's output.
pub fn log(process: &str, group: &str, pid: i32, channel: &str, data: &str) -> String {
    format!("processname:{process} groupname:{group} pid:{pid} channel:{channel}\n{data}")
}

/// Of what a client sent.
pub fn remote(kind: &str, data: &str) -> String {
    format!("type:{kind}\n{data}")
}

/// Of the passing of time: a multiple of the tick's period, in seconds since 1970.
pub fn tick(when: i64) -> String {
    format!("when:{when}")
}

/// Of a group that came or went; the only one of its sort that ends with a newline.
pub fn group(name: &str) -> String {
    format!("groupname:{name}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ProcessState::*;

    #[test]
    fn every_state_has_its_fields() {
        let change = |from, to, pid, tries, expected| StateChange { from, to, pid, tries, expected };
        for (change, expected, length) in [
            (change(Stopped, Starting, 0, 0, false), "from_state:STOPPED tries:0", 56),
            (change(Starting, Running, 2766, 0, false), "from_state:STARTING pid:2766", 58),
            (change(Starting, Backoff, 2766, 1, false), "from_state:STARTING tries:1", 57),
            (change(Running, Stopping, 2766, 0, false), "from_state:RUNNING pid:2766", 57),
            (change(Running, Exited, 2766, 0, false), "from_state:RUNNING expected:0 pid:2766", 68),
            (change(Stopping, Stopped, 2766, 0, false), "from_state:STOPPING pid:2766", 58),
            (change(Backoff, Stopped, 0, 0, false), "from_state:BACKOFF pid:0", 54),
            (change(Backoff, Fatal, 0, 4, false), "from_state:BACKOFF", 48),
            (change(Stopping, Unknown, 2766, 0, false), "from_state:STOPPING", 49),
        ] {
            let payload = state_change("cat", "cat", change);
            assert_eq!(payload, format!("processname:cat groupname:cat {expected}"));
            assert_eq!(payload.len(), length);
        }
    }

    #[test]
    fn the_others_are_as_in_the_manual() {
        assert_eq!(communication("cat", "cat", 2766, "Hello!").len(), 45);
        assert_eq!(log("cat", "cat", 2766, "stdout", "hello\n").len(), 60);
        assert_eq!(remote("mytype", "mydata"), "type:mytype\nmydata");
        assert_eq!(tick(1201063880), "when:1201063880");
        assert_eq!(group("cat"), "groupname:cat\n");
    }
}
