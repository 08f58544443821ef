//! From a history that goes wrong to a shorter one that goes wrong in the same way: it is run again with pieces left out (watchdogs,
//! jobs, old rows, faults, what people do), for as long as the same promise is broken. What is drawn for a piece stays the same where
//! others are left out; what answers to something may become other, so what is found is short and not the shortest.

use super::{Run, history, world::World};
use std::{
    collections::BTreeSet,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// So many histories are tried.
const TRIES: usize = 200;

/// A short history that goes wrong.
pub struct Shrunk {
    pub run: Run,
    /// What it is made of, of how many pieces, and what goes wrong.
    pub pieces: Vec<String>,
    pub of: usize,
    pub wrong: String,
    pub tries: usize,
}

/// What is broken: the number of the promise.
fn promise(wrong: &str) -> &str {
    wrong.split(':').next().unwrap_or(wrong)
}

/// What goes wrong first in a history, and the history, unless it panics.
fn first_wrong(run: &Run) -> Option<(String, Option<World>)> {
    match catch_unwind(AssertUnwindSafe(|| history(run))) {
        Ok(world) => Some((world.violations.first()?.clone(), Some(world))),
        Err(_) => Some(("a panic".to_owned(), None)),
    }
}

/// Leaves out of a history that goes wrong what is not needed for it.
pub fn shrink(run: &Run) -> Option<Shrunk> {
    let (mut wrong, world) = first_wrong(run)?;
    let broken = promise(&wrong).to_owned();
    let all = world.map_or(0, |world| world.pieces.len());
    let mut kept: Vec<usize> = (0..all).filter(|piece| !run.without.contains(piece)).collect();
    let (mut best, mut tries, mut many) = (run.clone(), 0, kept.len().div_ceil(2));
    while many > 0 && tries < TRIES {
        let (mut place, mut any) = (0, false);
        while place < kept.len() && tries < TRIES {
            let left_out = kept[place..].iter().take(many).copied();
            let mut without: BTreeSet<usize> = best.without.clone();
            without.extend(left_out);
            let shorter = Run {
                without,
                ..best.clone()
            };
            tries += 1;
            match first_wrong(&shorter).filter(|(what, _)| promise(what) == broken) {
                Some((what, _)) => {
                    kept.drain(place..(place + many).min(kept.len()));
                    (best, wrong, any) = (shorter, what, true);
                }
                None => place += many,
            }
        }
        if many == 1 && !any {
            break;
        }
        many = if many == 1 { 1 } else { many / 2 };
    }
    let pieces = first_wrong(&best)
        .and_then(|(_, world)| world)
        .map(|world| world.pieces);
    let pieces = pieces.unwrap_or_default().into_iter().enumerate();
    Some(Shrunk {
        pieces: pieces
            .filter(|(number, _)| !best.without.contains(number))
            .map(|(_, piece)| piece)
            .collect(),
        run: best,
        of: all,
        wrong,
        tries,
    })
}

impl fmt::Display for Shrunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seed, tries) = (self.run.seed, self.tries);
        writeln!(
            f,
            "after {tries} tries {} of {} pieces are left of seed {seed}, and {}:",
            self.pieces.len(),
            self.of,
            self.wrong
        )?;
        for piece in &self.pieces {
            writeln!(f, "    {piece}")?;
        }
        let without: Vec<String> = self.run.without.iter().map(usize::to_string).collect();
        write!(
            f,
            "  SEED={seed} WITHOUT={} cargo test --locked --test core sim:: -- --nocapture",
            without.join(",")
        )
    }
}

/// With a violation that is planted: a repair after a crash of the server.
#[test]
fn what_is_not_needed_for_a_violation_is_left_out() {
    let planted = |seed| Run {
        is_planted: true,
        ..Run::of(seed)
    };
    let wrong = (1..200).filter(|seed| first_wrong(&planted(*seed)).is_some());
    for seed in wrong.take(1) {
        let shrunk = shrink(&planted(seed)).unwrap();
        let has = |what: &str| shrunk.pieces.iter().any(|piece| piece.contains(what));
        assert!(has("Crash") && (has("watchdog") || has("Kill")), "{shrunk}");
        assert!(shrunk.pieces.len() <= 5 && shrunk.tries <= TRIES, "{shrunk}");
        let again = first_wrong(&shrunk.run).map(|(wrong, _)| wrong);
        assert_eq!(again, Some(shrunk.wrong.clone()), "seed {seed}");
    }
}
