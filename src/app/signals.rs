//! The signals of this process, and what they bring about.

use std::{io, sync::Arc};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
};
use tokio_util::sync::CancellationToken;

/// What the signals of this process bring about.
pub struct Signals {
    /// SIGTERM and SIGINT cancel it.
    pub stop: CancellationToken,
    /// SIGHUP notifies it.
    pub reload: Arc<Notify>,
}

/// Listens to the signals.
///
/// # Errors
/// If they can't be listened to.
pub fn signals() -> io::Result<Signals> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    // Also where nothing can be reloaded: the default would end the process.
    let mut hangup = signal(SignalKind::hangup())?;
    let signals = Signals {
        stop: CancellationToken::new(),
        reload: Arc::new(Notify::new()),
    };
    let (stop, reload) = (signals.stop.clone(), signals.reload.clone());
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = term.recv() => break,
                _ = int.recv() => break,
                _ = hangup.recv() => reload.notify_one(),
            }
        }
        stop.cancel();
    });
    Ok(signals)
}
