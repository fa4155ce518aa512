//! The source of the rows: a file, standard input, or a query.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio_postgres::CopyOutStream;
use tokio_postgres::error::ErrorPosition;

use super::super::connect;
use super::super::failure::{Exit, Failure};
use campaign_sender::store::Session;
use campaign_sender::store::settings::DatabaseAccess;

/// An opened input.
pub struct Source {
    pub input: Box<dyn Read + Send>,
    /// The text before a line number: `people.csv`, `query.sql, row `.
    pub place: String,
    /// Its length in bytes, if that is known.
    pub length: Option<u64>,
    pub is_query: bool,
}

/// The form of a query's rows: each is a JSON object in the format of `COPY`.
const PREFIX: &str = "COPY (SELECT to_jsonb(imported) FROM (\n";
const SUFFIX: &str = "\n) AS imported) TO STDOUT";
/// The number of bytes that are handed to the reading thread at a time.
const CHUNK_BYTES: usize = 64 * 1024;

impl Source {
    /// A file, or standard input for `-`.
    pub fn file(path: &Path) -> Result<Source, Failure> {
        if path == Path::new("-") {
            let place = "standard input:".to_owned();
            return Ok(Source { input: Box::new(io::stdin()), place, length: None, is_query: false });
        }
        let problem = |error: io::Error| Failure::new(Exit::NoInput, format!("{}: {error}", path.display()));
        let file = File::open(path).map_err(problem)?;
        let metadata = file.metadata().map_err(problem)?;
        if metadata.is_dir() {
            return Err(Failure::new(Exit::NoInput, format!("{} is a directory", path.display())));
        }
        Ok(Source {
            input: Box::new(file),
            place: format!("{}:", path.display()),
            length: metadata.is_file().then_some(metadata.len()),
            is_query: false,
        })
    }

    /// The rows of a query, which runs in a read-only transaction.
    pub async fn query(path: PathBuf, access: DatabaseAccess) -> Result<Source, Failure> {
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Failure::new(Exit::NoInput, format!("{}: {error}", path.display())))?;
        let database = connect(access).await?;
        let client = database.session().await?;
        client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
        let query = text.trim_end().trim_end_matches(';');
        let rows = client
            .copy_out(&format!("{PREFIX}{query}{SUFFIX}"))
            .await
            .map_err(|error| query_failure(&path, query, error))?;
        let (chunks, received) = mpsc::channel(8);
        tokio::spawn(pass_on(client, rows, chunks));
        let input = Box::new(Received { chunks: received, chunk: io::Cursor::default() });
        Ok(Source { input, place: format!("{}, row ", path.display()), length: None, is_query: true })
    }
}

/// The database of `--from`.
pub fn from_url(url: String) -> Result<DatabaseAccess, Failure> {
    let url = campaign_sender::store::settings::database_url(Some(url)).map_err(|_| {
        Failure::new(Exit::Usage, "--from is of another form (it is not shown): expected postgres://USER:PASSWORD@HOST:PORT/DATABASE")
    })?;
    Ok(url.into())
}

/// Adds the line of the file in which PostgreSQL found the error.
fn query_failure(path: &Path, query: &str, error: tokio_postgres::Error) -> Failure {
    let Some(db) = error.as_db_error() else { return error.into() };
    let line = match db.position() {
        Some(ErrorPosition::Original(at)) => {
            let before = (*at as usize).saturating_sub(PREFIX.chars().count() + 1);
            let line = 1 + query.chars().take(before).filter(|character| *character == '\n').count();
            format!(":{line}")
        }
        _ => String::new(),
    };
    let exit = match db.code().code().get(..2) {
        Some("42" | "22" | "0A" | "25") => Exit::Data,
        _ => Exit::Software,
    };
    let message = format!("{}{line}: {} [{}]", path.display(), db.message(), db.code().code());
    Failure::new(exit, message)
}

/// Runs until the query ends, or the receiver wants no more.
async fn pass_on(client: Session, rows: CopyOutStream, chunks: mpsc::Sender<io::Result<Vec<u8>>>) {
    let mut rows = Box::pin(rows);
    let mut chunk = Vec::new();
    while let Some(row) = rows.next().await {
        match row {
            Ok(row) => chunk.extend_from_slice(&row),
            Err(error) => {
                let _ = chunks.send(Err(io::Error::other(said(&error)))).await;
                return;
            }
        }
        if chunk.len() >= CHUNK_BYTES && chunks.send(Ok(std::mem::take(&mut chunk))).await.is_err() {
            return;
        }
    }
    let _ = chunks.send(Ok(chunk)).await;
    drop(client);
}

fn said(error: &tokio_postgres::Error) -> String {
    error
        .as_db_error()
        .map_or_else(|| error.to_string(), |db| format!("{} [{}]", db.message(), db.code().code()))
}

/// The receiving end, for a thread that reads.
struct Received {
    chunks: mpsc::Receiver<io::Result<Vec<u8>>>,
    chunk: io::Cursor<Vec<u8>>,
}

impl Read for Received {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.chunk.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            match self.chunks.blocking_recv() {
                None => return Ok(0),
                Some(chunk) => self.chunk = io::Cursor::new(chunk?),
            }
        }
    }
}
