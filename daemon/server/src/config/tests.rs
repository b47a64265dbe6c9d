//! What the file may say, and what is said about what it may not.

use super::*;

const EXAMPLE: &str = include_str!("../../../../contrib/yored.toml");

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/y.toml"))
}

fn error(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn the_example_is_the_defaults() {
    let mut example = parse(EXAMPLE).unwrap();
    example.file = None;
    assert_eq!(example, Config::default());
}

/// The lines of a section of the example, with what is commented out made good.
fn lines(section: &str) -> Vec<String> {
    let mut at = String::new();
    let mut lines = Vec::new();
    for line in EXAMPLE.lines() {
        match line.strip_prefix('[') {
            Some(name) => at = name.trim_end_matches(']').to_owned(),
            None if at == section => lines.push(line.trim_start_matches('#').trim().to_owned()),
            None => {}
        }
    }
    lines
}

#[test]
fn the_example_names_every_key_and_each_is_understood() {
    for (section, keys) in keys::KEYS {
        let lines = lines(section);
        for key in keys.iter().filter(|key| !["retention", "mail"].contains(key)) {
            let line = lines.iter().find(|line| line.starts_with(&format!("{key} = ")));
            let line = line.unwrap_or_else(|| panic!("contrib/yored.toml does not show {section}.{key}"));
            let text = match section {
                "" => line.clone(),
                section => format!("[{section}]\n{line}"),
            };
            // What must stand beside another key is refused for that reason only.
            match parse(&text) {
                Ok(_) | Err(ConfigError::Together { .. }) => {}
                Err(error) => panic!("{line}: {error}"),
            }
        }
    }
}

#[test]
fn every_key_reaches_the_configuration() {
    let text = r#"
        data = "/d"
        listen = ["127.0.0.1:1", "[::1]:2"]
        address = "backup.example.org:22"
        mount = "/m"
        keep_free = "2G"
        keep_at_least = "1d"
        max_age = "3d"
        skip_weekdays = ["sat", "sun"]
        verify_all_in = "off"
        night = "22:00-05:00"
        max_connections = 2
        max_connections_per_address = 1
        login_timeout = "5s"
        stale_after = "9s"
        [retention]
        keep_last = 1
        keep_hourly = 2
        keep_daily = 3
        keep_weekly = 4
        keep_monthly = 5
        keep_yearly = 6
        keep_within = "30d"
        interval = "2h"
        [mail]
        transport = "smtp"
        from = "Yore <yore@example.org>"
        to = "root@example.org"
        host = "mail.example.org"
        port = 2525
        tls = "none"
        user = "u"
        password = "p"
    "#;
    let config = parse(text).unwrap();
    let default = Config::default();
    let keep = &config.retention.keep;
    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.reachable(), Address::new("backup.example.org", 22));
    assert_eq!(
        (config.verify_all_in, config.night.to_string().as_str()),
        (None, "22:00-05:00")
    );
    assert_eq!(
        (keep.keep_last, keep.keep_yearly, config.retention.interval),
        (1, 6, Seconds(7200))
    );
    assert!(keep.keep_within.is_some() && config.mail.from.is_some());
    assert_eq!((config.mail.port, config.mail.tls), (Some(2525), Tls::None));
    // Nothing of it is a default, so nothing of it was overlooked.
    let shown = |config: &Config| format!("{config:#?}").lines().map(str::to_owned).collect::<Vec<_>>();
    let plain = [
        "data",
        "mount",
        "max_connections",
        "max_connections_per_address",
        "transport",
        "to",
        "host",
        "user",
    ];
    for key in plain {
        let of = |config| {
            let start = format!("{key}: ");
            shown(config)
                .into_iter()
                .find(|line| line.trim_start().starts_with(&start))
        };
        assert_ne!(of(&config), of(&default), "{key}");
    }
    assert_eq!(
        (config.keep_free, config.keep_at_least),
        (Size(2 << 30), Seconds(86_400))
    );
    assert_eq!(
        (config.max_age, config.login_timeout, config.stale_after),
        (Seconds(3 * 86_400), Seconds(5), Seconds(9))
    );
    assert_eq!(config.skip_weekdays.to_string(), "sat,sun");
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
    assert_eq!(
        error("\nkeep_fre = \"1G\""),
        "/y.toml:2: unknown key keep_fre; did you mean keep_free?"
    );
    assert_eq!(
        error("[mail]\n\nhots = \"h\""),
        "/y.toml:3: unknown key mail.hots; did you mean mail.host?"
    );
    assert_eq!(
        error("mail.pasword = \"h\""),
        "/y.toml:1: unknown key mail.pasword; did you mean mail.password?"
    );
    // In the wrong section: it is said where it belongs.
    assert_eq!(
        error("keep_daily = 7"),
        "/y.toml:1: unknown key keep_daily; did you mean retention.keep_daily?"
    );
    assert_eq!(
        error("\n[mial]\nto = \"x\""),
        "/y.toml:2: unknown key mial; did you mean mail?"
    );
    assert_eq!(error("xyzzy = 1"), "/y.toml:1: unknown key xyzzy");
}

