//! A client that signs and sends, and does nothing else: no database, no rendering, no SDK.

use std::cell::Cell;
use std::error::Error;
use std::time::SystemTime;

use aws_sdk_sesv2::config::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::{CONCURRENCY, say_done, wait_for_the_word};

/// The endpoint of `AWS_ENDPOINT_URL_SESV2`, and the credentials for it.
struct Target {
    url: String,
    host: String,
    credentials: Credentials,
    region: String,
}

/// Sends each of `bodies` to `path`, signed.
pub async fn run(path: &str, bodies: &[String]) -> Result<(), Box<dyn Error>> {
    let endpoint = std::env::var("AWS_ENDPOINT_URL_SESV2")?;
    let (id, secret) = (std::env::var("AWS_ACCESS_KEY_ID")?, std::env::var("AWS_SECRET_ACCESS_KEY")?);
    let target = Target {
        url: format!("{endpoint}{path}"),
        host: endpoint.trim_start_matches("http://").to_owned(),
        credentials: Credentials::new(id, secret, None, None, "bench"),
        region: std::env::var("AWS_REGION")?,
    };
    wait_for_the_word()?;
    let next = Cell::new(0);
    let lanes = (0..CONCURRENCY).map(|_| lane(&target, bodies, &next));
    futures_util::future::try_join_all(lanes).await?;
    say_done(bodies.len())?;
    Ok(())
}

/// One connection, on which one request follows the other.
async fn lane(target: &Target, bodies: &[String], next: &Cell<usize>) -> Result<(), Box<dyn Error>> {
    let stream = TcpStream::connect(&target.host).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    while let Some(body) = bodies.get(next.replace(next.get() + 1)) {
        send(&mut sender, target, body).await?;
    }
    Ok(())
}

async fn send(
    sender: &mut SendRequest<Full<Bytes>>,
    target: &Target,
    body: &str,
) -> Result<(), Box<dyn Error>> {
    let answer = sender.send_request(signed(target, body)?).await?;
    let status = answer.status();
    let answer = answer.into_body().collect().await?.to_bytes();
    if status == StatusCode::OK {
        Ok(())
    } else {
        Err(format!("the endpoint answered {status}: {}", String::from_utf8_lossy(&answer)).into())
    }
}

fn signed(target: &Target, body: &str) -> Result<Request<Full<Bytes>>, Box<dyn Error>> {
    let identity = target.credentials.clone().into();
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region(&target.region)
        .name("ses")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()?;
    let headers = [("host", target.host.as_str()), ("content-type", "application/json")];
    let signable =
        SignableRequest::new("POST", &target.url, headers.into_iter(), SignableBody::Bytes(body.as_bytes()))?;
    let (instructions, _) = sign(signable, &parameters.into())?.into_parts();
    let mut request = Request::post(&target.url)
        .header(header::HOST, &target.host)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::from(body.to_owned()))?;
    instructions.apply_to_request_http1x(&mut request);
    Ok(request)
}
