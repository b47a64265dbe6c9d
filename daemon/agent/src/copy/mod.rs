//! A second repository with the snapshots of a first one, which it needs for nothing.
//!
//! ```text
//! source (a History) ─▶ plan ─▶ a snapshot at a time, oldest first:
//!                                 rows   what is other than in the one before of its line  ─┐
//!                                 trees  or, without such, all that is not there           ─┴▶ teller ─▶ a push
//! ```
//!
//! The copy goes through the messages of a push, so that a server, quotas and going on after a cut are the same, and
//! everything is verified where it arrives. Cost is what has changed: nothing that is there is read or sent. The
//! source is only read, by whatever locks nobody: what is forgotten in it meanwhile is noticed before the commit.
//!
//! Each snapshot keeps its time and its name ([`Made`]), so they come in the order of time over all lines.

mod contents;
mod landing;
mod plan;
mod rows;
mod step;
mod teller;
mod trees;

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

use yore_store::{Committed, Error, History, Made, PushOptions, Snapshot};

use crate::destination::Destination;
use crate::restore::Progress;
use crate::snapshot::{AgentError, told};
use crate::target::Target;
use crate::turn::Turn;

use landing::Landing;
use plan::{Plan, is_same};
pub use teller::LeftOut;
use teller::Teller;
use trees::Tree;

/// What to copy.
#[derive(Clone, Debug, Default)]
pub struct CopyRequest {
    /// These snapshots, by names, beginnings of names or `latest~N`; all if there is none.
    pub snapshots: Vec<String>,
    /// Only those of this machine.
    pub host: Option<String>,
    /// Find out what would be copied, and change nothing.
    pub dry_run: bool,
    /// Bytes a second that it may send to a server; what the machine's file says if `None`.
    pub limit_rate: Option<u64>,
    /// Where this machine's pushes wait for each other.
    pub cache_dir: PathBuf,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Copied {
    /// The snapshots, as they are in the destination; after a dry run, in the source.
    pub snapshots: Vec<Snapshot>,
    /// How many were there already.
    pub there: u64,
    /// How many are older than those, and were forgotten there or left out before.
    pub older: u64,
    /// How many were forgotten in the source meanwhile.
    pub forgotten: u64,
    /// Bytes of contents that were read and sent.
    pub bytes_read: u64,
    /// Bytes added to the destination's files.
    pub bytes_new: u64,
    /// Contents that became reverse deltas.
    pub deltas: u64,
    /// Files that are damaged in the source.
    pub left_out: Vec<LeftOut>,
}

/// How often a push begins anew that counted on what turned out to be gone.
const AGAIN: u32 = 2;

/// Copies what another repository lacks of a source.
///
/// # Errors
/// [`AgentError`]; the snapshots before the one that failed are there, and the next copy goes on where this one was.
/// Damaged files are no error: they are in [`Copied::left_out`].
pub fn copy(
    source: &dyn History,
    to: &Target,
    request: &CopyRequest,
    progress: &dyn Progress,
) -> Result<Copied, AgentError> {
    let landing = match request.dry_run {
        true => None,
        false => Some(Landing::open(to, request.limit_rate)?),
    };
    let there = to.history();
    let plan = Plan::of(
        chosen(source, request)?,
        &there.snapshots()?,
        !request.snapshots.is_empty(),
    )?;
    let mut copied = Copied {
        there: plan.there,
        older: plan.older,
        ..Copied::default()
    };
    let Some(landing) = landing else {
        copied.snapshots = plan.copy;
        return Ok(copied);
    };
    let copy = Copy {
        source,
        there: &*there,
        landing,
        to,
        request,
        progress,
        listed: RefCell::default(),
    };
    for snapshot in &plan.copy {
        copy.snapshot(snapshot, &mut copied)?;
    }
    copy.landing.end();
    Ok(copied)
}

/// The snapshots that are to be copied.
fn chosen(source: &dyn History, request: &CopyRequest) -> Result<Vec<Snapshot>, AgentError> {
    let mut chosen = match request.snapshots.is_empty() {
        true => source.snapshots()?,
        false => {
            let named = request.snapshots.iter().map(|spec| source.snapshot(spec));
            named.collect::<yore_store::Result<Vec<_>>>()?
        }
    };
    chosen.sort_by_key(|snapshot| snapshot.id);
    chosen.dedup_by_key(|snapshot| snapshot.id);
    chosen.retain(|snapshot| request.host.as_ref().is_none_or(|host| snapshot.host == *host));
    Ok(chosen)
}

/// A copy under way.
struct Copy<'a> {
    source: &'a dyn History,
    there: &'a dyn History,
    landing: Landing,
    to: &'a Target,
    request: &'a CopyRequest,
    progress: &'a dyn Progress,
    /// The source's snapshots, and the version of it that had them.
    listed: RefCell<Option<(i64, Rc<Vec<Snapshot>>)>>,
}

