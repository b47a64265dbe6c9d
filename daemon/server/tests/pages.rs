//! The man pages and completions that are shipped are those of this program.

use std::path::{Path, PathBuf};
use std::process::Command;

fn yored(args: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_yored")).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn top() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().and_then(Path::parent).unwrap().to_owned()
}

/// The pages of `yored` in a folder; another program's may lie beside them.
fn pages(folder: &Path) -> Vec<String> {
    let names = folder
        .read_dir()
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap());
    let ours = |name: &String| name == "yored.8" || name.starts_with("yored-");
    let mut names: Vec<String> = names.filter(ours).collect();
    names.sort();
    names
}

#[test]
fn man_pages_are_current() {
    let fresh = tempfile::tempdir().unwrap();
    yored(&["man", fresh.path().to_str().unwrap()]);
    let shipped = top().join("man");
    assert_eq!(pages(fresh.path()), pages(&shipped), "run `yored man man`");
    for page in pages(&shipped) {
        let same = std::fs::read(fresh.path().join(&page)).unwrap() == std::fs::read(shipped.join(&page)).unwrap();
        assert!(same, "{page}: is not current; run `yored man man`");
    }
}

#[test]
fn completions_are_current() {
    for (shell, file) in [("bash", "yored.bash"), ("zsh", "_yored"), ("fish", "yored.fish")] {
        let shipped = std::fs::read(top().join("contrib/completions").join(file)).unwrap_or_default();
        assert!(
            yored(&["completions", shell]) == shipped,
            "run `yored completions {shell} > contrib/completions/{file}`"
        );
    }
}
