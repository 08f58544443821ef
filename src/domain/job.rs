//! A job as it stands in its table: key, name, state and three times. Owns the difference between *seeded* and *real*.

use super::{NullState, SharedText, Timestamp};
use std::{borrow::Cow, fmt, time::Duration};

/// The key of a job, whatever the column's type is. A whole number is kept as one: most keys are, and then a key takes no
/// memory of its own, and comparing two is one instruction.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(Key);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Key {
    Number(i64),
    /// A key takes two words so, and a pass has four of each job.
    Text(SharedText),
}

impl JobId {
    /// From the key's text form.
    pub fn new(text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        match text.parse::<i64>() {
            // One text, one key: `007` and `+7` are other texts than `7`.
            Ok(number) if is_plain(text) => Self(Key::Number(number)),
            _ => Self(Key::Text(text.into())),
        }
    }

    /// From a whole number.
    pub const fn from_number(number: i64) -> Self {
        Self(Key::Number(number))
    }

    /// The number, where the key is one.
    pub const fn number(&self) -> Option<i64> {
        match self.0 {
            Key::Number(number) => Some(number),
            Key::Text(_) => None,
        }
    }

    /// The text form.
    pub fn text(&self) -> Cow<'_, str> {
        match &self.0 {
            Key::Number(number) => Cow::Owned(number.to_string()),
            Key::Text(text) => Cow::Borrowed(text),
        }
    }
}

/// Whether a text that reads as a number is the way in which that number is written.
fn is_plain(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    text == "0" || (!digits.starts_with('0') && !digits.starts_with('+'))
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Key::Number(number) => number.fmt(f),
            Key::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobId({:?})", self.text())
    }
}

/// A time column of one row: a readable instant, or one of two that are none. It takes one word: a million jobs have three
/// each, twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeValue(Option<Timestamp>);

impl TimeValue {
    /// NULL, or no such column.
    pub const ABSENT: Self = Self(None);
    /// Infinity, a year outside 1970..9999, or text that is no time. Kept as an instant that no table can have.
    pub const UNREADABLE: Self = Self(Some(Timestamp::from_micros(i64::MAX)));

    /// From microseconds since the epoch; what lies outside 1970..9999 is unreadable.
    pub fn from_micros(micros: i64) -> Self {
        let at = Timestamp::from_micros(micros);
        if (Timestamp::MIN..=Timestamp::MAX).contains(&at) {
            Self(Some(at))
        } else {
            Self::UNREADABLE
        }
    }

    /// The instant, where there is one.
    pub fn at(self) -> Option<Timestamp> {
        self.0.filter(|_| self != Self::UNREADABLE)
    }
}

impl From<Timestamp> for TimeValue {
    fn from(at: Timestamp) -> Self {
        Self(Some(at))
    }
}

impl fmt::Debug for TimeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at() {
            Some(at) => write!(f, "At({})", at.as_micros()),
            None if *self == Self::ABSENT => f.write_str("Absent"),
            None => f.write_str("Unreadable"),
        }
    }
}

/// One row of the job table. Equality means that no observed column changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The key.
    pub id: JobId,
    /// What the job is called; hostile input, to be escaped wherever it is shown.
    pub name: Option<SharedText>,
    /// The row's own state, NULL included.
    pub state: Option<SharedText>,
    /// When the writer says that it started.
    pub started_at: TimeValue,
    /// The last heartbeat.
    pub heartbeat_at: TimeValue,
    /// When the writer says that it ended.
    pub ended_at: TimeValue,
}

/// One start of one job of a table; it can get each action once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incident {
    /// The job.
    pub job: JobId,
    /// Its start, as the row had it.
    pub started_at: Option<Timestamp>,
}

/// A job's heartbeat, judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heartbeat {
    /// NULL.
    Absent,
    /// Written together with the start: proves nothing.
    Seeded(Timestamp),
    /// A sign of life.
    Real(Timestamp),
}

impl Job {
    /// Judges the heartbeat: seeded if it lies at most `tolerance` after the start, or before it.
    ///
    /// Without a start nothing can have been written together with it, so the heartbeat counts as real: the safe
    /// reading for a living job.
    pub fn heartbeat(&self, tolerance: Duration) -> Heartbeat {
        let Some(beat) = self.heartbeat_at.at() else {
            return Heartbeat::Absent;
        };
        match self.started_at.at() {
            Some(start) if beat <= start.plus(tolerance) => Heartbeat::Seeded(beat),
            _ => Heartbeat::Real(beat),
        }
    }

    /// How long after its start the heartbeat came that it shows, where that is a real one.
    pub fn time_to_beat(&self, tolerance: Duration) -> Option<Duration> {
        match (self.started_at.at(), self.heartbeat(tolerance)) {
            (Some(start), Heartbeat::Real(beat)) => Some(start.age_at(beat)),
            _ => None,
        }
    }

    /// The incident that its row shows.
    pub fn incident(&self) -> Incident {
        Incident {
            job: self.id.clone(),
            started_at: self.started_at.at(),
        }
    }

    /// Whether one of its times can't be read.
    pub fn is_unreadable(&self) -> bool {
        self.has_unreadable_sign() || self.ended_at == TimeValue::UNREADABLE
    }

    /// Whether a time that shows that it lives can't be read.
    pub fn has_unreadable_sign(&self) -> bool {
        self.started_at == TimeValue::UNREADABLE || self.heartbeat_at == TimeValue::UNREADABLE
    }
}

/// What a state means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateKind {
    /// In progress.
    Running,
    /// A good end.
    Success,
    /// A bad end.
    Failure,
    /// Not running, no end.
    Waiting,
    /// No job at all.
    Ignored,
    /// In no list, or NULL where `null_state` says so.
    Unknown,
}

