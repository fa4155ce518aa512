//! The Lambda Runtime API, and a built function that is invoked over it as by Lambda.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::sync::{Notify, oneshot};

/// A running function with its own Runtime API. Dropping it kills the function.
pub struct Function {
    process: Child,
    runtime_api: Arc<RuntimeApi>,
    logs: Arc<Mutex<Vec<String>>>,
    invocations: u64,
    /// Dropping it stops the Runtime API.
    _serving: oneshot::Sender<()>,
}

/// How an invocation failed.
#[derive(Debug, Clone, PartialEq)]
pub enum InvocationError {
    /// The function answered with an error.
    Failed {
        /// Its type.
        error_type: String,
        /// Its message.
        message: String,
    },
    /// The process ended.
    Crashed,
    /// No answer by the deadline and 10 s more.
    TimedOut,
}

impl Function {
    /// Starts an executable with these variables and `PATH`, and no others.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(executable: &Path, environment: &[(&str, &str)]) -> io::Result<Function> {
        let runtime_api = Arc::new(RuntimeApi::default());
        let (serving, stopped) = oneshot::channel();
        let api = Arc::clone(&runtime_api);
        let address = serve(move |request| Arc::clone(&api).handle(request), stopped)?;
        let mut process = Command::new(executable)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("AWS_LAMBDA_RUNTIME_API", address)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let logs = Arc::new(Mutex::new(Vec::new()));
        if let Some(stdout) = process.stdout.take() {
            collect(stdout, Arc::clone(&logs));
        }
        if let Some(stderr) = process.stderr.take() {
            collect(stderr, Arc::clone(&logs));
        }
        Ok(Function { process, runtime_api, logs, invocations: 0, _serving: serving })
    }

    /// Invokes the function with `timeout` until its deadline, and waits for its answer.
    ///
    /// # Errors
    /// The function's error, or that there was no answer.
    pub fn invoke(&mut self, event: &Value, timeout: Duration) -> Result<Value, InvocationError> {
        self.begin(event, timeout).and_then(|begun| self.finish(&begun))
    }

    /// Passes an event to the function without waiting for the answer.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn begin(&mut self, event: &Value, timeout: Duration) -> Result<Begun, InvocationError> {
        self.begin_raw(&event.to_string(), timeout)
    }

    /// As [`Function::begin`], with a body that need not be JSON.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn begin_raw(&mut self, event: &str, timeout: Duration) -> Result<Begun, InvocationError> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.hand_over(event.to_owned(), (now + timeout).as_millis(), timeout)
    }

    /// As [`Function::begin`], with a deadline that is not a time since 1970; `cargo lambda watch` sends such
    /// a deadline.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn begin_at(&mut self, event: &Value, deadline_ms: u128) -> Result<Begun, InvocationError> {
        self.hand_over(event.to_string(), deadline_ms, Duration::from_secs(60))
    }

    fn hand_over(
        &mut self,
        event: String,
        deadline_ms: u128,
        timeout: Duration,
    ) -> Result<Begun, InvocationError> {
        if !self.is_running() {
            return Err(InvocationError::Crashed);
        }
        self.invocations += 1;
        let (sender, answer) = mpsc::channel();
        let id = format!("00000000-0000-4000-8000-{:012}", self.invocations);
        let mut state = self.runtime_api.state();
        state.waiting.push_back((id.clone(), deadline_ms, event));
        state.answers.push((id, sender));
        drop(state);
        self.runtime_api.changed.notify_one();
        Ok(Begun { answer, give_up: Instant::now() + timeout + Duration::from_secs(10) })
    }

    /// Waits for the answer to an invocation that was begun.
    ///
    /// # Errors
    /// The function's error, or that there was no answer.
    pub fn finish(&mut self, begun: &Begun) -> Result<Value, InvocationError> {
        loop {
            match begun.answer.recv_timeout(Duration::from_millis(20)) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Timeout) if Instant::now() > begun.give_up => {
                    return Err(InvocationError::TimedOut);
                }
                Err(RecvTimeoutError::Timeout) if self.is_running() => {}
                Err(_) => return Err(InvocationError::Crashed),
            }
        }
    }

    /// Kills the process (`SIGKILL`) and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Stops the process where it is (`SIGSTOP`), as Lambda freezes an environment between invocations.
    pub fn freeze(&self) {
        signal(self.pid(), "STOP");
    }

    /// Continues the process (`SIGCONT`).
    pub fn thaw(&self) {
        signal(self.pid(), "CONT");
    }

    /// Returns true if the process is running.
    pub fn is_running(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The lines that the process has written so far.
    pub fn logs(&self) -> Vec<String> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Adds a function's output to the transcript of all tests, if `FUNCTION_TRANSCRIPTS` names a folder for it.
/// `scripts/transcripts.py` searches the transcript for addresses and secrets.
fn transcribe(line: &str) {
    static TRANSCRIPT: OnceLock<Option<Mutex<File>>> = OnceLock::new();
    let open = || {
        let folder = std::env::var_os("FUNCTION_TRANSCRIPTS")?;
        let file = PathBuf::from(folder).join(format!("{}.log", std::process::id()));
        OpenOptions::new().create(true).append(true).open(file).ok().map(Mutex::new)
    };
    if let Some(file) = TRANSCRIPT.get_or_init(open) {
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(file, "{line}");
    }
}

/// Sends a signal, for example `INT`, to a process; false if there is no such process. It uses the shell's
/// own `kill`, because not every machine has the program of that name.
pub fn signal(pid: u32, name: &str) -> bool {
    let command = format!("kill -{name} {pid}");
    Command::new("sh")
        .args(["-c", &command])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

impl Drop for Function {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An invocation under way.
pub struct Begun {
    answer: mpsc::Receiver<Answer>,
    give_up: Instant,
}

type Answer = Result<Value, InvocationError>;

#[derive(Default)]
struct RuntimeApi {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(String, u128, String)>,
    answers: Vec<(String, mpsc::Sender<Answer>)>,
}

impl RuntimeApi {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn next(&self) -> Response<Full<Bytes>> {
        loop {
            let next = self.state().waiting.pop_front();
            if let Some((id, deadline_ms, event)) = next {
                return Response::builder()
                    .header("Lambda-Runtime-Aws-Request-Id", id)
                    .header("Lambda-Runtime-Deadline-Ms", deadline_ms.to_string())
                    .header(
                        "Lambda-Runtime-Invoked-Function-Arn",
                        "arn:aws:lambda:us-east-1:000000000000:function:local",
                    )
                    .header("Lambda-Runtime-Trace-Id", "Root=1-00000000-000000000000000000000000")
                    .header("Content-Type", "application/json")
                    .body(Full::from(event))
                    .unwrap_or_default();
            }
            self.changed.notified().await;
        }
    }

    fn answer(&self, id: &str, answer: Answer) {
        let mut state = self.state();
        if let Some(index) = state.answers.iter().position(|(known, _)| known == id) {
            let _ = state.answers.swap_remove(index).1.send(answer);
        }
    }

    async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let path = request.uri().path().trim_start_matches("/2018-06-01/runtime/").to_owned();
        if request.method() == Method::GET && path == "invocation/next" {
            return Ok(self.next().await);
        }
        let body =
            request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        transcribe(&String::from_utf8_lossy(&body));
        let json: Value = serde_json::from_slice(&body).unwrap_or_default();
        if let Some(id) = path.strip_prefix("invocation/").and_then(|rest| rest.strip_suffix("/response")) {
            self.answer(id, Ok(json));
        } else if let Some(id) = path.strip_prefix("invocation/").and_then(|rest| rest.strip_suffix("/error"))
        {
            let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
            let (error_type, message) = (text("errorType"), text("errorMessage"));
            self.answer(id, Err(InvocationError::Failed { error_type, message }));
        }
        let mut accepted = Response::new(Full::from("{}"));
        *accepted.status_mut() = StatusCode::ACCEPTED;
        Ok(accepted)
    }
}

/// Serves on its own port and thread until the other end of `stopped` is dropped. Returns the address.
pub(super) fn serve<H, F>(handler: H, mut stopped: oneshot::Receiver<()>) -> io::Result<String>
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?.to_string();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::spawn(move || {
        runtime.block_on(async move {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    _ = &mut stopped => return,
                };
                let Ok((stream, _)) = accepted else { return };
                let service = service_fn(handler.clone());
                tokio::spawn(async move {
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
    });
    Ok(address)
}

fn collect(output: impl io::Read + Send + 'static, logs: Arc<Mutex<Vec<String>>>) {
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            transcribe(&line);
            logs.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    });
}
