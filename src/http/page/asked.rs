//! What the address of the page asks for: which parts are open, how many repairs are listed, and whether it stands still.
//!
//! All that a reader chose is in the address, since the page runs no script: so it is still there after a refresh, and can be
//! sent to someone else.

use std::{collections::BTreeSet, fmt::Write};

/// Whether the page refreshes itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshing {
    /// It does.
    On,
    /// The reader wants it to stand still.
    Paused,
}

/// A part of the page that can be opened, by the place of its watch in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// A watch that is folded to one line.
    Watch(usize),
    /// The stuck and late jobs of a watch that come after the worst.
    Stuck(usize),
    /// The jobs of a watch about which nothing is to be done.
    Running(usize),
}

impl Part {
    /// Its name in an address, and its identity in the page.
    pub(super) fn id(self) -> String {
        match self {
            Self::Watch(place) => format!("watch-{place}"),
            Self::Stuck(place) => format!("stuck-{place}"),
            Self::Running(place) => format!("running-{place}"),
        }
    }

    fn named(name: &str) -> Option<Self> {
        let (kind, place) = name.split_once('-')?;
        let place = place.parse().ok()?;
        match kind {
            "watch" => Some(Self::Watch(place)),
            "stuck" => Some(Self::Stuck(place)),
            "running" => Some(Self::Running(place)),
            _ => None,
        }
    }
}

/// What an address asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Whether the page refreshes itself.
    pub refreshing: Refreshing,
    /// How many repairs of each watch are listed.
    pub(super) repairs: usize,
    /// The identity of the job that is marked.
    job: Option<String>,
    open: BTreeSet<Part>,
}

impl Asked {
    /// How many repairs are listed unless more are wanted.
    pub(super) const REPAIRS: usize = 10;
    /// The most of them: a pass reads no more for people.
    pub(super) const MOST_REPAIRS: usize = 100;
    /// How many parts can be open: more than anyone opens one by one.
    const PARTS: usize = 100;

    /// What a query asks for. What is not understood is left out: an old link should still show the page.
    pub fn from_query(query: Option<&str>) -> Self {
        let mut asked = Self {
            refreshing: Refreshing::On,
            repairs: Self::REPAIRS,
            job: None,
            open: BTreeSet::new(),
        };
        for part in query.unwrap_or_default().split('&') {
            match part.split_once('=').unwrap_or((part, "")) {
                ("paused", _) => asked.refreshing = Refreshing::Paused,
                ("repairs", count) => {
                    let count = count.parse().unwrap_or(Self::REPAIRS);
                    asked.repairs = count.clamp(Self::REPAIRS, Self::MOST_REPAIRS);
                }
                ("job", anchor) => asked.job = Some(anchor.to_owned()).filter(|anchor| is_anchor(anchor)),
                ("open", parts) => asked
                    .open
                    .extend(parts.split(',').filter_map(Part::named).take(Self::PARTS)),
                _ => {}
            }
        }
        asked
    }

    pub(super) fn is_open(&self, part: Part) -> bool {
        self.open.contains(&part)
    }

    /// The same with a part opened.
    pub(super) fn opening(&self, part: Part) -> Self {
        let mut asked = self.clone();
        asked.open.insert(part);
        asked
    }

    /// The same with a part closed, and no job marked: it could be the one that keeps the part open.
    pub(super) fn closing(&self, part: Part) -> Self {
        let mut asked = self.clone();
        asked.open.remove(&part);
        asked.job = None;
        asked
    }

    /// The same with so many repairs.
    pub(super) fn with_repairs(&self, repairs: usize) -> Self {
        Self {
            repairs,
            ..self.clone()
        }
    }

    /// Whether this job is marked.
    pub(super) fn marks(&self, anchor: &str) -> bool {
        self.job.as_deref() == Some(anchor)
    }

    /// The same with this job marked, and at its row.
    pub(super) fn at_job(&self, anchor: &str) -> String {
        let asked = Self {
            job: Some(anchor.to_owned()),
            ..self.clone()
        };
        format!("{}#{anchor}", asked.address())
    }

