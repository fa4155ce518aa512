//! A request from outside to end the current batch early and cleanly.

use tokio::sync::watch;

/// Once it is raised, no send starts any more. What SES has accepted is recorded, and recipients that were
/// not tried are `pending` again, as at an invocation's deadline.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Option<watch::Receiver<bool>>);

impl Interrupt {
    /// An interrupt that is never raised.
    pub fn never() -> Interrupt {
        Interrupt(None)
    }

    /// An interrupt that is raised by sending `true`.
    pub fn channel() -> (watch::Sender<bool>, Interrupt) {
        let (raise, raised) = watch::channel(false);
        (raise, Interrupt(Some(raised)))
    }

    /// Returns true if it is raised.
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
