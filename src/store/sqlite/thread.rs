//! A thread for blocking work, one piece at a time, each under a deadline of the caller's.

use crate::store::StoreError;
use parking_lot::Mutex;
use rusqlite::InterruptHandle;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    time::Duration,
};
use tokio::sync::oneshot;

type Work<S> = Box<dyn FnOnce(&mut S, &Interrupt) + Send>;

/// Stops what the thread is doing in SQLite.
#[derive(Clone, Default)]
pub(super) struct Interrupt(Arc<Mutex<Option<InterruptHandle>>>);

impl Interrupt {
    /// From here on the handle's connection can be interrupted.
    pub(super) fn arm(&self, handle: InterruptHandle) {
        *self.0.lock() = Some(handle);
    }

    /// The work is done: a late interrupt must not hit the next.
    pub(super) fn disarm(&self) {
        *self.0.lock() = None;
    }

    fn fire(&self) {
        if let Some(handle) = &*self.0.lock() {
            handle.interrupt();
        }
    }
}

/// The thread and the way to it. It ends when this is dropped and its work is done.
pub(super) struct Thread<S> {
    work: mpsc::SyncSender<Work<S>>,
    interrupt: Interrupt,
}

impl<S: Default + 'static> Thread<S> {
    /// Starts a thread that owns an `S`.
    pub(super) fn start() -> Self {
        // Room for one: a caller whose deadline has passed may come back while the thread is still at it.
        let (work, queue) = mpsc::sync_channel::<Work<S>>(1);
        let interrupt = Interrupt::default();
        let own = interrupt.clone();
        std::thread::Builder::new()
            .name("sqlite".to_owned())
            .spawn(move || {
                let mut state = S::default();
                for piece in queue {
                    // A panic is reported by the caller, which gets no answer; the thread starts again.
                    if catch_unwind(AssertUnwindSafe(|| piece(&mut state, &own))).is_err() {
                        own.disarm();
                        state = S::default();
                    }
                }
            })
            .expect("the system can start a thread");
        Self { work, interrupt }
    }

    /// Runs `piece` on the thread and waits for it. When the deadline passes SQLite is interrupted; the piece then ends
    /// on its own, its result is dropped, and so is the state: what it took as done was never heard of.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        what: &'static str,
        within: Duration,
        piece: impl FnOnce(&mut S, &Interrupt) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, mut answered) = oneshot::channel();
        let late = || StoreError::Timeout { what, after: within };
        self.work
            .try_send(Box::new(move |state, interrupt| {
                // It waited behind a piece that hung, and was given up meanwhile: a repair that is no longer waited for
                // would rest on what was seen long ago.
                if answer.is_closed() {
                    return;
                }
                let result = piece(state, interrupt);
                if answer.send(result).is_err() {
                    *state = S::default();
                }
            }))
            .map_err(|_| late())?;
        match tokio::time::timeout(within, &mut answered).await {
            Ok(Ok(result)) => Ok(result),
            // No answer will come: the piece panicked.
            Ok(Err(_)) => Err(StoreError::Query {
                what,
                source: "a bug in Beatwarden (please report it): the thread of the database panicked, see the log"
                    .into(),
            }),
            Err(_) => {
                // From here on no answer can be given; one that was is as good as in time.
                answered.close();
                answered.try_recv().map_err(|_| {
                    self.interrupt.fire();
                    late()
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_next_call_begins_afresh() {
        let thread = Thread::<u32>::start();
        let within = Duration::from_secs(10);
        let counted = |state: &mut u32, _: &Interrupt| {
            *state += 1;
            *state
        };
        assert!(matches!(thread.call("counting", within, counted).await, Ok(1)));
        let error = thread
            .call("counting", within, |_, _| panic!("on purpose"))
            .await
            .map(|(): ()| ());
        assert!(error.is_err_and(|error| error.chain().contains("counting failed: a bug in Beatwarden")));
        assert!(matches!(thread.call("counting", within, counted).await, Ok(1)));
    }

    #[tokio::test]
    async fn what_a_late_piece_has_done_to_the_state_is_lost_with_its_answer() {
        let thread = Thread::<u32>::start();
        let (go_on, waits) = mpsc::channel();
        let late = thread.call("counting", Duration::from_millis(10), move |state: &mut u32, _| {
            waits.recv().unwrap();
            *state += 1;
        });
        assert!(matches!(late.await, Err(StoreError::Timeout { .. })));
        go_on.send(()).unwrap();
        let counted = thread
            .call("counting", Duration::from_secs(10), |state, _| *state)
            .await;
        assert_eq!(counted.unwrap(), 0);
    }
}
