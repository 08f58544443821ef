//! What a server reports about itself, part by part: any of it may be refused for a while, or always. What a connection could read
//! when it was made is the identity that it knows; a part that is refused later ends it.

use super::server::{Micros, Server};
use beatwarden::domain::ServerIdentity;

/// System, timeline and start of a server.
pub type Truth = (u32, u32, Micros);

/// The parts that are refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    pub system: bool,
    pub timeline: bool,
    pub started: bool,
}

impl Hidden {
    /// One of them at least.
    pub fn draw(rng: &mut fastrand::Rng) -> Self {
        let parts = rng.u32(1..8);
        Self {
            system: parts & 1 != 0,
            timeline: parts & 2 != 0,
            started: parts & 4 != 0,
        }
    }

    pub fn any(self) -> bool {
        self != Self::default()
    }

    /// Whether a restart or a promotion can't be seen but by the end of the connection.
    pub fn hides_restarts(self) -> bool {
        self.timeline || self.started
    }

    /// Whether all is given now that was given when this was refused.
    fn still_gives_all_but(self, refused: Self) -> bool {
        let is_new = |now: bool, then: bool| now && !then;
        !(is_new(self.system, refused.system)
            || is_new(self.timeline, refused.timeline)
            || is_new(self.started, refused.started))
    }
}

/// One connection, as far as it matters which.
#[derive(Clone, Copy, Debug, Default)]
pub struct Session {
    pub number: u64,
    /// What was refused when it was made.
    pub refused: Hidden,
    /// Of how many that the server or its standby could have had.
    life: u64,
}

impl Session {
    /// The number where a restart can't be seen otherwise.
    pub fn evidence(&self) -> Option<u64> {
        self.refused.hides_restarts().then_some(self.number)
    }
}

impl Server {
    /// A connection is made.
    pub fn connect(&mut self) -> Session {
        self.sessions += 1;
        Session {
            number: self.sessions,
            refused: self.hidden,
            life: self.life,
        }
    }

    /// Whether the server still answers through a connection. A pooler in between may hide that there is another one behind it,
    /// but not from who has nothing else to tell them apart.
    pub fn keeps(&self, session: &Session) -> bool {
        let is_same = session.life == self.life || !session.refused.any();
        is_same && self.hidden.still_gives_all_but(session.refused)
    }

    /// Which server it is, without any doubt.
    pub fn truth(&self) -> Truth {
        (self.system, self.timeline, self.started_at)
    }

    /// Which server it is, as far as a connection can tell.
    pub fn identity(&self, refused: Hidden) -> ServerIdentity {
        let given = |text: String, is_refused: bool| if is_refused { String::new() } else { text };
        let mut parts = vec![
            given(self.system.to_string(), refused.system),
            "f".to_owned(),
            given(self.timeline.to_string(), refused.timeline),
        ];
        // In the place of what is missing.
        parts.extend(refused.any().then(|| format!("host {}", self.host)));
        parts.extend((!refused.started).then(|| self.started_at.to_string()));
        ServerIdentity(parts.join("/"))
    }
}
