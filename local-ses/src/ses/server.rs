//! Accepts connections and hands their requests to the SES API, the control interface or the inbox page.

use std::{pin::pin, sync::Arc};

use http_body_util::{BodyExt, Limited};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{oneshot, watch},
};
use uuid::Uuid;

use super::{
    api::{self, Answer, HangUp},
    check::MAX_MESSAGE,
    connections::{OpenConnection, Phase},
    control,
    refusal::Refusal,
    state::State,
};

/// The largest request body: the largest message in base64, and room for the JSON around it.
const MAX_BODY: usize = MAX_MESSAGE / 3 * 4 + (4 << 20);

/// Serves until `stop` is sent or dropped.
pub(super) async fn serve(listener: TcpListener, state: Arc<State>, mut stop: oneshot::Receiver<()>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stop => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let (connection, close) = state.connections.accepted();
                tokio::spawn(serve_connection(stream, Arc::clone(&state), connection, close));
            }
            // Most likely there are no file descriptors left; they can only be freed by continuing.
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn serve_connection(
    stream: TcpStream,
    state: Arc<State>,
    open: OpenConnection,
    mut close: watch::Receiver<()>,
) {
    // An answer is one small write, which must not wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let service = service_fn(async |request: Request<Incoming>| {
        open.enter(Phase::Busy);
        let answer = route(&state, request).await;
        open.enter(Phase::Idle);
        answer
    });
    let mut connection = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    loop {
        tokio::select! {
            // The client closed the connection, or a rule did: neither is an error here.
            _ = connection.as_mut() => return,
            _ = close.changed() => {
                if open.phase() == Phase::Fresh {
                    return;
                }
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

async fn route(state: &State, request: Request<Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return unread_body(&*error),
    };
    if !parts.uri.path().starts_with("/v2/") {
        return Ok(control::answer(state, &parts, &body));
    }
    let mut answer = api::answer(state, &parts, &body).await?;
    // A rule's answer in place of SES has none of SES's headers.
    if answer.extensions().get::<api::OfRule>().is_none() {
        answer.headers_mut().insert("x-amzn-requestid", request_id());
    }
    Ok(answer)
}

fn unread_body(error: &(dyn std::error::Error + 'static)) -> Answer {
    if error.is::<http_body_util::LengthLimitError>() {
        let message = format!("Message length is more than {MAX_MESSAGE} bytes long.");
        return Ok(Refusal::bad_request(message).into_response());
    }
    Err(HangUp)
}

fn request_id() -> hyper::header::HeaderValue {
    let id = Uuid::new_v4().hyphenated().to_string();
    id.try_into().expect("a UUID is a header value")
}
