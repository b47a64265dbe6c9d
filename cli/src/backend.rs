//! The calls into the agent's library and the mount: arguments of a command
//! line become their requests.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use yore_agent::config::AgentConfig;
use yore_agent::copy::{self, Copied, CopyRequest};
use yore_agent::filter::Filter;
use yore_agent::private;
use yore_agent::restore::{self, RestoreOptions};
use yore_agent::snapshot::{self, Progress, SnapshotRequest};
use yore_agent::status::StateFolder;
use yore_agent::target::Target;
use yore_agent::watch::Setting;
use yore_mount::{MountError, Mounted, Options};
use yore_store::{History, Snapshot};
use yore_terminal::text::one_line;

use crate::commands::Context;
use crate::commands::copy::Copy;
use crate::commands::mount::Mount;
use crate::commands::restore::{Overwrite, Restore};
use crate::commands::snapshot::SnapshotArgs;
use crate::error::{line, warn};
use crate::estimate;
use crate::progress::Meter;

pub use yore_agent::restore::Report;
pub use yore_agent::snapshot::Outcome;

impl Progress for Meter {
    fn path(&self, path: &[u8]) {
        Meter::path(self, path);
    }
    fn bytes(&self, more: u64) {
        Meter::bytes(self, more);
    }
    fn item(&self) {
        Meter::item(self);
    }
    fn waits(&self, error: &str, time: Duration) {
        warn(&one_line(&format!(
            "{error}; going on in {:.0} seconds",
            time.as_secs_f64().max(1.0)
        )));
    }
    fn forgets(&self, why: &str) {
        warn(&one_line(&format!("{why}; reading every file")));
    }
}

/// Patterns of gitignore's syntax; `option` is what errors call their origin.
pub fn patterns<P: AsRef<OsStr>>(option: &str, patterns: &[P]) -> Result<Filter> {
    Ok(Filter::new::<P, &Path>(option, patterns, &[])?)
}

/// Takes a snapshot.
pub fn snapshot(context: &Context, target: &Target, args: &SnapshotArgs, meter: &Meter) -> Result<Outcome> {
    let request = SnapshotRequest {
        paths: args.paths.clone(),
        filter: Filter::new("--exclude", &args.exclude, &args.exclude_from)?,
        exclude_caches: args.exclude_caches,
        one_file_system: args.one_file_system,
        tags: args.tags.clone(),
        host: host(context, args)?,
        dry_run: args.dry_run,
        cache_dir: cache_dir(),
        limit: None,
        limit_rate: args.limit_rate,
        retry_for: args.retry_for,
        marks: None,
    };
    Ok(estimate::beside(target, request, meter, |request| {
        snapshot::snapshot(target, request, meter)
    })?)
}

/// Takes a snapshot of standard input, as one file of this name.
pub fn snapshot_stdin(
    context: &Context,
    target: &Target,
    args: &SnapshotArgs,
    name: &[u8],
    meter: &Meter,
) -> Result<Outcome> {
    let (tags, host, cache) = (args.tags.clone(), host(context, args)?, cache_dir());
    let mut input = std::io::stdin().lock();
    Ok(snapshot::snapshot_stdin(
        target, name, tags, host, &cache, &mut input, meter,
    )?)
}

/// Copies snapshots into another repository.
pub fn copy(source: &dyn History, to: &Target, args: &Copy, meter: &Meter) -> Result<Copied> {
    let request = CopyRequest {
        snapshots: args.snapshots.clone(),
        host: args.host.clone(),
        dry_run: args.dry_run,
        limit_rate: args.limit_rate,
        cache_dir: cache_dir(),
    };
    Ok(copy::copy(source, to, &request, meter)?)
}

/// Restores what is at a path of a snapshot.
pub fn restore(
    repository: &dyn History,
    snapshot: &Snapshot,
    path: &[u8],
    dest: &Path,
    args: &Restore,
    meter: &Meter,
) -> Result<Report> {
    let options = RestoreOptions {
        overwrite: match args.overwrite {
            Overwrite::Always => restore::Overwrite::Always,
            Overwrite::IfNewer => restore::Overwrite::IfNewer,
            Overwrite::Never => restore::Overwrite::Never,
        },
        strip: args.strip,
        delete: args.delete,
        include: match args.include.is_empty() {
            true => None,
            false => Some(patterns("--include", &args.include)?),
        },
        own: args.own,
    };
    Ok(restore::restore(repository, snapshot, path, dest, &options, meter)?)
}

/// Mounts a repository; this process serves it.
pub fn mount(repository: Arc<dyn History>, args: &Mount) -> Result<Mounted, MountError> {
    let Mount {
        allow_other,
        own,
        trust_disk,
        ..
    } = *args;
    yore_mount::mount(
        repository,
        &args.mountpoint,
        Options {
            allow_other,
            own,
            trust_disk,
            ..Options::default()
        },
    )
}

/// Unmounts, unless it is in use.
pub fn unmount(mountpoint: &Path) -> Result<(), MountError> {
    yore_mount::unmount(mountpoint)
}

/// Unmounts; who still uses it keeps it until he is done.
pub fn detach(mountpoint: &Path) -> Result<(), MountError> {
    yore_mount::detach(mountpoint)
}

/// The name of this machine, unless another was asked for, or is written in its file.
fn host(context: &Context, args: &SnapshotArgs) -> Result<String> {
    let written = match context.is_linked() {
        true => context.config()?.and_then(|config| config.host.clone()),
        false => None,
    };
    Ok(args.host.clone().or(written).unwrap_or_else(own_host))
}

/// The name of this machine.
pub fn own_host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What a push by the agent's file needs beside the file.
pub fn setting(context: &Context) -> Result<Setting> {
    let named = context.global.clone();
    let repository = named.repository.as_ref();
    let repository = repository.map(|path| path.to_string_lossy().into_owned());
    let open = move |config: &AgentConfig| {
        let context = Context::with_config(named.clone(), config.clone());
        context.target().map_err(|error| line(&error))
    };
    Ok(Setting {
        config_folder: AgentConfig::folder()?,
        repository,
        state: StateFolder::of_environment()?,
        cache_dir: cache_dir(),
        host: own_host(),
        open: Arc::new(open),
        say: Arc::new(|message| warn(&one_line(message))),
    })
}

/// Where the agent remembers what files looked like. Without a home of one's own (a
/// system service, or root by `sudo -E`) it is where such services keep theirs.
fn cache_dir() -> PathBuf {
    let cache = private::base_folder("XDG_CACHE_HOME", ".cache");
    cache.unwrap_or_else(|| "/var/cache".into()).join("yore")
}
