//! Programs that many tests run, and what their logs must hold.

/// Does nothing.
pub const SLEEPER: &str = "[program:sleeper]\ncommand=sleep 1000\nstartsecs=0\n";

/// Prints `line 1`, `line 2` and so on, about a thousand a second, into `counter.log`. See [`assert_unbroken`].
pub const COUNTER: &str = "
[program:counter]
command=/bin/sh -c 'n=0; while :; do n=$((n+1)); echo \"line $n\"; sleep 0.001; done'
startsecs=0
stdout_logfile=%(here)s/counter.log
stdout_logfile_maxbytes=0
";

/// How many lines a counter has in its log. The last one may still be on its way and is not counted.
///
/// # Panics
/// Unless they are the lines 1 to n in order, none missing and none twice.
#[track_caller]
pub fn assert_unbroken(log: &str) -> usize {
    let complete = &log[..log.rfind('\n').map_or(0, |end| end + 1)];
    for (index, line) in complete.lines().enumerate() {
        assert_eq!(line, format!("line {}", index + 1), "the log of the program has a gap or a double");
    }
    complete.lines().count()
}
