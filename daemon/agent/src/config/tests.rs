use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn with(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(FILE), text).unwrap();
    folder
}

fn text(folder: &tempfile::TempDir) -> String {
    std::fs::read_to_string(folder.path().join(FILE)).unwrap()
}

/// The error of a file with this text, without its path.
fn error(text: &str) -> String {
    let folder = with(text);
    let error = AgentConfig::load(folder.path()).unwrap_err().to_string();
    let path = folder.path().join(FILE).display().to_string();
    error
        .strip_prefix(&path)
        .unwrap_or_else(|| panic!("{error}"))
        .to_owned()
}

#[test]
fn a_file_says_what_it_says() {
    let folder = with(
        r#"
        repository = "ssh://ann@box:2222/laptop"
        host_key = "SHA256:abc"
        host = "old-laptop"
        transport = "openssh"
        include = ["/home/ann", "/etc"]
        exclude = ["*.o"]
        exclude_caches = true
        one_file_system = true
        tags = ["auto"]
        schedule = "30 12 * * 1-5"
        after_change = "5m"
        full_scan = "2d"
        limit_rate = "2M"
        before = "true"
        after = "echo $YORE_RESULT"
        retry_for = "90s"
        "#,
    );
    let expected = AgentConfig {
        repository: Some("ssh://ann@box:2222/laptop".into()),
        host_key: Some("SHA256:abc".into()),
        host: Some("old-laptop".into()),
        transport: Transport::Openssh,
        include: vec!["/home/ann".into(), "/etc".into()],
        exclude: vec!["*.o".into()],
        exclude_caches: true,
        one_file_system: true,
        tags: vec!["auto".into()],
        schedule: Schedule::Cron("30 12 * * 1-5".into()),
        after_change: Some(Duration::from_secs(300)),
        full_scan: Duration::from_secs(2 * 86_400),
        limit_rate: Some(2 << 20),
        before: Some("true".into()),
        after: Some("echo $YORE_RESULT".into()),
        retry_for: Duration::from_secs(90),
    };
    assert_eq!(AgentConfig::load(folder.path()).unwrap(), Some(expected));
    assert_eq!(AgentConfig::load(&folder.path().join("nowhere")).unwrap(), None);
    assert_eq!(
        AgentConfig::load(with("").path()).unwrap(),
        Some(AgentConfig::default())
    );
}

#[test]
fn what_makes_no_sense_is_named_with_its_line() {
    let cases = [
        ("\nexlude = []", ":2: there is no key `exlude`; did you mean `exclude`?"),
        (
            "# x\n[shedule]\na = 1",
            ":2: there is no key `shedule`; did you mean `schedule`?",
        ),
        ("zzz = 1", ":1: there is no key `zzz`"),
        (
            "\n\nretry_for = \"long\"",
            ":3: retry_for: `long` is no time; write 90s, 5m, 1h30m or 1d",
        ),
        ("include = [\"home\"]", ":1: include: home: is not absolute"),
        (
            "transport = \"smoke\"",
            ":1: transport: `smoke` is neither ssh nor openssh",
        ),
        (
            "limit_rate = \"fast\"",
            ":1: limit_rate: `fast` is no rate; write bytes a second: 500K, 2M, off",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(error(text), expected);
    }
    assert!(
        error("\ntags = \"x\"").starts_with(":2: "),
        "{}",
        error("\ntags = \"x\"")
    );
    assert!(error("\n\ninclude = [").starts_with(":3: "));
    assert!(error("schedule = \"often\"").starts_with(":1: schedule: `often` is no schedule ("));
}

#[test]
fn a_new_file_explains_every_key_and_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("made/for/it");
    let config = Edit::open(&inside).unwrap().save().unwrap();
    assert_eq!(config, AgentConfig::default());
    let path = inside.join(FILE);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    // Each default that stands in a comment is the default.
    let template = std::fs::read_to_string(&path).unwrap();
    let keys = template
        .lines()
        .filter(|line| line.starts_with("# ") && line.contains(" = "));
    for line in keys.filter(|line| {
        !["repository", "host_key", "before"]
            .iter()
            .any(|key| line[2..].starts_with(key))
    }) {
        let said = AgentConfig::load(with(&line[2..]).path()).unwrap().unwrap();
        assert_eq!(said, AgentConfig::default(), "{line}");
    }
}

