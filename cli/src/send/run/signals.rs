//! Ctrl-C, and SIGTERM, once and twice.

use tokio::sync::watch;

use super::progress::Progress;

/// Raises the interrupt at the first signal, and returns at the second.
pub async fn second(raise: &watch::Sender<bool>, progress: &Progress) {
    next().await;
    raise.send_replace(true);
    progress.say("Ending: what is under way is being recorded. Ctrl-C once more ends at once.");
    next().await;
}

#[cfg(unix)]
async fn next() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signals) => signals.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated => {}
    }
}

#[cfg(not(unix))]
async fn next() {
    let _ = tokio::signal::ctrl_c().await;
}
