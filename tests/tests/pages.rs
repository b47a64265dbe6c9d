//! The man pages and completions that are shipped are those of the programs.

use std::path::{Path, PathBuf};
use std::process::Command;

use yore_tests::daemon::program;

/// The programs, and the section of the manual that each is in.
const PROGRAMS: [(&str, &str); 2] = [("yore", "1"), ("yored", "8")];

/// What a program prints.
fn printed(name: &str, args: &[&str]) -> Vec<u8> {
    // What help says must not depend on who makes it.
    let output = Command::new(program(name))
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

/// The pages in a folder.
fn pages(folder: &Path) -> Vec<String> {
    let names = folder
        .read_dir()
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn man_pages_are_current() {
    let fresh = tempfile::tempdir().unwrap();
    for (name, section) in PROGRAMS {
        printed(name, &["man", fresh.path().to_str().unwrap()]);
        assert!(fresh.path().join(format!("{name}.{section}")).exists());
    }
    let (shipped, todo) = (top().join("man"), "run `yore man man` and `yored man man`");
    assert_eq!(pages(fresh.path()), pages(&shipped), "{todo}");
    for page in pages(&shipped) {
        let same = std::fs::read(fresh.path().join(&page)).unwrap() == std::fs::read(shipped.join(&page)).unwrap();
        assert!(same, "{page}: is not current; {todo}");
    }
}

#[test]
fn completions_are_current() {
    for (name, _) in PROGRAMS {
        for (shell, file) in [
            ("bash", format!("{name}.bash")),
            ("zsh", format!("_{name}")),
            ("fish", format!("{name}.fish")),
        ] {
            let shipped = std::fs::read(top().join("contrib/completions").join(&file)).unwrap();
            assert!(
                printed(name, &["completions", shell]) == shipped,
                "run `{name} completions {shell} > contrib/completions/{file}`"
            );
        }
    }
}
