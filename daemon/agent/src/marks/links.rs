//! Hard links: a file with several names is told by all of them in one push, or none.
//!
//! What happens to a file through one name (it is written, gets a name, loses one) is an event
//! at that name alone. So the other names, as the state remembers them, are marked too.

use std::collections::{BTreeSet, HashMap};

use super::{Mark, Marks, Reach};
use crate::state::{ABOVE, Seen, State};

/// Marks the other names of every file with several names that is marked by one.
pub(crate) fn widen(marks: &mut Marks, state: &State) -> rusqlite::Result<()> {
    let mut wanted = std::mem::take(&mut marks.inodes);
    collect(&marks.above, ABOVE, state, &mut wanted)?;
    if wanted.is_empty() {
        return Ok(());
    }
    // One look at all rows; it is rare enough not to keep an index for.
    let mut folders = HashMap::new();
    let mut found = Vec::new();
    state.each_name(&mut |name| match name.child {
        Some(child) => drop(folders.insert(child, (name.folder, name.name.to_vec()))),
        None if wanted.contains(&(name.dev, name.ino)) => found.push((name.folder, name.name.to_vec())),
        None => {}
    })?;
    for (folder, name) in found {
        marks.touch(&path(&folders, folder, name));
    }
    Ok(())
}

/// The files with several names among what is marked in a folder. What was a folder, or lost a
/// name, may be gone: the state still has it.
fn collect(mark: &Mark, folder: i64, state: &State, wanted: &mut BTreeSet<(u64, u64)>) -> rusqlite::Result<()> {
    match mark.reach {
        Reach::Deep => return state.each_inside(folder, &mut |seen| want(&seen, wanted)),
        Reach::Dirty => state.folder(folder)?.iter().for_each(|seen| want(seen, wanted)),
        Reach::Way => {}
    }
    for (name, inside) in &mark.inside {
        match state.name(folder, name)? {
            Some(Seen { child: Some(child), .. }) => collect(inside, child, state, wanted)?,
            Some(seen) => want(&seen, wanted),
            None => {}
        }
    }
    Ok(())
}

fn want(seen: &Seen, wanted: &mut BTreeSet<(u64, u64)>) {
    if seen.child.is_none() && seen.stat.nlink > 1 {
        wanted.insert((seen.stat.dev, seen.stat.ino));
    }
}

/// The path of a name, from the folders that each folder is in.
fn path(folders: &HashMap<i64, (i64, Vec<u8>)>, mut folder: i64, name: Vec<u8>) -> Vec<u8> {
    let mut parts = vec![name];
    while let Some((above, name)) = folders.get(&folder) {
        parts.push(name.clone());
        folder = *above;
    }
    parts.reverse();
    parts.join(&b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_put_together_from_its_folders() {
        let folders = HashMap::from([(1, (ABOVE, vec![])), (2, (1, b"a".to_vec())), (3, (2, b"b".to_vec()))]);
        assert_eq!(path(&folders, 3, b"c".to_vec()), b"/a/b/c");
    }
}
