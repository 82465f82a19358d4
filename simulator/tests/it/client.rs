//! A running simulator, and its HTTP interface.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::process::Running;
use crate::support::PATIENCE;

/// A running simulator.
pub struct Simulator {
    process: Running,
    pub url: String,
}

impl Simulator {
    /// Starts it on a free port, unless the arguments choose one.
    pub fn start(arguments: &[&str]) -> Simulator {
        Simulator::start_with(arguments, &[])
    }

    /// The same, with these variables.
    pub fn start_with(arguments: &[&str], variables: &[(&str, &str)]) -> Simulator {
        let mut all = arguments.to_vec();
        if !arguments.contains(&"--port") {
            all.extend(["--port", "0"]);
        }
        let mut process = Running::start(
            crate::support::simulate(&all)
                .envs(variables.iter().copied())
                .stderr(Stdio::inherit()),
        );
        let output = BufReader::new(process.0.stdout.take().expect("it is piped"));
        let first = output.lines().next().and_then(Result::ok);
        let first = first.expect("it says where its page is");
        let url = first
            .split(' ')
            .nth(1)
            .expect("it says where its page is")
            .to_string();
        Simulator { process, url }
    }

    /// One that has been started otherwise, with the address of its page.
    pub fn of(process: Running, url: String) -> Simulator {
        Simulator { process, url }
    }
}

impl Drop for Simulator {
    /// As Ctrl-C does, so that its bot ends too.
    fn drop(&mut self) {
        let pid = self.process.0.id().to_string();
        let _ = Command::new("kill").args(["-s", "INT", &pid]).status();
        let _ = self.process.0.wait();
    }
}

/// The status and the body, whatever they are.
pub fn try_to_post(simulator: &Simulator, path: &str, click: &Value) -> (u16, String) {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build();
    let answer = ureq::Agent::from(config)
        .post(format!("{}{path}", simulator.url))
        .header("Content-Type", "application/json")
        .send(click.to_string());
    let mut answer = answer.expect("it answers");
    let body = answer.body_mut().read_to_string().expect("it is text");
    (answer.status().as_u16(), body)
}

pub fn post(simulator: &Simulator, path: &str, click: &Value) {
    let answer = ureq::post(format!("{}{path}", simulator.url))
        .header("Content-Type", "application/json")
        .send(click.to_string());
    assert!(answer.is_ok(), "{path}: {answer:?}");
}

/// Waits until the news since the start are as wanted, and returns them.
pub fn wait_for_news(simulator: &Simulator, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    let mut asked = String::new();
    loop {
        // The answer comes at once the first time, then when there is something new.
        let wait = ureq::get(format!("{}log?{asked}", simulator.url)).call();
        wait.expect("the page's address answers");
        let all = ureq::get(format!("{}log", simulator.url)).call();
        let all = all.expect("the page's address answers").into_body();
        let news: Value = serde_json::from_reader(all.into_reader()).expect("it is JSON");
        if wanted(&news) {
            return news;
        }
        assert!(Instant::now() < deadline, "{news:#}");
        let instance = news["instance"].as_str().expect("it is a text");
        asked = format!("instance={instance}&after={}", news["version"]);
    }
}

/// The texts that the bot has sent.
pub fn echoes(news: &Value) -> Vec<&str> {
    let messages = news["messages"].as_array().into_iter().flatten();
    let of_bot = messages.filter(|message| message["bot"] == true);
    of_bot
        .filter_map(|message| message["text"].as_str())
        .collect()
}

pub fn exchanges<'a>(news: &'a Value, what: &'static str) -> impl Iterator<Item = &'a Value> {
    let exchanges = news["exchanges"].as_array().into_iter().flatten();
    exchanges.filter(move |exchange| exchange["what"] == what)
}
