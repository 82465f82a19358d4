//! What developers of any Messenger bot need: real processes, real sockets, a real browser.

#![allow(unreachable_pub, reason = "a test binary is reached by nobody")]
#![allow(clippy::print_stdout, reason = "what was left out is said")]

mod accessibility;
mod beginners;
mod bodies;
mod browser;
mod client;
mod conversations;
mod events;
mod explanations;
mod interface;
mod libraries;
mod page;
mod page_api;
mod people;
mod process;
mod proxy;
mod refusals;
mod rules;
mod say;
mod sight;
mod support;

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};

use crate::client::{Simulator, wait_for_news};
use crate::process::Running;
use crate::support::{PATIENCE, leave_out};

const PERSON: &str = "7100200300400500";
const SECRET: &str = "my secret";

/// A bot that takes what comes, and keeps it. What it says its test says for it.
struct OtherBot {
    url: String,
    received: Arc<Mutex<Vec<Received>>>,
    status: Arc<AtomicU16>,
}

#[derive(Clone)]
struct Received {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl OtherBot {
    fn start() -> OtherBot {
        let server = tiny_http::Server::http("127.0.0.1:0").expect("there is a free port");
        let url = format!("http://{}/webhook", server.server_addr());
        let (received, status) = (
            Arc::<Mutex<Vec<Received>>>::default(),
            Arc::new(AtomicU16::new(200)),
        );
        let bot = OtherBot {
            url,
            received: Arc::clone(&received),
            status: Arc::clone(&status),
        };
        thread::spawn(move || {
            for mut request in server.incoming_requests() {
                let query = request
                    .url()
                    .split_once('?')
                    .map_or("", |(_, query)| query)
                    .to_string();
                let challenge = query
                    .split("hub.challenge=")
                    .nth(1)
                    .unwrap_or("ok")
                    .to_string();
                let mut body = Vec::new();
                let _ = request.as_reader().read_to_end(&mut body);
                let headers = request.headers().iter();
                let headers =
                    headers.map(|header| (header.field.to_string(), header.value.to_string()));
                let headers = headers.collect();
                let mut answer = tiny_http::Response::from_string(challenge);
                if *request.method() == tiny_http::Method::Post {
                    let status = status.load(Ordering::SeqCst);
                    answer = tiny_http::Response::from_string("taken").with_status_code(status);
                    received
                        .lock()
                        .expect("nobody panics with it")
                        .push(Received { headers, body });
                }
                let _ = request.respond(answer);
            }
        });
        bot
    }

    /// Waits for so many webhooks, and returns them.
    fn wait(&self, count: usize) -> Vec<Received> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let received = self.received.lock().expect("nobody panics with it").clone();
            if received.len() >= count {
                return received;
            }
            assert!(
                Instant::now() < deadline,
                "{} of {count} webhooks came",
                received.len()
            );
            thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    fn arguments<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let mut all = vec![
            "--webhook",
            &self.url,
            "--verify-token",
            "my token",
            "--app-secret",
            SECRET,
        ];
        all.extend(more);
        all
    }
}

impl Received {
    fn header(&self, name: &str) -> &str {
        let mut headers = self.headers.iter();
        let header = headers.find(|(other, _)| other.eq_ignore_ascii_case(name));
        header.map_or("", |(_, value)| value.as_str())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("it is JSON")
    }
}

/// A simulator with another bot, which has passed the handshake.
struct World {
    bot: OtherBot,
    simulator: Simulator,
    graph: String,
}

impl World {
    fn start() -> World {
        World::with(&[])
    }

    fn with(more: &[&str]) -> World {
        let bot = OtherBot::start();
        let simulator = Simulator::start(&bot.arguments(more));
        let news = wait_for_news(&simulator, |news| note(news, "the handshake was accepted"));
        let graph = news["graph_url"]
            .as_str()
            .expect("it has an address")
            .to_string();
        World {
            bot,
            simulator,
            graph,
        }
    }

    /// What the Graph API answers to a call with this body.
    fn call(&self, method: &str, target: &str, content_type: &str, body: &str) -> (u16, Value) {
        let url = format!("{}{target}", self.graph);
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build();
        let agent = ureq::Agent::from(config);
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(url)
            .header("Content-Type", content_type)
            .body(body.to_string());
        let answer = agent.run(request.expect("it is a request"));
        let answer = answer.expect("the Graph API answers");
        let status = answer.status().as_u16();
        let answer = serde_json::from_reader(answer.into_body().into_reader());
        (status, answer.unwrap_or_default())
    }

    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let target = format!("/v26.0{path}?access_token=mine");
        self.call("POST", &target, "application/json", &body.to_string())
    }

    fn get(&self, target: &str) -> (u16, Value) {
        self.call("GET", target, "", "")
    }

    /// The bot says this to the person.
    fn send(&self, message: Value) -> (u16, Value) {
        let call =
            json!({"recipient": {"id": PERSON}, "messaging_type": "RESPONSE", "message": message});
        self.post("/me/messages", &call)
    }

    fn news(&self) -> Value {
        wait_for_news(&self.simulator, |_| true)
    }
}

/// Whether the log has a note with these words.
fn note(news: &Value, words: &str) -> bool {
    let mut notes = crate::client::exchanges(news, "note");
    notes.any(|note| {
        note["request"]
            .as_str()
            .is_some_and(|note| note.contains(words))
    })
}

/// A simulator that has not got its bot yet, and what it says on stderr.
fn simulate(arguments: &[&str]) -> (Running, BufReader<std::process::ChildStderr>) {
    let mut process = Running::start(support::simulate(arguments).stderr(Stdio::piped()));
    let told = BufReader::new(process.0.stderr.take().expect("it is piped"));
    (process, told)
}

/// Reads until a line has these words.
fn wait_for_line(told: &mut impl BufRead, words: &str) -> String {
    let mut all = String::new();
    loop {
        let mut line = String::new();
        let read = told.read_line(&mut line).expect("it is text");
        assert_ne!(read, 0, "no {words:?} in\n{all}");
        all += &line;
        if line.contains(words) {
            return line;
        }
    }
}
