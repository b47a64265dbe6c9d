//! Changes to the agent's file that leave a person's comments and order alone.
//!
//! A key that is there gets its new value in its place. One that is not takes the place of the
//! line where it stands commented out, as [`TEMPLATE`] has every key, else comes at the end.
//! The file is replaced whole ([`crate::atomic`]).

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml_edit::{Array, DocumentMut, Item, Value};

use super::error::at;
use super::{AgentConfig, ConfigError, FILE, Schedule, Transport, read, time_text};

/// What a new file says.
const TEMPLATE: &str = include_str!("template.toml");

/// A file that is being changed; nothing is written before [`save`](Self::save).
#[derive(Debug)]
pub struct Edit {
    path: PathBuf,
    document: DocumentMut,
}

impl Edit {
    /// Opens the file in this folder, or begins a new one with a comment for every key.
    ///
    /// # Errors
    /// [`ConfigError`], also if what the file says now makes no sense.
    pub fn open(folder: &Path) -> Result<Self, ConfigError> {
        let path = folder.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => TEMPLATE.to_owned(),
            Err(error) => return Err(at(&path)(error)),
        };
        read::read(&text, &path)?;
        let document = parse(&text);
        Ok(Edit { path, document })
    }

    /// What the file says as it stands here.
    ///
    /// # Errors
    /// [`ConfigError::Value`] if something that was set makes no sense.
    pub fn config(&self) -> Result<AgentConfig, ConfigError> {
        read::read(&self.document.to_string(), &self.path)
    }

    /// Sets the repository: a folder or a URL.
    pub fn set_repository(&mut self, repository: &str) {
        self.set("repository", repository.into());
    }

    /// Pins the server's key; `None` unpins it.
    pub fn set_host_key(&mut self, fingerprint: Option<&str>) {
        match fingerprint {
            Some(fingerprint) => self.set("host_key", fingerprint.into()),
            None => drop(self.document.remove("host_key")),
        }
    }

    /// Sets the name that this machine's snapshots carry.
    pub fn set_host(&mut self, host: &str) {
        self.set("host", host.into());
    }

    /// Sets what carries a push to a server.
    pub fn set_transport(&mut self, transport: Transport) {
        self.set("transport", transport.name().into());
    }

    /// Includes a path; false if it was there.
    ///
    /// # Errors
    /// [`ConfigError::NotText`].
    pub fn include(&mut self, path: &Path) -> Result<bool, ConfigError> {
        let text = path.to_str().ok_or_else(|| ConfigError::NotText(path.to_owned()))?;
        Ok(self.add("include", text))
    }

    /// Does not include a path any more; false if it was not there.
    pub fn remove_include(&mut self, path: &Path) -> bool {
        path.to_str().is_some_and(|text| self.take("include", text))
    }

    /// Adds a pattern of what to leave out, at the end; false if it was there.
    pub fn exclude(&mut self, pattern: &str) -> bool {
        self.add("exclude", pattern)
    }

    /// Removes such a pattern; false if it was not there.
    pub fn remove_exclude(&mut self, pattern: &str) -> bool {
        self.take("exclude", pattern)
    }

    /// Sets when to push.
    pub fn set_schedule(&mut self, schedule: &Schedule) {
        self.set("schedule", schedule.to_string().into());
    }

    /// Sets how long after the last change to push, too.
    pub fn set_after_change(&mut self, time: Option<Duration>) {
        self.set("after_change", time.map_or("off".to_owned(), time_text).into());
    }

    /// Writes the file, and gives what it says.
    ///
    /// # Errors
    /// [`ConfigError`]; then the file is as it was.
    pub fn save(self) -> Result<AgentConfig, ConfigError> {
        let text = self.document.to_string();
        let config = read::read(&text, &self.path)?;
        replace(&self.path, text.as_bytes())?;
        Ok(config)
    }

    /// Gives a key a value, in its place.
    fn set(&mut self, key: &str, mut value: Value) {
        if let Some(old) = self.document.get_mut(key).and_then(Item::as_value_mut) {
            // The comment behind it stays.
            *value.decor_mut() = old.decor().clone();
            *old = value;
            return;
        }
        let text = self.document.to_string();
        let line = format!("{key} = {}", value.decorated("", ""));
        self.document = parse(&uncommented(&text, key, &line).unwrap_or_else(|| appended(text, &line)));
    }

    fn add(&mut self, key: &str, text: &str) -> bool {
        if !matches!(self.document.get(key), Some(Item::Value(Value::Array(_)))) {
            self.set(key, Array::new().into());
        }
        let array = self.array(key).expect("just set");
        if array.iter().any(|value| value.as_str() == Some(text)) {
            return false;
        }
        push(array, text.into());
        true
    }

    fn take(&mut self, key: &str, text: &str) -> bool {
        let Some(array) = self.array(key) else { return false };
        let before = array.len();
        array.retain(|value| value.as_str() != Some(text));
        // What was second had a blank before it.
        if let Some(first) = array.get_mut(0)
            && first.decor().prefix().and_then(|prefix| prefix.as_str()) == Some(" ")
        {
            first.decor_mut().set_prefix("");
        }
        array.len() < before
    }

    fn array(&mut self, key: &str) -> Option<&mut Array> {
        self.document.get_mut(key)?.as_array_mut()
    }
}

fn parse(text: &str) -> DocumentMut {
    text.parse().expect("it was read before")
}

/// The text with the line where the key stands commented out replaced by another.
fn uncommented(text: &str, key: &str, line: &str) -> Option<String> {
    let is_it = |line: &str| {
        let said = line.strip_prefix('#').map(str::trim_start);
        said.and_then(|said| said.strip_prefix(key))
            .is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    let at = text.lines().position(is_it)?;
    let lines = text.lines().enumerate();
    let lines: Vec<&str> = lines.map(|(n, old)| if n == at { line } else { old }).collect();
    let text = lines.join("\n") + "\n";
    // It might have stood inside of something else.
    let is_set = text
        .parse::<DocumentMut>()
        .is_ok_and(|document| document.contains_key(key));
    is_set.then_some(text)
}

/// The text with a line behind it. There are no tables that it could fall into.
fn appended(mut text: String, line: &str) -> String {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text + line + "\n"
}

/// Adds a value at the end: on a line of its own, if the others are, and below the comment
/// that stands behind the last one.
fn push(array: &mut Array, mut value: Value) {
    let comma = array.trailing_comma();
    let Some(last) = array.len().checked_sub(1).and_then(|last| array.get_mut(last)) else {
        return array.push_formatted(value);
    };
    let plain = |raw: Option<&toml_edit::RawString>| raw.and_then(|raw| raw.as_str()).unwrap_or_default().to_owned();
    let prefix = plain(last.decor().prefix());
    let Some((_, indent)) = prefix.rsplit_once('\n') else {
        value.decor_mut().set_prefix(" ");
        return array.push_formatted(value);
    };
    let suffix = plain(last.decor().suffix());
    if !comma {
        last.decor_mut().set_suffix("");
    }
    let behind = if comma { plain(Some(array.trailing())) } else { suffix };
    value.decor_mut().set_prefix(format!("{}\n{indent}", behind.trim_end()));
    array.push_formatted(value);
    array.set_trailing_comma(true);
    array.set_trailing("\n");
}

/// Puts a file in place of another, or makes it, readable by its owner alone: what is in it may
/// be worth hiding. A symlink stays, and what it points to is replaced.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), ConfigError> {
    let folder = path.parent().expect("a file in a folder");
    std::fs::create_dir_all(folder).map_err(at(folder))?;
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    crate::atomic::replace(&path, bytes).map_err(at(&path))
}
