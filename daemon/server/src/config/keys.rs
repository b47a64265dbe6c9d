//! Every key by name.
//!
//! serde could refuse what it does not know, but would list all keys where one is meant.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::{ConfigError, line};

/// The sections and their keys; the first section is the top of the file.
pub const KEYS: [(&str, &[&str]); 3] = [
    (
        "",
        &[
            "data",
            "listen",
            "address",
            "mount",
            "keep_free",
            "keep_at_least",
            "max_age",
            "skip_weekdays",
            "verify_all_in",
            "night",
            "max_connections",
            "max_connections_per_address",
            "login_timeout",
            "stale_after",
            "retention",
            "mail",
        ],
    ),
    (
        "retention",
        &[
            "keep_last",
            "keep_hourly",
            "keep_daily",
            "keep_weekly",
            "keep_monthly",
            "keep_yearly",
            "keep_within",
            "interval",
        ],
    ),
    (
        "mail",
        &[
            "transport",
            "from",
            "to",
            "host",
            "port",
            "tls",
            "user",
            "password",
            "password_file",
        ],
    ),
];

/// Refuses a key that is not in [`KEYS`]; `syntax` says what is wrong where the text is not TOML.
pub fn check(text: &str, path: &Path, syntax: &dyn Fn(toml::de::Error) -> ConfigError) -> Result<(), ConfigError> {
    let table = DeTable::parse(text).map_err(syntax)?;
    let unknown = first_unknown("", table.get_ref()).map(|(at, key)| ConfigError::UnknownKey {
        path: path.to_owned(),
        line: line(text, at),
        nearest: nearest(&key),
        key,
    });
    unknown.map_or(Ok(()), Err)
}

/// Where the first unknown key of a section stands, and its name with the section.
fn first_unknown(section: &str, table: &DeTable<'_>) -> Option<(usize, String)> {
    let known = KEYS.iter().find(|(name, _)| *name == section)?.1;
    let unknown = table.iter().filter_map(|(key, value)| {
        let name = key.get_ref().as_ref();
        match (known.contains(&name), value.get_ref()) {
            (false, _) => Some((key.span().start, full(section, name))),
            (true, DeValue::Table(inner)) => first_unknown(name, inner),
            (true, _) => None,
        }
    });
    unknown.min()
}

fn full(section: &str, key: &str) -> String {
    match section {
        "" => key.to_owned(),
        section => format!("{section}.{key}"),
    }
}

/// The known key that resembles a wrong one most, in its section or in another.
fn nearest(key: &str) -> Option<String> {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let likeness = |known: &str| {
        // A key in the wrong section resembles itself.
        strsim::jaro_winkler(&last(known), &last(key)) + strsim::jaro_winkler(known, key) / 8.0
    };
    let all = KEYS
        .iter()
        .flat_map(|(section, keys)| keys.iter().map(|key| full(section, key)));
    all.map(|known| (likeness(&known), known))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}
