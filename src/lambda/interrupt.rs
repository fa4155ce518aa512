//! A wish from outside to end the batch under way early, and cleanly.

use tokio::sync::watch;

/// Once it is raised, no send starts any more: what SES has accepted is recorded, and whoever was not tried is
/// `pending` again, as at an invocation's deadline.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Option<watch::Receiver<bool>>);

impl Interrupt {
    /// One that is never raised.
    pub fn never() -> Interrupt {
        Interrupt(None)
    }

    /// One that is raised by sending `true`.
    pub fn channel() -> (watch::Sender<bool>, Interrupt) {
        let (raise, raised) = watch::channel(false);
        (raise, Interrupt(Some(raised)))
    }

    /// Whether it is raised.
    pub fn is_raised(&self) -> bool {
        self.0.as_ref().is_some_and(|raised| *raised.borrow())
    }

    /// Returns when it is raised.
    pub async fn raised(&self) {
        if let Some(raised) = &self.0
            && raised.clone().wait_for(|raised| *raised).await.is_ok()
        {
            return;
        }
        // Nobody can raise it (any more).
        std::future::pending::<()>().await;
    }
}
