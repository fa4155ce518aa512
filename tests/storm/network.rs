//! What is between a function and PostgreSQL: a proxy that cuts connections before or after the server has got a message,
//! or lets them hang, half open.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::ledger::{Ledger, count};
use crate::support::dice::Dice;

/// Messages of a function that meet something, of a thousand.
const UNLUCKY: u64 = 15;

/// What happens to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Passes,
    /// The server never gets it.
    CutBefore,
    /// The server gets it, and its answer is lost.
    CutAfter,
    /// The server gets it, and from then on nothing comes through, without an end.
    HalfOpen,
}

/// A proxy, as long as the storm lasts and as anybody is connected.
pub struct Proxy {
    port: u16,
}

impl Proxy {
    /// Listens. Its threads end with the test's process.
    pub fn start(ledger: &Arc<Weather>, server: (String, u16), seed: u64) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("a port").port();
        let ledger = Arc::clone(ledger);
        thread::spawn(move || {
            for (number, client) in (0u64..).zip(listener.incoming()) {
                let (Ok(client), Ok(upstream)) = (client, TcpStream::connect((server.0.as_str(), server.1)))
                else {
                    // PostgreSQL is down: the connection is closed.
                    continue;
                };
                let (ledger, dice) = (Arc::clone(&ledger), Dice::new(seed, 1000 + number));
                thread::spawn(move || pass(&ledger, &client, &upstream, dice));
            }
        });
        Proxy { port }
    }

    /// The URL of the same database by the proxy.
    pub fn url(&self, url: &str) -> String {
        let (start, rest) = url.split_once('@').expect("a URL with a user");
        let (_, path) = rest.split_once('/').expect("a URL with a database");
        format!("{start}@127.0.0.1:{}/{path}", self.port)
    }
}

/// Says when the storm is over, and counts what happened.
#[derive(Default)]
pub struct Weather {
    pub is_over: AtomicBool,
    pub cuts: std::sync::atomic::AtomicU64,
}

/// Passes what comes, both ways, until one side ends or something befalls a message.
fn pass(weather: &Weather, client: &TcpStream, upstream: &TcpStream, mut dice: Dice) {
    let (hangs, ended) = (AtomicBool::new(false), Mutex::new(()));
    let close = || {
        let _one = ended.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = client.shutdown(Shutdown::Both);
        let _ = upstream.shutdown(Shutdown::Both);
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut from, mut to) = (upstream, client);
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(size @ 1..) = from.read(&mut buffer) {
                if !hangs.load(Ordering::Relaxed) && to.write_all(&buffer[..size]).is_err() {
                    break;
                }
            }
            close();
        });
        let (mut from, mut to) = (client, upstream);
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(size @ 1..) = from.read(&mut buffer) {
            // A connection that hangs carries nothing any more.
            if hangs.load(Ordering::Relaxed) {
                continue;
            }
            let fate = fate(weather, &mut dice);
            if fate == Fate::CutBefore {
                break;
            }
            hangs.store(fate != Fate::Passes, Ordering::Relaxed);
            if to.write_all(&buffer[..size]).is_err() || fate == Fate::CutAfter {
                break;
            }
        }
        close();
    });
}

fn fate(weather: &Weather, dice: &mut Dice) -> Fate {
    if weather.is_over.load(Ordering::Relaxed) || dice.between(1, 1000) > UNLUCKY {
        return Fate::Passes;
    }
    count(&weather.cuts);
    *dice.choose(&[Fate::CutBefore, Fate::CutAfter, Fate::HalfOpen])
}

/// Ends the weather of the proxy with the storm.
pub fn until_over(ledger: &Ledger, weather: &Weather) {
    while crate::weather::wait(ledger, std::time::Duration::from_secs(3600)) {}
    weather.is_over.store(true, Ordering::Relaxed);
}
