//! What the allocator does with memory that is not used any more. Of glibc's only; another one keeps its own counsel.
//!
//! Who pushes or takes pushes in allocates and frees buffers of up to a MiB all the time. glibc gives memory at the end of
//! what it has back to the system soon, and each page of it that is wanted again is a fault, and is cleared. A first push of
//! /usr/share takes 8 % less processor time where it keeps some.

/// Bytes at the end of an arena that stay there. An arena serves one thread, or a few.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT: i32 = 16 << 20;

/// Bytes of what has a mapping of its own, and goes back when it is freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: i32 = 4 << 20;

/// Has what is freed kept for what is allocated next. For a program that ends soon, or that [gives it back](give_back).
pub fn keep() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "there is no safe call for it")]
    // SAFETY: both take numbers, and may be called at any time (mallopt(3)).
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}

/// Gives what is kept back to the system. It takes a millisecond or a few.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "there is no safe call for it")]
    // SAFETY: it may be called at any time (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}
