//! The least program that tells when it came to life: a static binary without a C library, whose first instruction is
//! its own, because what a library does before `main` is no merit or fault of who starts the program. (glibc asks the
//! processor what it can do, which in a virtual machine takes longer than everything else here.)

#![no_std]
#![no_main]

use core::arch::{asm, global_asm};

/// The clock that all processes share, as `clock_gettime(2)` numbers it.
const CLOCK_MONOTONIC: usize = 1;

/// Of `openat(2)`.
const AT_FDCWD: usize = -100_isize as usize;
const O_WRONLY: usize = 1;

#[cfg(target_arch = "x86_64")]
mod call {
    pub const WRITE: usize = 1;
    pub const CLOSE: usize = 3;
    pub const GETPID: usize = 39;
    pub const CLOCK_GETTIME: usize = 228;
    pub const EXIT: usize = 231;
    pub const OPENAT: usize = 257;
    pub const PPOLL: usize = 271;
}

#[cfg(target_arch = "aarch64")]
mod call {
    pub const OPENAT: usize = 56;
    pub const CLOSE: usize = 57;
    pub const WRITE: usize = 64;
    pub const PPOLL: usize = 73;
    pub const EXIT: usize = 94;
    pub const CLOCK_GETTIME: usize = 113;
    pub const GETPID: usize = 172;
}

// The kernel leaves the number of arguments, then the arguments, on the stack.
#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "mov rdi, rsp", "and rsp, -16", "call live");
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x0, sp", "bl live");

/// # Safety
/// As the system call of that number.
unsafe fn system_call(number: usize, arguments: [usize; 4]) -> usize {
    let [a, b, c, d] = arguments;
    let result;
    // SAFETY: by this function's contract; the kernel keeps every register but these.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
            out("rcx") _, out("r11") _, options(nostack));
    }
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c, in("x3") d,
            options(nostack));
    }
    result
}

/// The program, with the kernel's words about it.
#[unsafe(no_mangle)]
extern "C" fn live(words: *const usize) -> ! {
    let mut now = [0_u64; 2];
    let mut record = [0_u64; 2];
    // SAFETY: `words` are a count and as many arguments, as the kernel left them; every pointer that a call gets is
    // valid for what that call reads or writes.
    unsafe {
        system_call(call::CLOCK_GETTIME, [CLOCK_MONOTONIC, now.as_mut_ptr() as usize, 0, 0]);
        let path = *words.add(*words);
        record[0] = system_call(call::GETPID, [0; 4]) as u64;
        record[1] = now[0] * 1_000_000_000 + now[1];
        let pipe = system_call(call::OPENAT, [AT_FDCWD, path, O_WRONLY, 0]);
        if system_call(call::WRITE, [pipe, record.as_ptr() as usize, size_of_val(&record), 0]) == 16 {
            system_call(call::CLOSE, [pipe, 0, 0, 0]);
            loop {
                system_call(call::PPOLL, [0; 4]);
            }
        }
        // The bench waits for the record, so it will say that something is missing.
        system_call(call::EXIT, [1, 0, 0, 0]);
    }
    loop {}
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
