//! One push as the agent's file says: the command before, the snapshot, the command after, and
//! the record of how it went.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use yore_store::Error;

use super::hooks::{self, HookError};
use crate::config::{AgentConfig, ConfigError};
use crate::filter::{Filter, FilterError};
use crate::marks::Marks;
use crate::snapshot::{AgentError, Outcome, Progress, SnapshotRequest, snapshot};
use crate::status::{StateFolder, StatusError, Success};
use crate::target::Target;

/// Opens the repository that a configuration names, or says why it cannot.
pub type Open = dyn Fn(&AgentConfig) -> Result<Target, String> + Send + Sync;

/// What a push by the agent's file needs beside the file.
#[derive(Clone)]
pub struct Setting {
    /// The folder of the agent's file.
    pub config_folder: PathBuf,
    /// The repository, if it is another than the file's.
    pub repository: Option<String>,
    /// Where its results go.
    pub state: StateFolder,
    /// Where the agent remembers what files looked like.
    pub cache_dir: PathBuf,
    /// The name of this machine.
    pub host: String,
    /// Opens the repository.
    pub open: Arc<Open>,
    /// Says one line to whoever looks.
    pub say: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Setting {
    /// What the agent's file says; `None` if there is none.
    ///
    /// # Errors
    /// What makes no sense in it.
    pub fn config(&self) -> Result<Option<AgentConfig>, ConfigError> {
        let config = AgentConfig::load(&self.config_folder)?;
        Ok(config.map(|config| AgentConfig {
            repository: self.repository.clone().or(config.repository),
            ..config
        }))
    }
}

/// Why a push by the agent's file made no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The command before it failed.
    #[error("before: {0}; so nothing was pushed")]
    Before(HookError),
    /// Nothing is included.
    #[error("nothing is included; say what to back up with `yore include PATH`")]
    NothingIncluded,
    /// A pattern makes no sense.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The repository cannot be opened.
    #[error("{0}")]
    Open(String),
    /// The push itself.
    #[error(transparent)]
    Push(#[from] AgentError),
}

impl PushError {
    /// Whether it was stopped rather than failed.
    pub fn is_stop(&self) -> bool {
        matches!(
            self,
            PushError::Push(AgentError::Stopped) | PushError::Before(HookError::Stopped(_))
        )
    }

    /// Whether another attempt may do.
    pub fn may_pass(&self) -> bool {
        match self {
            // Who is not let in has to do something about it.
            PushError::Push(AgentError::Store(
                Error::Denied(_) | Error::KeyRevoked | Error::Elsewhere { lost: false, .. },
            )) => false,
            PushError::Before(_) | PushError::Open(_) | PushError::Push(_) => true,
            PushError::NothingIncluded | PushError::Filter(_) => false,
        }
    }
}

/// Pushes once. `marks` is asked after the command before the push has run, for what it changed
/// to be in it; `None` is everything. For `retry_for` it goes on by itself when the connection breaks.
///
/// # Errors
/// [`PushError`]; it is in the state folder too, unless it is a stop.
pub fn push_once(
    setting: &Setting,
    config: &AgentConfig,
    marks: impl FnOnce() -> Option<Marks>,
    retry_for: Duration,
    progress: &dyn Progress,
) -> Result<Outcome, PushError> {
    let started = Timestamp::now();
    let result = attempt(setting, config, marks, retry_for, progress);
    if let Err(
        error @ (PushError::Before(HookError::Failed { .. } | HookError::Start { .. })
        | PushError::NothingIncluded
        | PushError::Filter(_)),
    ) = &result
        && let Ok(target) = (setting.open)(config)
    {
        target.report(&error.to_string());
    }
    if !matches!(&result, Err(error) if error.is_stop()) {
        if let Err(error) = record(&setting.state, &result, started) {
            (setting.say)(&error.to_string());
        }
        after(setting, config, &result, progress);
    }
    result
}

fn attempt(
    setting: &Setting,
    config: &AgentConfig,
    marks: impl FnOnce() -> Option<Marks>,
    retry_for: Duration,
    progress: &dyn Progress,
) -> Result<Outcome, PushError> {
    if config.include.is_empty() {
        return Err(PushError::NothingIncluded);
    }
    let filter = filter(config)?;
    if let Some(before) = &config.before {
        hooks::run(before, &[], &|| progress.is_stopped()).map_err(PushError::Before)?;
    }
    let target = (setting.open)(config).map_err(PushError::Open)?;
    let request = SnapshotRequest {
        paths: config.include.clone(),
        filter,
        exclude_caches: config.exclude_caches,
        one_file_system: config.one_file_system,
        tags: config.tags.clone(),
        host: config.host.clone().unwrap_or_else(|| setting.host.clone()),
        dry_run: false,
        cache_dir: setting.cache_dir.clone(),
        limit: None,
        limit_rate: None,
        retry_for,
        marks: marks(),
    };
    Ok(snapshot(&target, request, progress)?)
}

/// The patterns of a configuration.
pub(super) fn filter(config: &AgentConfig) -> Result<Filter, FilterError> {
    Filter::new::<_, &str>("exclude", &config.exclude, &[])
}

fn record(state: &StateFolder, result: &Result<Outcome, PushError>, started: Timestamp) -> Result<(), StatusError> {
    let now = Timestamp::now();
    match result {
        Err(error) => state.failed(now, &error.to_string()),
        Ok(outcome) => {
            let seconds = (now.as_second() - started.as_second()).max(0) as u64;
            Success::new(outcome, now, seconds).map_or(Ok(()), |success| state.succeeded(success))
        }
    }
}

/// The command after a push; that it fails is said, and changes nothing.
fn after(setting: &Setting, config: &AgentConfig, result: &Result<Outcome, PushError>, progress: &dyn Progress) {
    let Some(after) = &config.after else { return };
    let (word, error) = match result {
        Ok(outcome) if outcome.unreadable.is_empty() => ("ok", String::new()),
        Ok(outcome) => (
            "partial",
            format!("{} paths could not be read", outcome.unreadable.len()),
        ),
        Err(error) => ("failed", error.to_string()),
    };
    let snapshot = result.as_ref().ok().and_then(|outcome| outcome.snapshot.as_ref());
    let environment = [
        ("YORE_RESULT", word),
        ("YORE_SNAPSHOT", snapshot.map_or("", |snapshot| &snapshot.name)),
        ("YORE_ERROR", &error),
    ];
    if let Err(error) = hooks::run(after, &environment, &|| progress.is_stopped()) {
        (setting.say)(&format!("after: {error}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_let_in_does_not_try_again_and_who_lost_the_connection_does() {
        let of = |error| PushError::Push(AgentError::Store(error)).may_pass();
        let elsewhere = |lost| Error::Elsewhere {
            place: "nas".into(),
            message: "no".into(),
            lost,
        };
        assert!(!of(elsewhere(false)) && !of(Error::Denied("no".into())) && !of(Error::KeyRevoked));
        assert!(of(elsewhere(true)) && of(Error::Busy("wait".into())));
        assert!(!PushError::NothingIncluded.may_pass());
    }
}
