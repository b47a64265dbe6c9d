//! Linking a machine, as a person or a script does it.

use std::io::Write;
use std::process::Stdio;

use yore_tests::daemon::Daemon;

#[test]
fn an_invitation_can_be_kept_off_the_command_line() {
    let daemon = Daemon::start();
    daemon.add("ann", &[]);
    let laptop = daemon.machine("laptop");
    let invitation = daemon.invite("ann");
    let token = invitation.iter().find(|word| word.starts_with("yi-")).unwrap();
    let url = format!("ssh://127.0.0.1:{}", daemon.port);
    let mut link = laptop.command(&["link", &url, "--user", "ann", "--yes", "--invitation", "-"]);
    let mut link = link.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    writeln!(link.stdin.take().unwrap(), "{token}").unwrap();
    let output = link.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::create_dir_all(laptop.source()).unwrap();
    laptop.snapshotted();
}
