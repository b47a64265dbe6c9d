//! A control group that bounds the memory of the processes in it.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A memory control group, of version 1 or 2, whichever is mounted; removed when dropped.
pub struct Cgroup(PathBuf);

impl Cgroup {
    /// A group whose processes may have so many bytes, files that the kernel keeps of theirs included.
    pub fn new(name: &str, bytes: u64) -> Self {
        let (parent, limit, swap) = mounted();
        let folder = parent.join(format!("yore-{name}-{}", std::process::id()));
        fs::create_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}; run this as root", folder.display()));
        let group = Cgroup(folder);
        group.write(limit, &bytes.to_string());
        // Not everywhere is there swap to forbid.
        let none = if swap == "memory.swap.max" { 0 } else { bytes };
        let _ = fs::write(group.0.join(swap), none.to_string());
        group
    }

    /// Starts the command inside.
    #[expect(
        unsafe_code,
        reason = "a process enters a control group before it is another program"
    )]
    pub fn hold(&self, command: &mut Command) {
        let file = self.0.join("cgroup.procs");
        let file = fs::File::options().write(true).open(file).expect("a control group");
        let enter = move || rustix::io::write(&file, b"0").map(drop).map_err(Into::into);
        // SAFETY: between fork and exec it makes one system call, on a descriptor that it owns.
        unsafe { command.pre_exec(enter) };
    }

    /// How often a process in it was killed for want of memory.
    pub fn kills(&self) -> u64 {
        let number = |file: &str| {
            let text = fs::read_to_string(self.0.join(file)).ok()?;
            text.lines()
                .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
        };
        let found = number("memory.events").or_else(|| number("memory.oom_control"));
        found.expect("the group counts who is killed")
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.0.join(file);
        fs::write(&path, text)
            .unwrap_or_else(|error| panic!("{}: {error}; is there a memory controller?", path.display()));
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Where groups are made, and the files with their limits: of memory, and of it with swap.
fn mounted() -> (PathBuf, &'static str, &'static str) {
    let one = Path::new("/sys/fs/cgroup/memory");
    if one.join("memory.limit_in_bytes").exists() {
        return (one.into(), "memory.limit_in_bytes", "memory.memsw.limit_in_bytes");
    }
    let two = Path::new("/sys/fs/cgroup");
    let controllers = fs::read_to_string(two.join("cgroup.subtree_control")).unwrap_or_default();
    assert!(
        controllers.split_whitespace().any(|name| name == "memory"),
        "no memory controller is mounted at {}; this test needs one",
        two.display()
    );
    (two.into(), "memory.max", "memory.swap.max")
}
