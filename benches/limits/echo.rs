//! The network alone: the same bytes to and fro over as many connections, with nothing said about them.

use std::cell::Cell;
use std::error::Error;
use std::net::TcpListener;
use std::thread;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{CONCURRENCY, say_done, wait_for_the_word};

/// The size of SES's answer, including headers.
const ANSWER: [u8; 300] = [b'.'; 300];

/// Sends each of `bodies`, and waits for as many bytes as an answer has.
pub async fn run(bodies: &[String]) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || answer_all(listener));
    wait_for_the_word()?;
    let next = Cell::new(0);
    let lanes = (0..CONCURRENCY).map(async |_| {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut answer = [0; ANSWER.len()];
        while let Some(body) = bodies.get(next.replace(next.get() + 1)) {
            stream.write_all(&u32::try_from(body.len())?.to_be_bytes()).await?;
            stream.write_all(body.as_bytes()).await?;
            stream.read_exact(&mut answer).await?;
        }
        Ok::<(), Box<dyn Error>>(())
    });
    futures_util::future::try_join_all(lanes).await?;
    say_done(bodies.len())?;
    Ok(())
}

/// The other end, on a thread and a runtime of its own.
fn answer_all(listener: TcpListener) {
    let serve = async {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(answer(stream));
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served: std::io::Result<()> = runtime.and_then(|runtime| runtime.block_on(serve));
    drop(served);
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut body = Vec::new();
    loop {
        let length = stream.read_u32().await?;
        body.resize(length as usize, 0);
        stream.read_exact(&mut body).await?;
        stream.write_all(&ANSWER).await?;
    }
}
