use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::oneshot;

use super::{
    account::{Account, TokenBucket},
    behaviour::Rule,
    identity::MailFrom,
    insights::Vdm,
    message::Message,
    preview::Preview,
    server,
    signature::Verifier,
    state::{State, Statistics},
    suppression::{SuppressedDestination, SuppressionList},
    tenant::{Tenant, Tenants},
};

/// How an endpoint is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// The port on 127.0.0.1; 0: any free one.
    pub port: u16,
    /// The credentials with which requests must be signed.
    pub access_key_id: String,
    pub secret_access_key: String,
    /// False: the form of a signature is checked, and not the signature itself.
    pub verify_signatures: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            port: 0,
            access_key_id: "AKIDLOCAL".into(),
            secret_access_key: "local-secret".into(),
            verify_signatures: true,
        }
    }
}

/// A running endpoint, on a thread and an async runtime of its own. It stops when it is dropped.
pub struct SesEndpoint {
    state: Arc<State>,
    port: u16,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl SesEndpoint {
    /// Starts an endpoint; it is listening when this returns.
    ///
    /// # Errors
    /// When the port cannot be listened on, or no thread can be started.
    pub fn start(options: Options) -> io::Result<SesEndpoint> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let verifier =
            Verifier::new(options.access_key_id, options.secret_access_key, options.verify_signatures);
        let state = Arc::new(State::new(verifier));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let (stop, stopped) = oneshot::channel();
        let serving = server::serve(listener, Arc::clone(&state), stopped);
        let thread =
            thread::Builder::new().name("local-ses".into()).spawn(move || runtime.block_on(serving))?;
        Ok(SesEndpoint { state, port, stop: Some(stop), thread: Some(thread) })
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The messages accepted, in the order of acceptance.
    pub fn messages(&self) -> Vec<Message> {
        self.state.mailbox.all().iter().map(|message| Message::clone(message)).collect()
    }

    pub fn message_count(&self) -> usize {
        self.state.mailbox.len()
    }

    /// The message with this id.
    pub fn message(&self, id: &str) -> Option<Message> {
        self.state.mailbox.get(id).map(|message| Message::clone(&message))
    }

    /// Forgets the messages accepted so far.
    pub fn clear_messages(&self) {
        self.state.mailbox.clear();
    }

    /// Addresses (in lower case) that received more than one message, and how many each did.
    pub fn addresses_received_more_than_once(&self) -> BTreeMap<String, usize> {
        self.state.mailbox.received_more_than_once()
    }

    /// Writes each message as `<sequence>-<address>.eml` into the directory, which is created if need be; returns
    /// how many.
    ///
    /// # Errors
    /// When the directory or a file cannot be written.
    pub fn write_eml(&self, dir: &Path) -> io::Result<usize> {
        self.state.mailbox.write_eml(dir)
    }

    pub fn add_rule(&self, rule: Rule) {
        self.state.control().rules.add(rule);
    }

    pub fn clear_rules(&self) {
        self.state.control().rules.clear();
    }

    pub fn set_account(&self, account: Account) {
        self.state.control().account = account;
    }

    /// Makes every answer of the SES API wait so long.
    pub fn set_latency(&self, latency: Duration) {
        self.state.control().latency = latency;
    }

    /// Limits recipients per second; none: no limit.
    pub fn set_rate(&self, rate: Option<TokenBucket>) {
        self.state.control().set_rate(rate);
    }

    /// Replaces the account's suppression list.
    pub fn set_suppressed(&self, destinations: Vec<SuppressedDestination>) {
        self.state.control().suppressed = SuppressionList::new(destinations);
    }

    /// Sets the tenants of the account. Before that it has none.
    pub fn set_tenants(&self, tenants: Vec<Tenant>) {
        self.state.control().tenants = Tenants::new(tenants);
    }

    /// Makes these the only verified identities, in lower case; until then every one is verified.
    pub fn set_identities(&self, identities: Vec<String>) {
        self.state.control().identities.0 = Some(identities);
    }

    /// Sets the custom MAIL FROM domain of every identity.
    pub fn set_mail_from(&self, mail_from: MailFrom) {
        self.state.control().identities.1 = Some(mail_from);
    }

    /// Turns Virtual Deliverability Manager on or off. It is off at the start.
    pub fn set_vdm(&self, vdm: Vdm) {
        self.state.control().insights.vdm = vdm;
    }

    /// Makes the inbox page show this above the messages.
    pub fn set_preview(&self, preview: Preview) {
        self.state.control().preview = Some(preview);
    }

    /// Closes every connection that is not answering a request, and returns when they are closed. Those that are
    /// answering one will be closed after that.
    pub fn close_idle_connections(&self) {
        self.state.connections.close_idle_and_wait();
    }

    /// From now on stored templates are rendered wrongly.
    pub fn mangle_templates(&self) {
        self.state.control().templates.mangled = true;
    }

    /// Counts since the start.
    pub fn statistics(&self) -> Statistics {
        self.state.statistics()
    }
}

impl Drop for SesEndpoint {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
