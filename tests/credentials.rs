//! How the built function logs in to PostgreSQL: with a secret that may be rotated, and with tokens.

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use local_ses::lambda::Function;
use postgres::config::{Config, Host};
use serde_json::{Value, json};
use support::{World, event, failure, invoke};

const ARN: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:crm-AbCdEf";

#[test]
fn a_secret_is_read_with_the_first_event_and_again_when_its_password_is_refused() {
    let mut world = World::new();
    let campaign = world.campaign_of(10);
    let before = Postgres::that_refuses_passwords();
    let (host, port, user, dbname) = place(&world.database.url);
    let secret = |port: u16| {
        json!({"engine": "postgres", "username": user, "password": "p/@:%", "host": host, "port": port,
               "dbname": dbname})
    };
    let secrets = SecretsManager::answering(vec![secret(before.port), secret(port)]);
    let mut function = with_secret(&world, &secrets.url);
    assert!(failure(&mut function, &json!(7)).starts_with("InvalidEvent"));
    assert_eq!(secrets.asked().len(), 0);

    let result = invoke(&mut function, &event(campaign, 10));
    assert_eq!((&result["status"], &result["batch"]["sent"]), (&json!("done"), &json!(10)));
    assert_eq!(secrets.asked(), [ARN, ARN]);
    assert_eq!(before.passwords(), ["p/@:%"]);
}

#[test]
fn a_secret_that_is_missing_or_of_another_form_fails_at_once_and_is_not_shown() {
    let mut world = World::new();
    let campaign = world.campaign_of(1);
    let secrets =
        SecretsManager::answering(vec![json!({"username": "u", "password": "hunter2"}), Value::Null]);
    let mut function = with_secret(&world, &secrets.url);
    let error = failure(&mut function, &event(campaign, 1));
    assert!(error.starts_with("DatabaseRefused: ") && error.contains("has no host"), "{error}");
    let error = failure(&mut function, &event(campaign, 1));
    assert!(error.starts_with("DatabaseRefused: ") && error.contains("ResourceNotFoundException"), "{error}");
    assert!(!function.logs().join("").contains("hunter2"));
}

#[test]
fn a_token_takes_the_place_of_the_password() {
    let world = World::new();
    let postgres = Postgres::that_refuses_passwords();
    let url = format!("postgres://sender@127.0.0.1:{}/crm", postgres.port);
    let variables = [("DATABASE_URL", url.as_str()), ("DATABASE_IAM_AUTH", "true")];
    let mut function = world.function_with(&variables);
    let error = failure(&mut function, &json!({}));
    assert!(error.starts_with("DatabaseRefused: ") && error.contains("28P01"), "{error}");
    let passwords = postgres.passwords();
    let expected = format!("127.0.0.1:{}/?Action=connect&DBUser=sender&X-Amz-", postgres.port);
    assert!(
        passwords[0].starts_with(&expected) && passwords[0].contains("X-Amz-Signature="),
        "{passwords:?}"
    );
}

fn with_secret(world: &World, secrets: &str) -> Function {
    world.function_with(&[
        ("DATABASE_URL", ""),
        ("DATABASE_SECRET_ARN", ARN),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets),
    ])
}

fn place(url: &str) -> (String, u16, String, String) {
    let config: Config = url.parse().unwrap();
    let [Host::Tcp(host)] = config.get_hosts() else { panic!("{url}") };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    (host.clone(), port, config.get_user().unwrap().to_owned(), config.get_dbname().unwrap().to_owned())
}

/// A PostgreSQL that asks for the password and refuses any.
struct Postgres {
    port: u16,
    passwords: Arc<Mutex<Vec<String>>>,
}

impl Postgres {
    fn that_refuses_passwords() -> Postgres {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let passwords = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&passwords);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                read_message(&mut stream, 0);
                stream.write_all(b"R\0\0\0\x08\0\0\0\x03").unwrap();
                let password = read_message(&mut stream, 1);
                let password = String::from_utf8_lossy(&password).trim_end_matches('\0').to_owned();
                seen.lock().unwrap().push(password);
                let fields = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed\0\0";
                stream.write_all(b"E").unwrap();
                stream.write_all(&u32::try_from(fields.len() + 4).unwrap().to_be_bytes()).unwrap();
                stream.write_all(fields).unwrap();
            }
        });
        Postgres { port, passwords }
    }

    fn passwords(&self) -> Vec<String> {
        self.passwords.lock().unwrap().clone()
    }
}

/// The body of a message that begins with a tag of this number of bytes.
fn read_message(stream: &mut TcpStream, tag: usize) -> Vec<u8> {
    let mut head = vec![0; tag + 4];
    stream.read_exact(&mut head).unwrap();
    let length = u32::from_be_bytes(head[tag..].try_into().unwrap());
    let mut body = vec![0; length as usize - 4];
    stream.read_exact(&mut body).unwrap();
    body
}

/// A Secrets Manager that answers `GetSecretValue` with these values in turn; null: there is no such secret.
struct SecretsManager {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl SecretsManager {
    fn answering(answers: Vec<Value>) -> SecretsManager {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        thread::spawn(move || {
            for answer in answers {
                let (stream, _) = listener.accept().unwrap();
                let mut stream = BufReader::new(stream);
                let (mut length, mut target) = (0, String::new());
                for line in stream.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty())
                {
                    match line.to_lowercase().split_once(": ") {
                        Some(("content-length", value)) => length = value.parse().unwrap(),
                        Some(("x-amz-target", value)) => value.clone_into(&mut target),
                        _ => {}
                    }
                }
                assert_eq!(target, "secretsmanager.getsecretvalue");
                let mut body = vec![0; length];
                stream.read_exact(&mut body).unwrap();
                let request: Value = serde_json::from_slice(&body).unwrap();
                seen.lock().unwrap().push(request["SecretId"].as_str().unwrap().to_owned());
                let (status, body) = if answer.is_null() {
                    (
                        "400 Bad Request",
                        json!({"__type": "ResourceNotFoundException", "message": "not there"}),
                    )
                } else {
                    ("200 OK", json!({"ARN": ARN, "SecretString": answer.to_string()}))
                };
                let body = body.to_string();
                let length = body.len();
                write!(
                    stream.get_mut(),
                    "HTTP/1.1 {status}\r\nContent-Type: application/x-amz-json-1.1\r\n\
                     Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                )
                .unwrap();
            }
        });
        SecretsManager { url, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}
