use std::{
    collections::HashMap,
    sync::{Arc, Condvar, Mutex},
};

use tokio::sync::watch;

/// The open connections, so that the idle ones can be closed.
pub(super) struct Connections {
    open: Mutex<Open>,
    changed: Condvar,
    close_idle: watch::Sender<()>,
}

#[derive(Default)]
struct Open {
    phases: HashMap<u64, Phase>,
    accepted: u64,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Phase {
    /// It has had no request yet.
    Fresh,
    /// A request is being answered.
    Busy,
    /// Kept alive between two requests.
    Idle,
}

/// One open connection; dropping this value marks it as closed.
pub(super) struct OpenConnection {
    connections: Arc<Connections>,
    number: u64,
}

impl Default for Connections {
    fn default() -> Self {
        Connections { open: Mutex::default(), changed: Condvar::new(), close_idle: watch::Sender::new(()) }
    }
}

impl Connections {
    /// Registers a new connection. The receiver changes when the connection is to be closed.
    pub(super) fn accepted(self: &Arc<Self>) -> (OpenConnection, watch::Receiver<()>) {
        let mut open = self.open.lock().unwrap();
        open.accepted += 1;
        let number = open.accepted;
        open.phases.insert(number, Phase::Fresh);
        (OpenConnection { connections: Arc::clone(self), number }, self.close_idle.subscribe())
    }

    /// How many connections were accepted, and how many of them are open.
    pub(super) fn counts(&self) -> (u64, usize) {
        let open = self.open.lock().unwrap();
        (open.accepted, open.phases.len())
    }

    /// Closes every connection that is not answering a request, and returns when they are closed. Those that
    /// are answering one will be closed after that.
    pub(super) fn close_idle_and_wait(&self) {
        let mut open = self.open.lock().unwrap();
        let idle: Vec<u64> = open
            .phases
            .iter()
            .filter(|(_, phase)| **phase != Phase::Busy)
            .map(|(number, _)| *number)
            .collect();
        self.close_idle.send_replace(());
        while idle.iter().any(|number| open.phases.contains_key(number)) {
            open = self.changed.wait(open).unwrap();
        }
    }

    /// Like [`Self::close_idle_and_wait`], for callers that must not block.
    pub(super) fn close_idle(&self) {
        self.close_idle.send_replace(());
    }
}

impl OpenConnection {
    pub(super) fn enter(&self, phase: Phase) {
        self.connections.open.lock().unwrap().phases.insert(self.number, phase);
    }

    pub(super) fn phase(&self) -> Phase {
        self.connections.open.lock().unwrap().phases[&self.number]
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.connections.open.lock().unwrap().phases.remove(&self.number);
        self.connections.changed.notify_all();
    }
}