impl Copy<'_> {
    /// Copies one snapshot; counts what came of it.
    fn snapshot(&self, snapshot: &Snapshot, copied: &mut Copied) -> Result<(), AgentError> {
        let mut left = AGAIN;
        loop {
            match self.push(snapshot, copied) {
                Err(AgentError::Store(Error::Again(_))) if left > 0 => left -= 1,
                // Whatever it was: what is not there any more cannot be copied.
                Err(error) if !matches!(error, AgentError::Stopped) && !self.is_there(snapshot)? => {
                    copied.forgotten += 1;
                    return Ok(());
                }
                result => return result,
            }
        }
    }

    fn push(&self, snapshot: &Snapshot, copied: &mut Copied) -> Result<(), AgentError> {
        let options = PushOptions {
            host: snapshot.host.clone(),
            roots: snapshot.roots.clone(),
            tags: snapshot.tags.clone(),
            made: Some(Made::of(snapshot)),
        };
        let _turn = Turn::wait(&self.request.cache_dir, self.to, &options, self.progress)?;
        let destination = self.landing.begin(options)?;
        let base = destination.base.clone();
        let before = self.before(base.as_ref(), &destination)?;
        let who = if before.is_some() { self.source } else { self.there };
        let mut teller = Teller::new((self.source, who), destination, &snapshot.name, self.progress);
        let result = match (&before, &base) {
            (Some(before), _) => rows::rows(self.source, before, snapshot, &mut |step| teller.step(step)),
            (None, base) => self.trees(base.as_ref(), snapshot, &mut teller),
        };
        let result = result.and_then(|()| teller.end());
        let result = result.and_then(|()| self.still_has(snapshot, before.as_ref()));
        match result {
            Ok(()) => commit(teller, snapshot, copied),
            Err(error) => {
                teller.destination.abort(&told(&error));
                Err(error)
            }
        }
    }

    /// The source's own snapshot that is what the destination has last of the line: all of it, and sound.
    fn before(&self, base: Option<&Snapshot>, destination: &Destination) -> Result<Option<Snapshot>, AgentError> {
        let Some(base) = base.filter(|_| destination.wanted.is_empty()) else {
            return Ok(None);
        };
        let totals = |snapshot: &Snapshot| (snapshot.files, snapshot.folders, snapshot.others, snapshot.bytes);
        let listed = self.listed()?;
        let mut same = listed.iter().filter(|other| is_same(other, base));
        Ok(same.find(|other| totals(other) == totals(base)).cloned())
    }

    fn trees(&self, base: Option<&Snapshot>, snapshot: &Snapshot, teller: &mut Teller<'_>) -> Result<(), AgentError> {
        let old = base.map(|snapshot| Tree {
            history: self.there,
            snapshot,
        });
        let new = Tree {
            history: self.source,
            snapshot,
        };
        trees::trees(old, new, &mut |step| teller.step(step))
    }

    /// Of a snapshot that is being forgotten entries are missing: it would be copied without them.
    fn still_has(&self, snapshot: &Snapshot, before: Option<&Snapshot>) -> Result<(), AgentError> {
        let there = self.listed()?;
        let is_there = |snapshot: &Snapshot| there.iter().any(|other| other.id == snapshot.id);
        match is_there(snapshot) && before.is_none_or(is_there) {
            true => Ok(()),
            false => Err(Error::Again("a snapshot was forgotten while it was copied".into()).into()),
        }
    }

    /// The source's snapshots as they are now; asked for again only if something was committed there.
    fn listed(&self) -> Result<Rc<Vec<Snapshot>>, AgentError> {
        let version = self.source.version()?;
        let mut listed = self.listed.borrow_mut();
        match &*listed {
            Some((then, snapshots)) if *then == version => Ok(snapshots.clone()),
            _ => {
                let snapshots = Rc::new(self.source.snapshots()?);
                *listed = Some((version, snapshots.clone()));
                Ok(snapshots)
            }
        }
    }

    fn is_there(&self, snapshot: &Snapshot) -> Result<bool, AgentError> {
        let there = self.listed()?;
        Ok(there.iter().any(|other| other.id == snapshot.id))
    }
}

/// Makes what was told a snapshot.
fn commit(teller: Teller<'_>, snapshot: &Snapshot, copied: &mut Copied) -> Result<(), AgentError> {
    let left_out = teller.left_out;
    let committed = teller.destination.commit(snapshot.unread + left_out.len() as u64)?;
    check(snapshot, &committed, &left_out)?;
    copied.bytes_read += teller.bytes_read;
    copied.bytes_new += committed.snapshot.new_bytes;
    copied.deltas += committed.deltas;
    copied.left_out.extend(left_out);
    copied.snapshots.push(committed.snapshot);
    Ok(())
}

/// A copy has as many of everything as the snapshot, but for what was left out.
fn check(snapshot: &Snapshot, committed: &Committed, left_out: &[LeftOut]) -> Result<(), AgentError> {
    let totals = |snapshot: &Snapshot| (snapshot.files, snapshot.folders, snapshot.others, snapshot.bytes);
    let (files, folders, others, bytes) = totals(&committed.snapshot);
    let missing: u64 = left_out.iter().map(|one| one.size).sum();
    match totals(snapshot) == (files + left_out.len() as u64, folders, others, bytes + missing) {
        true => Ok(()),
        false => Err(Error::Damaged(format!(
            "the copy of {} has not what the snapshot has; forget it there, and verify both repositories",
            snapshot.name
        ))
        .into()),
    }
}
