//! Verification in shares: some of it every night, all of it in a round of nights.
//!
//! The number of a content is the cursor, and the caller keeps it:
//!
//! ```text
//! contents by number   1  2  3  5  6  8 │ 9  12  13 │ 14  15 ┊ 16  17      ┊ those that came meanwhile
//!                      └── first share ─┘└─ second ─┘└─ third ──────┘
//! rows and places      checked with the first
//! ```
//!
//! New contents have higher numbers than all before them and lie ahead of the cursor; one of a push
//! that began before the cursor passed its number and that was committed after is read in the next
//! round. Damaged bytes are found once a round. What a broken row or a missing file reaches is
//! found when the round begins, and again when the cursor comes to it, for it may have been lost
//! since.

use std::sync::Arc;

use crate::Snapshot;
use crate::paths::Timeline;
use crate::verify::bytes::BLOCK;
use crate::verify::{Verified, Verifier, tolerate};
use crate::{ContentId, Hash, Repository, Result, TellProgress};

/// How many contents are asked for at a time.
const PAGE: i64 = 256;

/// What a share of the verification found, and where the next one begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifiedShare {
    /// What was looked at: contents are those that were read. Snapshots and entries were counted
    /// if the round began with this share.
    pub verified: Verified,
    /// What the next call begins after; `None` if the round is complete.
    pub next: Option<ContentId>,
}

impl Repository {
    /// What a round of [`verify_from`](Self::verify_from) begins after.
    pub const ROUND: ContentId = ContentId(0);

    /// Reads the contents that come after one and compares them with their names, until `bytes`
    /// bytes have been read, `stop` says so between two of them, or there are no more; the one that
    /// crosses `bytes` is read to its end. A round, from [`ROUND`](Self::ROUND), begins with checking the
    /// catalog and that stored files are there, which `stop` does not cut short. `progress` hears of
    /// bytes read and to be read.
    ///
    /// # Errors
    /// As for [`verify`](Self::verify): damage is a result and not an error.
    pub fn verify_from(
        self: &Arc<Self>,
        after: ContentId,
        bytes: u64,
        stop: &dyn Fn() -> bool,
        progress: &mut TellProgress<'_>,
    ) -> Result<VerifiedShare> {
        let mut verifier = Verifier::new(self);
        if stop() {
            return Ok(VerifiedShare {
                next: Some(after),
                ..VerifiedShare::default()
            });
        }
        if after <= Self::ROUND
            && let Err(error) = verifier.check_all_but_bytes()
        {
            verifier.damage(tolerate(error)?, Vec::new());
        }
        (verifier.result.contents, verifier.result.bytes) = (0, 0);
        let next = match verifier.check_share(after, bytes, stop, progress) {
            Ok(next) => next,
            // Contents that SQLite cannot list end the round; a new one may get further.
            Err(error) => {
                verifier.damage(tolerate(error)?, Vec::new());
                None
            }
        };
        verifier.write_down();
        Ok(VerifiedShare {
            verified: verifier.result,
            next,
        })
    }

    /// The bytes that a round has to read when it has come to `after`.
    ///
    /// # Errors
    /// If the catalog cannot be read.
    pub fn bytes_to_verify(&self, after: ContentId) -> Result<u64> {
        let connection = self.connection()?;
        let mut statement =
            connection.prepare_cached("SELECT coalesce(sum(size), 0) FROM contents WHERE id > ?1 AND push IS NULL")?;
        Ok(statement.query_row([after], |row| row.get::<_, i64>(0))? as u64)
    }
}

impl Verifier<'_> {
    /// Rows and places, and the bytes of what they make suspect.
    fn check_all_but_bytes(&mut self) -> Result<()> {
        self.check_catalog(true)?;
        self.look_at_files_again()?;
        self.check_bytes(false, &mut |_, _| Ok(()))
    }

    /// Gives the content that it came to, unless that was the last.
    fn check_share(
        &mut self,
        mut after: ContentId,
        bytes: u64,
        stop: &dyn Fn() -> bool,
        progress: &mut TellProgress<'_>,
    ) -> Result<Option<ContentId>> {
        let total = self.repository.bytes_to_verify(after)?.min(bytes);
        let mut block = vec![0; BLOCK];
        let mut done = 0;
        progress(0, total)?;
        loop {
            let page = self.page(after)?;
            if page.is_empty() {
                return Ok(None);
            }
            for (id, hash, size) in page {
                if stop() {
                    return Ok(Some(after));
                }
                self.check_content(id, hash, &mut block, &mut |bytes| progress(done + bytes, total))?;
                after = id;
                done += size;
                progress(done, total.max(done))?;
                if done >= bytes {
                    let is_last = self.page(after)?.is_empty();
                    return Ok(Some(after).filter(|_| !is_last));
                }
            }
        }
    }

    /// Reads one content and reports it if its bytes cannot be had, unless that is known.
    fn check_content(
        &mut self,
        id: ContentId,
        hash: Hash,
        block: &mut [u8],
        step: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        let mut read = 0;
        let failure = self.read(id, hash, block, &mut |bytes| {
            read += bytes;
            step(read)
        })?;
        self.result.contents += 1;
        self.result.bytes += read;
        let Some(reason) = failure else {
            self.is_sound(id);
            return Ok(());
        };
        if self.reported.contains(&id) {
            return Ok(());
        }
        // It may be of a snapshot that came since.
        self.timeline = Timeline::new(Snapshot::find(&*self.repository.connection()?, "", [])?.0);
        self.report(id, hash, &reason)
    }

    fn page(&self, after: ContentId) -> Result<Vec<(ContentId, Hash, u64)>> {
        let connection = self.repository.connection()?;
        let mut statement = connection.prepare_cached(
            "SELECT id, hash, size FROM contents WHERE id > ?1 AND push IS NULL ORDER BY id LIMIT ?2",
        )?;
        let rows = statement.query_map((after, PAGE), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)? as u64))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}
