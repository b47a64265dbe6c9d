//! From the file's text to what it means.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml_edit::Document;

use super::units::{parse_bytes, parse_time};
use super::{AgentConfig, ConfigError, Transport};

/// What a value is read as first; what it means is looked at with its line at hand.
#[derive(Deserialize)]
struct Raw {
    repository: Option<String>,
    host_key: Option<String>,
    host: Option<String>,
    transport: Option<String>,
    include: Option<Vec<PathBuf>>,
    exclude: Option<Vec<String>>,
    exclude_caches: Option<bool>,
    one_file_system: Option<bool>,
    tags: Option<Vec<String>>,
    schedule: Option<String>,
    after_change: Option<String>,
    full_scan: Option<String>,
    limit_rate: Option<String>,
    before: Option<String>,
    after: Option<String>,
    retry_for: Option<String>,
}

/// Every key that there is.
const KEYS: [&str; 16] = [
    "repository",
    "host_key",
    "host",
    "transport",
    "include",
    "exclude",
    "exclude_caches",
    "one_file_system",
    "tags",
    "schedule",
    "after_change",
    "full_scan",
    "limit_rate",
    "before",
    "after",
    "retry_for",
];

/// A file's text, for messages that name the line.
struct File<'a> {
    path: &'a Path,
    text: &'a str,
    document: Document<&'a str>,
}

/// What a file says.
pub(super) fn read(text: &str, path: &Path) -> Result<AgentConfig, ConfigError> {
    let syntax = |message: &str, span: Option<std::ops::Range<usize>>| ConfigError::Syntax {
        path: path.to_owned(),
        line: span.map_or(1, |span| line(text, span.start)),
        message: message.lines().collect::<Vec<_>>().join(", "),
    };
    let document = Document::parse(text).map_err(|error| syntax(error.message(), error.span()))?;
    let file = File { path, text, document };
    file.know_all_keys()?;
    let raw: Raw = toml::from_str(text).map_err(|error| syntax(error.message(), error.span()))?;
    file.meaning(raw)
}

/// The line of an offset, from 1.
fn line(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
        + 1
}

impl File<'_> {
    fn line_of(&self, key: &str) -> usize {
        let found = self.document.as_table().get_key_value(key);
        let span = found.and_then(|(key, item)| key.span().or_else(|| item.span()));
        span.map_or(1, |span| line(self.text, span.start))
    }

    fn know_all_keys(&self) -> Result<(), ConfigError> {
        match self.document.iter().find(|(key, _)| !KEYS.contains(key)) {
            None => Ok(()),
            Some((key, _)) => Err(ConfigError::UnknownKey {
                path: self.path.to_owned(),
                line: self.line_of(key),
                key: key.to_owned(),
                nearest: nearest(key),
            }),
        }
    }

    fn wrong(&self, key: &'static str, message: impl Into<String>) -> ConfigError {
        ConfigError::Value {
            path: self.path.to_owned(),
            line: self.line_of(key),
            key,
            message: message.into(),
        }
    }

    fn meaning(&self, raw: Raw) -> Result<AgentConfig, ConfigError> {
        let default = AgentConfig::default();
        Ok(AgentConfig {
            repository: not_empty(raw.repository),
            host_key: not_empty(raw.host_key),
            host: not_empty(raw.host),
            transport: self.transport(raw.transport)?,
            include: self.absolute(raw.include.unwrap_or_default())?,
            exclude: raw.exclude.unwrap_or_default(),
            exclude_caches: raw.exclude_caches.unwrap_or(default.exclude_caches),
            one_file_system: raw.one_file_system.unwrap_or(default.one_file_system),
            tags: raw.tags.unwrap_or_default(),
            schedule: match raw.schedule {
                None => default.schedule,
                Some(text) => text
                    .parse()
                    .map_err(|error: super::ScheduleError| self.wrong("schedule", error.to_string()))?,
            },
            after_change: self.time_or_off("after_change", raw.after_change)?,
            full_scan: self.time("full_scan", raw.full_scan)?.unwrap_or(default.full_scan),
            limit_rate: self.rate(raw.limit_rate)?,
            before: not_empty(raw.before),
            after: not_empty(raw.after),
            retry_for: self.time("retry_for", raw.retry_for)?.unwrap_or(default.retry_for),
        })
    }

    fn transport(&self, text: Option<String>) -> Result<Transport, ConfigError> {
        text.map_or(Ok(Transport::default()), |text| {
            text.parse().map_err(|error| self.wrong("transport", error))
        })
    }

    fn absolute(&self, paths: Vec<PathBuf>) -> Result<Vec<PathBuf>, ConfigError> {
        match paths.iter().find(|path| !path.is_absolute()) {
            None => Ok(paths),
            Some(path) => Err(self.wrong("include", format!("{}: is not absolute", path.display()))),
        }
    }

    fn time(&self, key: &'static str, text: Option<String>) -> Result<Option<Duration>, ConfigError> {
        let Some(text) = text else { return Ok(None) };
        let wrong = || self.wrong(key, format!("`{text}` is no time; write 90s, 5m, 1h30m or 1d"));
        parse_time(&text).map(Some).ok_or_else(wrong)
    }

    fn time_or_off(&self, key: &'static str, text: Option<String>) -> Result<Option<Duration>, ConfigError> {
        match text.as_deref() {
            Some("off") => Ok(None),
            _ => self.time(key, text),
        }
    }

    fn rate(&self, text: Option<String>) -> Result<Option<u64>, ConfigError> {
        match text.as_deref() {
            None | Some("off") => Ok(None),
            Some(text) => parse_bytes(text).map(Some).ok_or_else(|| {
                self.wrong(
                    "limit_rate",
                    format!("`{text}` is no rate; write bytes a second: 500K, 2M, off"),
                )
            }),
        }
    }
}

fn not_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty())
}

/// The known key that looks most like this one, if it looks like one at all.
fn nearest(key: &str) -> Option<&'static str> {
    let likeness = |known: &&'static str| strsim::jaro_winkler(&key.to_lowercase(), known);
    let best = KEYS.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(&best) > 0.7).then_some(best)
}
