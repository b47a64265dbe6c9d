//! File systems in which the kernel shows itself. What is in them is no data of anybody's: it is made up while it is
//! read, some of it without end, and /proc/kcore is the memory of the machine.

use std::os::fd::AsFd;

use rustix::fs::fstatfs;

/// `f_type` of each, by statfs(2) and linux/magic.h.
const MAGIC: [u32; 12] = [
    0x9fa0,      // proc
    0x6265_6572, // sysfs
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0x7363_6673, // securityfs
    0x6265_6570, // configfs
    0x6165_676c, // pstore
    0xcafe_4a11, // bpf
    0x1cd1,      // devpts
    0x4249_4e4d, // binfmt_misc
];

/// Whether a folder lies in such a file system.
pub(crate) fn is_kernels(folder: impl AsFd) -> bool {
    // Its type differs from one architecture to the next; the numbers fit 32 bits.
    fstatfs(folder).is_ok_and(|found| MAGIC.contains(&(found.f_type as u32)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_own_are_told_from_others() {
        let is = |path: &str| is_kernels(std::fs::File::open(path).unwrap());
        assert!(is("/proc") && is("/proc/self") && is("/sys"));
        assert!(!is("/") && !is("/dev/shm"));
    }
}
