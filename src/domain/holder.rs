//! Who keeps repairs waiting: another session that holds the gate, a row or the table for longer than a repair takes.

use std::{fmt, time::Duration};

choice! {
    /// What is held.
    Held {
        /// The gate, which lets one repairer in at a time.
        Gate = "the gate of the repairs (an advisory lock)",
        /// The job's row.
        Row = "the job's row",
        /// A lock on the table, in an open transaction: maybe those of rows.
        Table = "a lock on the table",
    }
}

/// A session of the database that holds it. What this role may not see of another's session is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// What it holds.
    pub held: Held,
    /// Its process on the server.
    pub pid: i32,
    /// Its role.
    pub role: Option<String>,
    /// What it calls itself.
    pub application: Option<String>,
    /// What it does: `idle in transaction`, for example.
    pub state: Option<String>,
    /// How long its transaction, or what it does now, has lasted.
    pub age: Option<Duration>,
}

/// Repairs that wait for longer than a deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldUp {
    /// How long the first of them has waited.
    pub since: Duration,
    /// Who holds what they wait for, the likeliest first; empty where that can't be found out.
    pub holders: Vec<Holder>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {}", self.pid)?;
        let named = [
            ("role", &self.role),
            ("application", &self.application),
            ("state", &self.state),
        ];
        let mut parts: Vec<String> = named
            .into_iter()
            .filter_map(|(what, text)| {
                Some(format!(
                    "{what} {}",
                    text.as_deref().filter(|text| !text.is_empty())?.escape_debug()
                ))
            })
            .collect();
        parts.extend(self.age.map(|age| format!("for {} s", age.as_secs())));
        if !parts.is_empty() {
            write!(f, " ({})", parts.join(", "))?;
        }
        write!(f, " holds {}", self.held.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_named_by_what_is_known_of_it_and_escaped() {
        let mut holder = Holder {
            held: Held::Gate,
            pid: 42,
            role: Some("mal\u{1b}lory".to_owned()),
            application: Some("psql".to_owned()),
            state: None,
            age: Some(Duration::from_secs(90)),
        };
        assert_eq!(
            holder.to_string(),
            "session 42 (role mal\\u{1b}lory, application psql, for 90 s) holds the gate of the repairs (an advisory lock)"
        );
        (holder.role, holder.application, holder.age) = (None, Some(String::new()), None);
        assert_eq!(
            holder.to_string(),
            "session 42 holds the gate of the repairs (an advisory lock)"
        );
    }
}
