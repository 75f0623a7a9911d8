//! Surroundings to start a daemon in.

/// Starts what follows it in a mount namespace with a `/dev` of its own, in which there is no syslog yet.
pub const OWN_DEV: [&str; 7] = [
    // What is started is not a child of unshare here.
    "env",
    "unshare",
    "--mount",
    "sh",
    "-ec",
    r#"
    dev=$(mktemp -d)
    mount -t tmpfs -o mode=755 tmpfs "$dev"
    for node in null zero full random urandom tty; do cp -a "/dev/$node" "$dev"; done
    ln -s /proc/self/fd "$dev/fd"
    mount --move "$dev" /dev
    rmdir "$dev"
    exec "$@"
    "#,
    "sh",
];

/// Starts what follows the number of an error: with a kernel that answers splice(2) with that error, and tee(2) as well if
/// a second one follows.
#[allow(dead_code)]
pub const REFUSE_SPLICE: [&str; 3] = [
    "python3",
    "-c",
    r#"
import ctypes, os, platform, struct, sys
errors = [int(word) for word in sys.argv[1].split(',')]
calls = {'x86_64': [275, 276], 'aarch64': [76, 77]}[platform.machine()]
def step(code, true, false, k): return struct.pack('HBBI', code, true, false, k)
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
program = step(LOAD, 0, 0, 0)
for call, error in zip(calls, errors):
    program += step(EQUAL, 0, 1, call) + step(RETURN, 0, 0, 0x00050000 | error)
program += step(RETURN, 0, 0, 0x7fff0000)
buffer = ctypes.create_string_buffer(program, len(program))
filter = struct.pack('HxxxxxxP', len(program) // 8, ctypes.addressof(buffer))
libc = ctypes.CDLL(None, use_errno=True)
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
for words in [(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filter, 0, 0)]:
    if libc.prctl(*words) != 0: sys.exit('prctl: ' + os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[2], sys.argv[2:])
"#,
];
