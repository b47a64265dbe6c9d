//! Looks at what a killed process left, and goes on from there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path as FilePath;
use std::sync::Arc;

use yore_store::{Repository, Snapshot};

use crate::killed::play::{by_step, open, play, verify};
use crate::killed::script::{Script, Step};
use crate::model::check::compare;
use crate::model::invariants;
use crate::model::random::Random;
use crate::model::tree::Tree;

/// What a worker said of its snapshots before it was killed: their names and checks, by their steps.
pub type Said = BTreeMap<usize, (String, i64)>;

/// Panics unless the repository is as before a step, or as after it.
pub fn as_before_or_after(script: &Script, path: &FilePath, at: usize, said: &Said) {
    mend(script, path, at);
    let repository = open(path, at).expect("a repository");
    let there = by_step(&repository);
    let steps: BTreeSet<usize> = there.keys().copied().collect();
    let (before, after) = (script.before(at), &script.scenes[at].there);
    assert!(
        steps == before || steps == *after,
        "{steps:?} is neither {before:?} nor {after:?}"
    );
    for (step, (name, check)) in said {
        let is_as_said = there
            .get(step)
            .is_none_or(|there| (&there.name, there.check) == (name, *check));
        assert!(is_as_said, "what step {step} made is not {name}");
        assert!(
            there.contains_key(step) || !after.contains(step),
            "what step {step} made is gone"
        );
    }
    as_made(script, &repository, there);
}

/// A repository of which not all was made, or that was being repaired, needs that first.
fn mend(script: &Script, path: &FilePath, at: usize) {
    if at == 0 || script.is_spoilt_before(at) {
        play(script, path, at);
    }
}

/// Panics unless all snapshots are as they were made, byte by byte.
fn as_made(script: &Script, repository: &Arc<Repository>, there: BTreeMap<usize, Snapshot>) {
    let tree = |at: &usize| script.scenes[*at].tree.clone();
    let model: Vec<(Snapshot, Tree)> = there.into_iter().map(|(at, snapshot)| (snapshot, tree(&at))).collect();
    compare(repository, &model, &mut Random::new(model.len() as u64));
    verify(repository);
}

/// Goes on from a step that was not finished, a push and a little further; then forgets, and looks for what is left over.
///
/// # Panics
/// If anything is not as it should be.
pub fn goes_on(script: &Script, path: &FilePath, at: usize) {
    let push = (at..script.scenes.len()).find(|at| matches!(script.scenes[*at].step, Step::Push(_)));
    let last = push.unwrap_or(script.scenes.len() - 1);
    for at in at..=last {
        play(script, path, at);
    }
    let repository = open(path, last).expect("a repository");
    let there = by_step(&repository);
    assert_eq!(
        there.keys().copied().collect::<BTreeSet<_>>(),
        script.scenes[last].there
    );
    let goes: Vec<_> = there.values().step_by(2).map(|snapshot| snapshot.id).collect();
    repository.forget(&goes).expect("forgetting");
    nothing_is_left_over(&repository);
    as_made(script, &repository, by_step(&repository));
}

/// Collects and sweeps what goes; then there is nothing that nothing needs.
///
/// # Panics
/// If there is.
pub fn nothing_is_left_over(repository: &Arc<Repository>) {
    invariants(repository);
    let locks = crate::names(&repository.path().join("locks"));
    let of_pushes: Vec<_> = locks.iter().filter(|name| name.starts_with("push-")).collect();
    assert!(of_pushes.is_empty(), "locks of dead pushes: {of_pushes:?}");
}