#[test]
fn what_makes_no_sense_is_said_with_its_line() {
    for (text, line, part) in [
        ("\ndata = ", 2, ""),
        ("keep_free = \"lots\"", 1, "not a size"),
        ("keep_free = 5", 1, "text in quotes"),
        ("\n\nmax_age = \"2 days\"", 3, "length of time"),
        ("listen = \"2222\"", 1, "listen wants"),
        ("skip_weekdays = [\"someday\"]", 1, "someday"),
        ("night = \"late\"", 1, "01:00-06:00"),
        ("[retention]\nkeep_within = \"long\"", 2, "length of time"),
        ("[mail]\nto = \"nobody\"", 2, "mail address"),
        ("[mail]\ntls = \"maybe\"", 2, "maybe"),
    ] {
        let error = error(text);
        assert!(error.starts_with(&format!("/y.toml:{line}: ")), "{error}");
        assert!(error.contains(part), "{error}");
    }
    for text in [
        "listen = []",
        "data = \"here\"",
        "[mail]\ntransport = \"smtp\"",
        "[mail]\nuser = \"u\"",
        "[mail]\npassword = \"a\"\npassword_file = \"/b\"",
    ] {
        assert!(matches!(parse(text), Err(ConfigError::Together { .. })), "{text}");
    }
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none.toml");
    assert!(matches!(Config::load(Some(&missing)), Err(ConfigError::Io { .. })));
    std::fs::write(&missing, "max_connections = 5").unwrap();
    let config = Config::load(Some(&missing)).unwrap();
    std::fs::write(&missing, "max_connections = 6").unwrap();
    assert_eq!(
        (config.max_connections, config.reload().unwrap().max_connections),
        (5, 6)
    );
}

#[test]
fn agents_are_told_what_they_can_reach() {
    let of = |text: &str| parse(text).unwrap().reachable().to_string();
    assert_eq!(of("listen = \"127.0.0.1:7022\""), "127.0.0.1:7022");
    assert_eq!(of("listen = \"[::1]:2222\""), "[::1]");
    assert_eq!(of("listen = \"0.0.0.0:99\""), format!("{}:99", host_name()));
    assert_eq!(of("address = \"backup\""), "backup");
    assert_eq!(of("listen = \"[::]:99\"\naddress = \"backup\""), "backup:99");
    for (key, value) in [
        ("max_connections", "0"),
        ("stale_after", "\"0s\""),
        ("login_timeout", "\"0s\""),
    ] {
        let error = parse(&format!("{key} = {value}")).unwrap_err().to_string();
        assert!(error.contains(key) && error.contains("more than nothing"), "{error}");
    }
}

#[test]
fn no_log_shows_a_password() {
    let config = parse("[mail]\npassword = \"hunter2\"").unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}
