//! The man pages and completions that are shipped are those of this program.

use std::path::{Path, PathBuf};
use std::process::Command;

fn yore(args: &[&str]) -> Vec<u8> {
    // What help says must not depend on who makes it.
    let output = Command::new(env!("CARGO_BIN_EXE_yore"))
        .args(args)
        .env_remove("YORE_REPOSITORY")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The pages of `yore` in a folder; another program's may lie beside them.
fn pages(folder: &Path) -> Vec<String> {
    let names = folder
        .read_dir()
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap());
    let ours = |name: &String| name == "yore.1" || name.starts_with("yore-");
    let mut names: Vec<String> = names.filter(ours).collect();
    names.sort();
    names
}

#[test]
fn man_pages_are_current() {
    let fresh = tempfile::tempdir().unwrap();
    yore(&["man", fresh.path().to_str().unwrap()]);
    let shipped = top().join("man");
    assert_eq!(pages(fresh.path()), pages(&shipped), "run `yore man man`");
    for page in pages(&shipped) {
        let same = std::fs::read(fresh.path().join(&page)).unwrap() == std::fs::read(shipped.join(&page)).unwrap();
        assert!(same, "{page}: is not current; run `yore man man`");
    }
}

#[test]
fn completions_are_current() {
    for (shell, file) in [("bash", "yore.bash"), ("zsh", "_yore"), ("fish", "yore.fish")] {
        let shipped = std::fs::read(top().join("contrib/completions").join(file)).unwrap();
        assert!(
            yore(&["completions", shell]) == shipped,
            "run `yore completions {shell} > contrib/completions/{file}`"
        );
    }
}
