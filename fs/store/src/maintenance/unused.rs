//! Owners and attributes that no entry has any more.
//!
//! They are kept once, for all entries, and an entry that goes does not know whether it was the last that had them: an
//! index that says so would cost every entry. So all entries are read once, without a lock, where there is something
//! to be gained by it; then what none of them has is deleted, as long as no entry can have come meanwhile:
//!
//! - a push that runs, or that died and may be gone on with, has a row in `pushes`;
//! - one that began and ended meanwhile has taken numbers for its entries.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::stops::Stop;
use crate::{Repository, Result, lock};

/// What owners and attributes take together at the least, in bytes, for their users to be looked for.
const WORTH: i64 = 1 << 20;

/// Rows deleted in one transaction: its log fits into the ballast.
const BATCH: usize = 512;

/// Rows that are found at a time.
const FOUND: usize = 1 << 20;

/// About what owners and attributes take.
const SIZE: &str = "SELECT (SELECT coalesce(sum(length(data) + 50), 0) FROM attributes)
     + (SELECT coalesce(sum(length(user) + length(\"group\") + 50), 0) FROM owners)";

/// The number of the next entry, if no push is there to have some.
const NEXT_ENTRY: &str = "SELECT next FROM next_ids WHERE name = 'entries' AND NOT EXISTS (SELECT 1 FROM pushes)";

/// A table of what entries share.
struct Shared {
    /// Finds rows that no entry has.
    unused: &'static str,
    delete: &'static str,
}

const SHARED: [Shared; 2] = [
    Shared {
        unused: "SELECT id FROM owners WHERE id NOT IN (SELECT owner FROM entries) LIMIT ?1",
        delete: "DELETE FROM owners WHERE id = ?1",
    },
    Shared {
        unused: "SELECT id FROM attributes WHERE id NOT IN (
                   SELECT xattrs FROM entries WHERE xattrs IS NOT NULL
                   UNION ALL SELECT data FROM entries WHERE data IS NOT NULL) LIMIT ?1",
        delete: "DELETE FROM attributes WHERE id = ?1",
    },
];

/// Rows that no entry had, and the number of the next entry then.
struct Unused {
    ids: Vec<i64>,
    next_entry: i64,
}

impl Repository {
    /// Deletes owners and attributes that no entry has; some may stay for the next time.
    pub(super) fn drop_unused(&self) -> Result<()> {
        if self.connection()?.query_row(SIZE, [], |row| row.get::<_, i64>(0))? < WORTH {
            return Ok(());
        }
        SHARED.iter().try_for_each(|shared| self.drop_unused_of(shared))
    }

    fn drop_unused_of(&self, shared: &Shared) -> Result<()> {
        while let Some(unused) = self.unused(shared)? {
            for ids in unused.ids.chunks(BATCH) {
                if !self.delete_unused(shared, ids, unused.next_entry)? {
                    return Ok(());
                }
            }
            if unused.ids.len() < FOUND {
                break;
            }
        }
        Ok(())
    }

    /// Rows that no entry has; `None` if a push may be about to name them.
    fn unused(&self, shared: &Shared) -> Result<Option<Unused>> {
        let mut connection = self.connection()?;
        let catalog = connection.transaction()?;
        let Some(next_entry) = next_entry(&catalog)? else {
            return Ok(None);
        };
        let mut statement = catalog.prepare_cached(shared.unused)?;
        let ids = statement.query_map([FOUND as i64], |row| row.get(0))?;
        let ids = ids.collect::<rusqlite::Result<_>>()?;
        Ok(Some(Unused { ids, next_entry }))
    }

    /// Deletes rows; says whether they could still be deleted.
    fn delete_unused(&self, shared: &Shared, ids: &[i64], as_of: i64) -> Result<bool> {
        let _writer = lock::writer(self.path())?;
        let mut connection = self.connection()?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if next_entry(&transaction)? != Some(as_of) {
            return Ok(false);
        }
        for id in ids {
            transaction.prepare_cached(shared.delete)?.execute([id])?;
        }
        Stop::UnusedDropped.around(|| transaction.commit())?;
        Ok(true)
    }
}

fn next_entry(catalog: &Connection) -> Result<Option<i64>> {
    Ok(catalog.query_row(NEXT_ENTRY, [], |row| row.get(0)).optional()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;
    use crate::{Ingest, Kind, Meta, Snapshot};

    /// Puts entries that share nothing with each other but what `shared` has.
    fn put(push: &mut Ingest, name: &str, first: u32, count: u32) {
        for number in first..first + count {
            let mut meta = Meta::plain(Kind::File, 0o644);
            (meta.owner.uid, meta.owner.user) = (number, format!("user {number}"));
            meta.xattrs = vec![(b"user.a".to_vec(), [&[0; 5000][..], &number.to_le_bytes()].concat())];
            meta.data = Some(vec![(u64::from(number), 1)]);
            push.put(format!("{name} {number:05}").as_bytes(), meta, None, None)
                .unwrap();
        }
    }

    /// Two snapshots: the first has 600 of each that the second has not, besides 100 that both have.
    fn history() -> (Bench, Snapshot) {
        let bench = Bench::new();
        let first = bench.push("host", |push| {
            put(push, "goes", 0, 700);
            put(push, "stays", 600, 100);
        });
        bench.push("host", |push| {
            let names = (0..700).map(|number| format!("goes {number:05}"));
            names.for_each(|name| push.remove(name.as_bytes()).unwrap());
        });
        (bench, first)
    }

    fn counts(bench: &Bench) -> (i64, i64) {
        let owners = bench.number("SELECT count(*) FROM owners");
        (owners, bench.number("SELECT count(*) FROM attributes"))
    }

    fn assert_sound(bench: &Bench) {
        let verified = bench.reopened().verify(true, &mut |_, _| Ok(())).unwrap();
        assert!(verified.damages.is_empty(), "{verified:?}");
    }

    #[test]
    fn what_no_entry_has_goes_with_the_last_one_that_had_it() {
        let (bench, first) = history();
        // One more owner: that of `/`.
        assert_eq!(counts(&bench), (701, 1400));
        bench.repository.forget(&[first.id]).unwrap();
        assert_eq!(counts(&bench), (101, 200));
        assert_sound(&bench);
    }

    #[test]
    fn nothing_goes_that_a_push_may_be_about_to_name() {
        let (bench, first) = history();
        let mut push = bench.begin("other");
        push.enter(b"", Some(Meta::plain(Kind::Folder, 0o755))).unwrap();
        bench.repository.forget(&[first.id]).unwrap();
        assert_eq!(counts(&bench), (701, 1400));
        put(&mut push, "again", 0, 600);
        push.leave().unwrap();
        push.commit(0).unwrap();
        assert_sound(&bench);
        // One that began and ended between finding and deleting.
        let unused = Unused {
            ids: vec![1],
            next_entry: bench.number("SELECT next FROM next_ids WHERE name = 'entries'") - 1,
        };
        let deleted = bench
            .repository
            .delete_unused(&SHARED[1], &unused.ids, unused.next_entry);
        assert!(!deleted.unwrap());
        assert_eq!(counts(&bench), (701, 1400));
    }

    #[test]
    fn a_few_are_not_looked_for() {
        let bench = Bench::new();
        let first = bench.push("host", |push| put(push, "goes", 0, 10));
        bench.push("host", |push| {
            let names = (0..10).map(|number| format!("goes {number:05}"));
            names.for_each(|name| push.remove(name.as_bytes()).unwrap());
        });
        bench.repository.forget(&[first.id]).unwrap();
        assert_eq!(counts(&bench), (11, 20));
    }
}
