//! Heroku without Heroku: app.json, and the Procfile's own line in Heroku's environment.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use echobot::simulator::{
    APP_SECRET, Messenger, PAGE_ACCESS_TOKEN, Reply, VERIFY_TOKEN, text_message, webhook,
};
use serde_json::{Map, Value};

use super::built;
use crate::graph_api::GraphApi;
use crate::process::Running;
use crate::support::{Directory, PATIENCE, program};

/// Heroku waits for 60 s. This is what the bot needs at most; other tests run beside this one.
const BOUND_WITHIN: Duration = Duration::from_secs(1);

/// Heroku kills after this time.
const KILLED_AFTER: Duration = Duration::from_secs(30);

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("there is a free port");
    listener.local_addr().expect("it is bound").port()
}

/// The Procfile's own line, as a dyno runs it.
fn dyno(directory: &Directory, port: u16, graph_url: &str) -> Command {
    let release = built("release/echobot");
    let program = release.as_deref().unwrap_or(program());
    let slug = directory.path().join("target/release");
    std::fs::create_dir_all(&slug).expect("a directory can be made");
    std::os::unix::fs::symlink(program, slug.join("echobot")).expect("a link can be made");
    let procfile = include_str!("../../../Procfile");
    let line = procfile
        .trim()
        .strip_prefix("web: ")
        .expect("it is a web process");
    let mut command = Command::new("bash");
    command
        .args(["--login", "-c", line])
        .current_dir(directory.path())
        .env_clear()
        .env("HOME", directory.path())
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("PORT", port.to_string())
        .env("DYNO", "web.1")
        .env("DYNO_RAM", "512")
        .env("LANG", "en_US.UTF-8")
        .env("PS1", "~ $ ")
        .env("PAGE_ACCESS_TOKEN", PAGE_ACCESS_TOKEN)
        .env("VERIFY_TOKEN", VERIFY_TOKEN)
        .env("APP_SECRET", APP_SECRET)
        .env("GRAPH_URL", graph_url)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// As Heroku does: to every process of the dyno.
fn terminate(dyno: &Running) {
    let group = format!("-{}", dyno.0.id());
    let sent = Command::new("kill")
        .args(["-s", "TERM", "--", &group])
        .status();
    assert!(sent.expect("kill can be run").success());
}

fn is_bound(address: impl Into<SocketAddr>) -> bool {
    let address = address.into();
    let Ok(mut stream) = TcpStream::connect_timeout(&address, PATIENCE) else {
        return false;
    };
    let mut answer = String::new();
    let asked = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.ends_with("ok")
}

#[test]
fn a_dyno_is_bound_within_a_second_and_drains_on_many_sigterms() {
    let directory = Directory::new("dyno");
    let graph_api = GraphApi::start(|_| Reply::deliver().after(Duration::from_millis(800)))
        .expect("the Graph API starts");
    let port = free_port();
    let start = Instant::now();
    let mut dyno = Running::start(&mut dyno(&directory, port, &graph_api.url()));
    let output = BufReader::new(dyno.0.stdout.take().expect("it is piped"));
    let mut lines = output.lines().map_while(Result::ok);
    let listens = lines.find(|line| line.contains("listening on"));
    let took = start.elapsed();
    assert!(listens.is_some(), "it listens");
    println!("bound after {took:?}");
    assert!(took < BOUND_WITHIN, "{took:?}");
    assert!(is_bound((Ipv4Addr::LOCALHOST, port)), "IPv4");
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        assert!(is_bound((Ipv6Addr::LOCALHOST, port)), "IPv6");
    } else {
        println!("left out: IPv6; this machine has none");
    }

    let messenger = Messenger::new(&format!("http://127.0.0.1:{port}/"));
    let start = std::thread::scope(|scope| {
        let say = |n: usize| {
            let text = n.to_string();
            let body = webhook("page", &[text_message(&text, &text, &text)]);
            messenger.deliver(&body).map(|answer| answer.status)
        };
        let clients: Vec<_> = (0..5).map(|n| scope.spawn(move || say(n))).collect();
        let calls = graph_api.wait_for_calls(5, PATIENCE);
        assert_eq!(calls.len(), 5, "they are under way");
        for _ in 0..5 {
            terminate(&dyno);
        }
        let start = Instant::now();
        for client in clients {
            let status = client.join().expect("it only delivers");
            assert!(matches!(status, Ok(200)), "{status:?}");
        }
        start
    });
    assert!(lines.any(|line| line.contains("nothing is owed")));
    let deadline = start + KILLED_AFTER;
    while let Ok(None) = dyno.0.try_wait() {
        assert!(Instant::now() < deadline, "Heroku would kill it");
    }
    println!("drained after {:?}", start.elapsed());
}

/// The fields of <https://devcenter.heroku.com/articles/app-json-schema> that are used, by type.
#[test]
fn app_json_is_what_heroku_expects() {
    let app: Value = serde_json::from_str(include_str!("../../../app.json")).expect("it is JSON");
    let app = object(&app);
    assert_fields(
        app,
        &["name", "description", "success_url"],
        &["keywords", "env", "addons", "formation", "buildpacks"],
    );
    assert!(
        app["keywords"]
            .as_array()
            .is_some_and(|words| words.iter().all(Value::is_string))
    );
    for (name, variable) in object(&app["env"]) {
        let variable = object(variable);
        let is_known = |field: &String| {
            ["description", "value", "required", "generator"].contains(&field.as_str())
        };
        assert!(variable.keys().all(is_known), "{name}");
        assert!(variable["description"].is_string(), "{name}");
        assert!(
            variable.get("required").is_none_or(Value::is_boolean),
            "{name}"
        );
        assert!(
            variable
                .get("generator")
                .is_none_or(|generator| generator == "secret")
        );
        assert!(variable.get("value").is_none_or(Value::is_string), "{name}");
        let readme = include_str!("../../../README.md");
        assert!(
            readme.contains(&format!("\n| `{name}` |")),
            "{name} is a setting"
        );
    }
    assert_eq!(app["env"]["VERIFY_TOKEN"]["generator"], "secret");
    assert_eq!(
        app["formation"],
        serde_json::json!({"web": {"quantity": 1, "size": "basic"}})
    );
    assert_eq!(
        app["addons"],
        serde_json::json!([{"plan": "heroku-redis:mini"}])
    );
    assert_eq!(app["buildpacks"], serde_json::json!([{"url": "emk/rust"}]));
    let success = app["success_url"].as_str().unwrap_or_default();
    assert!(success.starts_with('/'), "a path of the app");
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().expect("it is an object")
}

fn assert_fields(app: &Map<String, Value>, texts: &[&str], others: &[&str]) {
    assert!(texts.iter().all(|name| app[*name].is_string()));
    let all: Vec<&str> = texts.iter().chain(others).copied().collect();
    assert!(app.keys().all(|name| all.contains(&name.as_str())));
    assert_eq!(app.len(), all.len());
}

#[test]
fn the_buildpack_takes_the_rust_that_everybody_takes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = std::fs::read_to_string(root.join("RustConfig")).expect("it is there");
    let version = config
        .lines()
        .find_map(|line| line.strip_prefix("VERSION="));
    let toolchain = include_str!("../../../rust-toolchain.toml");
    let channel = format!("channel = {:?}\n", version.unwrap_or_default());
    assert!(toolchain.contains(&channel), "{channel}");
}