    /// The same, refreshing itself or not.
    pub(super) fn refreshing(&self, refreshing: Refreshing) -> Self {
        Self {
            refreshing,
            ..self.clone()
        }
    }

    /// The address that asks for this.
    pub fn address(&self) -> String {
        let mut address = "/".to_owned();
        let mut add = |part: &str| {
            let before = if address.len() == 1 { '?' } else { '&' };
            write!(address, "{before}{part}").expect("a string takes everything");
        };
        if self.refreshing == Refreshing::Paused {
            add("paused");
        }
        if self.repairs != Self::REPAIRS {
            add(&format!("repairs={}", self.repairs));
        }
        if let Some(anchor) = &self.job {
            add(&format!("job={anchor}"));
        }
        if !self.open.is_empty() {
            let parts: Vec<String> = self.open.iter().map(|part| part.id()).collect();
            add(&format!("open={}", parts.join(",")));
        }
        address
    }
}

/// The identity of a job in the page: its key, and before it the name of the watch where there are several.
pub(super) fn anchor(watch: Option<&str>, key: &str) -> Option<String> {
    let anchor = match watch {
        Some(watch) => format!("job-{}:{}", as_word(watch), as_word(key)),
        None => format!("job-{}", as_word(key)),
    };
    (!key.is_empty() && is_anchor(&anchor)).then_some(anchor)
}

/// A text as a part of an address: letters, digits and a few signs as they are, any other sign by its number.
fn as_word(text: &str) -> String {
    let mut word = String::new();
    for letter in text.chars() {
        match letter {
            letter if letter.is_ascii_alphanumeric() || "_.-".contains(letter) => word.push(letter),
            other => word.push_str(&format!("~{:x}.", u32::from(other))),
        }
    }
    word
}

/// Whether it could be an identity: an address has to stay harmless, and short enough for a browser.
fn is_anchor(anchor: &str) -> bool {
    const LONGEST: usize = 200;
    let is_known = |letter: char| letter.is_ascii_alphanumeric() || "_.-~:".contains(letter);
    anchor.len() <= LONGEST && anchor.starts_with("job-") && anchor.chars().all(is_known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_asks_for_what_it_was_made_of() {
        for address in [
            "/",
            "/?paused",
            "/?open=watch-3",
            "/?paused&repairs=50&job=job-42&open=watch-0,watch-12,running-0",
        ] {
            let asked = Asked::from_query(address.split_once('?').map(|(_, query)| query));
            assert_eq!(asked.address(), address);
        }
        let asked = Asked::from_query(Some("open=running-0"));
        assert_eq!(asked.closing(Part::Running(0)).address(), "/");
        assert_eq!(asked.opening(Part::Watch(1)).address(), "/?open=watch-1,running-0");
    }

    #[test]
    fn each_job_has_an_identity_of_its_own() {
        assert_eq!(anchor(None, "42").as_deref(), Some("job-42"));
        assert_eq!(anchor(Some("a:b"), "c").as_deref(), Some("job-a~3a.b:c"));
        assert_eq!(anchor(Some("a"), "b:c").as_deref(), Some("job-a:b~3a.c"));
        assert_eq!(anchor(None, "\"><b>").as_deref(), Some("job-~22.~3e.~3c.b~3e."));
        assert_eq!((anchor(None, ""), anchor(None, &"x".repeat(1_000_000))), (None, None));
    }

    #[test]
    fn what_is_not_understood_or_too_much_is_left_out() {
        let odd = "job=job-<b>&repairs=ten&open=watch--1,<script>,running-x,&pausedx&x=1&paused=1";
        assert_eq!(Asked::from_query(Some(odd)).address(), "/?paused");
        assert_eq!(Asked::from_query(Some("repairs=5000")).address(), "/?repairs=100");
        let many: Vec<String> = (0..5_000).map(|place| format!("watch-{place}")).collect();
        let asked = Asked::from_query(Some(&format!("open={}", many.join(","))));
        assert_eq!(asked.open.len(), 100);
    }
}
