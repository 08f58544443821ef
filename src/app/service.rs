//! What is reported to the service manager, where there is one: that we are ready, that the loops turn, that we stop.
//!
//! The protocol is that of
//! [`sd_notify(3)`](https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html). Without `NOTIFY_SOCKET` in the
//! environment nothing is sent.

use crate::{
    pass::{Clock, SystemClock},
    status::Roster,
};
use parking_lot::Mutex;
use sd_notify::NotifyState;
use std::{sync::Arc, time::Duration};

/// The way to the service manager.
pub(super) struct Service {
    roster: Arc<Roster>,
    clock: SystemClock,
    /// After so long without a sign of life we are restarted; `None` where none is expected.
    watchdog: Option<Mutex<Duration>>,
}

impl Service {
    pub(super) fn new(roster: Arc<Roster>, clock: SystemClock) -> Self {
        Self {
            roster,
            clock,
            watchdog: sd_notify::watchdog_enabled().map(Mutex::new),
        }
    }

    /// HTTP answers, and the watches begin. Says nothing about databases: those may be away.
    pub(super) fn is_ready(&self) {
        let watches = self.roster.boards().len();
        send(&[
            NotifyState::Ready,
            NotifyState::Status(&format!("watches in this process: {watches}")),
        ]);
    }

    /// The configuration is being reloaded; [`Self::is_ready`] ends it.
    pub(super) fn is_reloading(&self) {
        let since = NotifyState::monotonic_usec_now();
        send(&[&[NotifyState::Reloading], since.ok().as_slice()].concat());
    }

    /// No new repair is begun.
    pub(super) fn is_stopping(&self) {
        send(&[NotifyState::Stopping]);
    }

    /// A pass has ended, well or not. The sign of life is sent by passes alone and only while every loop turns: a timer
    /// would keep firing beside a loop that hangs.
    pub(super) fn pass_ended(&self) {
        let Some(watchdog) = &self.watchdog else { return };
        let (boards, now) = (self.roster.boards(), self.clock.moment());
        let statuses = || boards.iter().map(|(_, board)| board.read());
        if !statuses().all(|status| status.turns(now)) {
            return;
        }
        let needed = statuses().map(|status| status.patience()).max().unwrap_or_default();
        let mut allowed = watchdog.lock();
        if needed > *allowed {
            // A long interval, or a stretched one, is no reason to be restarted.
            *allowed = needed;
            send(&[NotifyState::Custom(&format!("WATCHDOG_USEC={}", needed.as_micros()))]);
        }
        send(&[NotifyState::Watchdog]);
    }
}

fn send(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager can't be notified");
    }
}