#[test]
fn edits_fill_in_the_template() {
    let folder = tempfile::tempdir().unwrap();
    let mut edit = Edit::open(folder.path()).unwrap();
    edit.set_repository("/mnt/disk/ann");
    edit.set_host_key(Some("SHA256:x"));
    assert!(edit.include(Path::new("/home/ann")).unwrap());
    assert!(edit.include(Path::new("/etc")).unwrap());
    assert!(!edit.include(Path::new("/etc")).unwrap());
    assert!(edit.exclude("*.iso"));
    edit.set_schedule(&Schedule::Hourly);
    edit.set_after_change(Some(Duration::from_secs(300)));
    let config = edit.save().unwrap();
    assert_eq!(AgentConfig::load(folder.path()).unwrap(), Some(config));
    let text = text(&folder);
    for line in [
        "repository = \"/mnt/disk/ann\"",
        "host_key = \"SHA256:x\"",
        "include = [\"/home/ann\", \"/etc\"]",
        "exclude = [\"*.iso\"]",
        "schedule = \"hourly\"",
        "after_change = \"5m\"",
        "# retry_for = \"1h\"",
    ] {
        assert!(text.lines().any(|other| other == line), "{line} in {text}");
    }
    // In the template's places, so that each stands below what explains it.
    assert_eq!(text.lines().count(), include_str!("template.toml").lines().count());

    let mut edit = Edit::open(folder.path()).unwrap();
    assert!(edit.remove_include(Path::new("/home/ann")) && !edit.remove_include(Path::new("/home/ann")));
    assert!(edit.remove_exclude("*.iso") && !edit.remove_exclude("*.iso"));
    edit.set_after_change(None);
    edit.set_host_key(None);
    let config = edit.save().unwrap();
    assert_eq!((config.include, config.exclude.len()), (vec!["/etc".into()], 0));
    assert_eq!((config.after_change, config.host_key), (None, None));
    assert!(self::text(&folder).contains("\ninclude = [\"/etc\"]\n"));
}

#[test]
fn a_persons_comments_and_order_stay() {
    let folder = with(
        "# mine\nschedule = \"daily\" # at night\n\ninclude = [\n  # home\n  \"/home\",\n  \"/etc\", # all\n]\ntags = []",
    );
    let mut edit = Edit::open(folder.path()).unwrap();
    edit.set_schedule(&Schedule::Weekly);
    edit.include(Path::new("/srv")).unwrap();
    edit.set_repository("/mnt");
    edit.save().unwrap();
    let expected = "# mine\nschedule = \"weekly\" # at night\n\ninclude = [\n  # home\n  \"/home\",\n  \"/etc\", # all\n  \"/srv\",\n]\ntags = []\nrepository = \"/mnt\"\n";
    assert_eq!(text(&folder), expected);
}

#[test]
fn a_symlink_stays_one_and_what_makes_no_sense_is_not_written() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), with("# dotfiles\n"));
    symlink(elsewhere.path().join(FILE), folder.path().join(FILE)).unwrap();
    let mut edit = Edit::open(folder.path()).unwrap();
    edit.set_repository("/mnt");
    edit.save().unwrap();
    assert!(folder.path().join(FILE).is_symlink());
    assert_eq!(text(&elsewhere), "# dotfiles\nrepository = \"/mnt\"\n");

    let mut edit = Edit::open(folder.path()).unwrap();
    edit.include(Path::new("not/absolute")).unwrap();
    assert!(edit.save().is_err());
    assert_eq!(text(&elsewhere), "# dotfiles\nrepository = \"/mnt\"\n");
    std::fs::write(elsewhere.path().join(FILE), "nonsense").unwrap();
    assert!(Edit::open(folder.path()).is_err());
}
