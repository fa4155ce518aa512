//! In place of the DNS server, in a build without the feature `full` (`./dev demo`).

/// There is none.
pub enum Server {}

impl Server {
    /// Fails always, so that the preview says that nothing was looked up.
    pub fn configured() -> Result<Option<Server>, String> {
        Err("this executable was built without the feature full".to_owned())
    }

    /// Cannot be called.
    #[allow(clippy::unused_async, reason = "its counterpart waits for an answer")]
    pub async fn texts(&self, _name: &str) -> Result<Vec<String>, String> {
        match *self {}
    }
}
