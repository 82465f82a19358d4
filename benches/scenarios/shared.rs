//! The shared outbox beside the other two, and how long another process takes to take over.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::Round;
use super::ceiling::{Outcome, at, run_through};
use crate::echo_log::EchoLog;
use crate::graph_api::GraphApi;
use crate::load::Line;
use crate::messages::Messages;
use crate::program::{Directory, Program, cpu};
use crate::results::Measured;

const START: Duration = Duration::from_secs(10);

pub(super) fn run(round: &mut Round<'_>) -> Vec<Measured> {
    let seconds = round.plan.count(10, 1);
    let (directory, server) = (Directory::new(), RedisServer::start());
    let memory = run_through(seconds, |graph| Program::echobot(graph, &[]));
    let disk = run_through(seconds, |graph| {
        Program::echobot(graph, &[directory.setting()])
    });
    let before = server.cpu();
    let shared = run_through(seconds, |graph| {
        Program::echobot(graph, &[server.setting()])
    });
    let of_server = (server.cpu() - before).as_secs_f64() * 1e6 / shared.echoed.len() as f64;
    let mut found = Vec::new();
    for (name, outcome) in [
        ("in memory", &memory),
        ("on disk", &disk),
        ("shared", &shared),
    ] {
        found.extend(told(name, outcome));
    }
    found.push(Measured::new(
        "shared: CPU per echo of redis-server",
        of_server,
        "µs",
    ));
    found
        .push(Measured::new("taken over after a stop", take_over(Program::stop), "s").at_most(1.0));
    if !round.plan.quick {
        let killed = take_over(|program| {
            drop(program);
            String::new()
        });
        found.push(Measured::new("taken over after a kill", killed, "s").at_most(15.5));
    }
    found
}

fn told(name: &str, outcome: &Outcome) -> [Measured; 3] {
    let p99 = Measured::new(
        format!("{name}: acknowledged: p99"),
        at(&outcome.acknowledged, 0.99),
        "ms",
    );
    [
        Measured::new(
            format!("{name}: acknowledged: median"),
            at(&outcome.acknowledged, 0.5),
            "ms",
        ),
        match name {
            "shared" => p99.at_most(25.0),
            _ => p99,
        },
        Measured::new(format!("{name}: CPU per echo"), outcome.cpu, "µs"),
    ]
}

/// Seconds from the end of the process that sends to the first echo of another.
fn take_over(end: impl FnOnce(Program) -> String) -> f64 {
    let server = RedisServer::start();
    let messages = Messages {
        count: 2,
        people: 2,
        per_webhook: 1,
    };
    let echo_log = Arc::new(EchoLog::new(&messages));
    let graph = GraphApi::open(&echo_log, Duration::ZERO);
    let webhooks = messages.requests();
    let first = Program::echobot(graph.address(), &[server.setting()]);
    Line::new(first.address()).deliver(&webhooks[0]);
    echo_log.wait_for(1);
    server.wait_until_nothing_is_owed();
    let second = Program::echobot(graph.address(), &[server.setting()]);
    end(first);
    let ended = Instant::now();
    Line::new(second.address()).deliver(&webhooks[1]);
    echo_log.wait_for(2);
    let took = echo_log.answered_at(1) - ended;
    echo_log.check(second);
    took.as_secs_f64()
}

/// A server where a 200 is as safe as on disk. It is killed when this is dropped.
struct RedisServer {
    process: Child,
    address: SocketAddr,
    _data: Directory,
}

impl RedisServer {
    fn start() -> RedisServer {
        let data = Directory::new();
        let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let address = free.expect("loopback has ports");
        let mut command = Command::new("redis-server");
        command.args([
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
        ]);
        command.args([
            "--port",
            &address.port().to_string(),
            "--dir",
            &data.setting().1,
        ]);
        let process = command.stdout(Stdio::null()).spawn();
        let process = process.expect("redis-server starts: install it first");
        let deadline = Instant::now() + START;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "redis-server does not listen");
            thread::sleep(Duration::from_millis(5));
        }
        RedisServer {
            process,
            address,
            _data: data,
        }
    }

    fn setting(&self) -> (&'static str, String) {
        ("REDIS_URL", format!("redis://{}", self.address))
    }

    fn wait_until_nothing_is_owed(&self) {
        let mut stream = TcpStream::connect(self.address).expect("the server listens");
        let mut answer = [0; 4];
        while answer != *b":0\r\n" {
            let asked = stream.write_all(b"XLEN {echobot}:log\r\n");
            asked.expect("the server listens");
            stream.read_exact(&mut answer).expect("the server answers");
        }
    }

    fn cpu(&self) -> Duration {
        cpu(&self.process.id().to_string())
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
