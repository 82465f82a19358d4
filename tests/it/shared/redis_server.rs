//! A real Redis or Valkey on a free port, with its data in a directory of its own.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Directory, PATIENCE};

/// What makes a 200 as safe as on a disk of one's own.
pub const SAFE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

pub struct RedisServer {
    process: Child,
    port: u16,
    options: Vec<String>,
    data: Directory,
}

/// Whether one is installed.
pub fn is_installed() -> bool {
    let asked = Command::new("redis-server").arg("--version").output();
    asked.is_ok_and(|output| output.status.success())
}

impl RedisServer {
    pub fn start(options: &[&str]) -> RedisServer {
        let data = Directory::new("redis");
        let port = free_port();
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        let mut server = RedisServer {
            process: spawn(port, &options, &data),
            port,
            options,
            data,
        };
        server.wait();
        server
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sends a signal (`STOP`, `CONT`) to it.
    pub fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.expect("kill can be run").success());
    }

    /// Sends it commands as they go over the network.
    pub fn feed(&self, commands: &[u8]) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.write_all(commands).expect("it reads");
        stream.write_all(b"QUIT\r\n").expect("it reads");
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        read.expect("it answers");
        assert!(!answer.contains("-ERR"), "{answer}");
    }

    /// What it answers to a command in one line.
    pub fn ask(&self, command: &str) -> String {
        self.try_to_ask(command).expect("the server answers")
    }

    fn try_to_ask(&self, command: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "{command}\r\nQUIT\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Without a warning.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// After it was killed, with the data that it has on its disk.
    pub fn start_again(&mut self) {
        self.process = spawn(self.port, &self.options, &self.data);
        self.wait();
    }

    fn wait(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        // Whatever it answers, it is there.
        while !self
            .try_to_ask("PING")
            .is_ok_and(|answer| !answer.contains("LOADING"))
        {
            assert!(Instant::now() < deadline, "redis-server does not start");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(port: u16, options: &[String], data: &Directory) -> Child {
    let mut command = Command::new("redis-server");
    command
        .args(["--bind", "127.0.0.1", "--save", "", "--dir"])
        .arg(data.path());
    command.arg("--port").arg(port.to_string()).args(options);
    let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    process.expect("redis-server starts")
}

/// Free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    listener.local_addr().expect("it has an address").port()
}