impl StateKind {
    /// Whether the job is over.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Success | Self::Failure)
    }
}

/// The lists of state values of one watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct States {
    /// In progress.
    pub running: Vec<String>,
    /// Good ends.
    pub success: Vec<String>,
    /// Bad ends; the first is what `fail` writes.
    pub failure: Vec<String>,
    /// Not running, no end.
    pub waiting: Vec<String>,
    /// Rows that are no jobs.
    pub ignore: Vec<String>,
    /// What NULL means.
    pub null: NullState,
}

impl States {
    /// What `state` means.
    pub fn kind_of(&self, state: Option<&str>) -> StateKind {
        let Some(state) = state else {
            return match self.null {
                NullState::Unknown => StateKind::Unknown,
                NullState::Waiting => StateKind::Waiting,
                NullState::Ignore => StateKind::Ignored,
            };
        };
        let lists = [
            (&self.running, StateKind::Running),
            (&self.success, StateKind::Success),
            (&self.failure, StateKind::Failure),
            (&self.waiting, StateKind::Waiting),
            (&self.ignore, StateKind::Ignored),
        ];
        lists
            .into_iter()
            .find(|(list, _)| list.iter().any(|known| known == state))
            .map_or(StateKind::Unknown, |(_, kind)| kind)
    }

    /// Every configured value, in the order of the lists.
    pub fn all(&self) -> Vec<&str> {
        [&self.running, &self.success, &self.failure, &self.waiting, &self.ignore]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_text_whatever_it_is_kept_as() {
        for text in [
            "0",
            "7",
            "-7",
            "9223372036854775807",
            "-9223372036854775808",
            "007",
            "+7",
            "-0",
            "-07",
            "",
            "-",
            " 7",
            "7.0",
            "a7",
        ] {
            let id = JobId::new(text);
            assert_eq!((id.text().as_ref(), id.to_string().as_str()), (text, text));
        }
        assert_eq!(JobId::new("42"), JobId::from_number(42));
        assert_ne!(JobId::new("042"), JobId::from_number(42));
        assert_eq!(JobId::new("18446744073709551615").number(), None);
        assert_eq!(size_of::<JobId>(), 16);
    }

    /// At a million jobs each of these bytes is a megabyte, most of them more than once.
    #[test]
    fn a_job_takes_seven_words_and_its_key_two() {
        assert_eq!(
            (size_of::<JobId>(), size_of::<TimeValue>(), size_of::<Job>()),
            (16, 8, 56)
        );
    }

    #[test]
    fn a_time_is_absent_readable_or_neither() {
        let at = Timestamp::from_micros(1);
        let times = [TimeValue::ABSENT, TimeValue::from(at), TimeValue::from_micros(i64::MAX)];
        assert_eq!(times.map(TimeValue::at), [None, Some(at), None]);
        assert_eq!(times[2], TimeValue::UNREADABLE);
        assert_eq!(TimeValue::from_micros(-1), TimeValue::UNREADABLE);
        assert_eq!(format!("{times:?}"), "[Absent, At(1), Unreadable]");
    }

    fn job(heartbeat_at: TimeValue) -> Job {
        Job {
            id: JobId::new("1"),
            name: None,
            state: None,
            started_at: TimeValue::from_micros(10),
            heartbeat_at,
            ended_at: TimeValue::ABSENT,
        }
    }

    #[test]
    fn a_job_is_unreadable_where_any_of_its_times_is() {
        let good = job(TimeValue::from_micros(10));
        let odd = TimeValue::UNREADABLE;
        let with = |change: fn(&mut Job, TimeValue)| {
            let mut job = good.clone();
            change(&mut job, odd);
            (job.has_unreadable_sign(), job.is_unreadable())
        };
        assert_eq!(with(|_, _| {}), (false, false));
        assert_eq!(with(|job, odd| job.started_at = odd), (true, true));
        assert_eq!(with(|job, odd| job.heartbeat_at = odd), (true, true));
        assert_eq!(with(|job, odd| job.ended_at = odd), (false, true));
    }

    #[test]
    fn a_heartbeat_without_a_start_is_real_and_took_no_time_that_is_known() {
        let tolerance = Duration::from_micros(5);
        let mut job = job(TimeValue::from_micros(16));
        assert_eq!(job.time_to_beat(tolerance), Some(Duration::from_micros(6)));
        job.heartbeat_at = TimeValue::from_micros(15);
        assert_eq!(job.time_to_beat(tolerance), None, "seeded");
        job.started_at = TimeValue::ABSENT;
        assert_eq!(job.heartbeat(tolerance), Heartbeat::Real(Timestamp::from_micros(15)));
        assert_eq!(job.time_to_beat(tolerance), None);
    }

    #[test]
    fn a_state_means_what_its_list_says_and_null_what_is_configured() {
        use StateKind::{Failure, Ignored, Running, Success, Unknown, Waiting};
        let list = |word: &str| vec![word.to_owned()];
        let mut states = States {
            running: list("r"),
            success: list("s"),
            failure: list("f"),
            waiting: list("w"),
            ignore: list("i"),
            null: NullState::Unknown,
        };
        assert_eq!(states.all(), ["r", "s", "f", "w", "i"]);
        let kinds = ["r", "s", "f", "w", "i", "R"].map(|state| states.kind_of(Some(state)));
        assert_eq!(kinds, [Running, Success, Failure, Waiting, Ignored, Unknown]);
        assert_eq!(kinds.map(StateKind::is_end), [false, true, true, false, false, false]);
        let kinds = NullState::ALL.map(|null| {
            states.null = null;
            states.kind_of(None)
        });
        assert_eq!(kinds, [Unknown, Waiting, Ignored]);
    }
}
