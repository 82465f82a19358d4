//! nginx and Caddy as they are installed, with the files in deploy/, and curl as the client.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use echobot::simulator::Messenger;

use super::leave_out;
use crate::process::Running;
use crate::support::{Directory, PATIENCE};

const NAME: &str = "bot.example.org";

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Nginx,
    Caddy,
}

/// A proxy with a certificate of its own, before a bot.
pub struct Proxy {
    port: u16,
    directory: Directory,
    _process: Running,
}

impl Proxy {
    /// None where one of the programs is missing.
    pub fn start(kind: Kind, bot: &str) -> Option<Proxy> {
        let directory = Directory::new("proxy");
        let certified = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
            .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-subj", &format!("/CN={NAME}")])
            .args(["-addext", &format!("subjectAltName=DNS:{NAME}")])
            .args(["-keyout", "key.pem", "-out", "cert.pem"])
            .current_dir(directory.path())
            .output();
        if !certified.is_ok_and(|output| output.status.success()) {
            leave_out("a proxy", "install openssl");
            return None;
        }
        for _ in 0..5 {
            let port = free_port();
            let mut command = match kind {
                Kind::Nginx => nginx(&directory, port, bot),
                Kind::Caddy => caddy(&directory, port, bot),
            };
            let log = std::fs::File::create(directory.path().join("log")).expect("it is ours");
            let copy = log.try_clone().expect("a file can be duplicated");
            let spawned = command
                .stdin(Stdio::null())
                .stdout(log)
                .stderr(copy)
                .spawn();
            let Ok(process) = spawned else {
                leave_out("a proxy", "install curl, nginx-light and caddy");
                return None;
            };
            if let Some(process) = listening(process, port) {
                return Some(Proxy {
                    port,
                    directory,
                    _process: process,
                });
            }
        }
        let log = std::fs::read_to_string(directory.path().join("log"));
        panic!("the proxy does not listen: {}", log.unwrap_or_default());
    }

    /// A TCP connection to it.
    pub fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).expect("the proxy listens")
    }

    /// A client that begins a request over TLS, and then waits.
    pub fn begin(&self, request: &str) -> Waiting {
        let mut client = Command::new("openssl")
            .args(["s_client", "-quiet", "-servername", NAME, "-connect"])
            .arg(format!("127.0.0.1:{}", self.port))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl runs");
        let mut input = client.stdin.take().expect("it is piped");
        input.write_all(request.as_bytes()).expect("openssl reads");
        Waiting {
            client: Running(client),
            _input: input,
        }
    }

    /// A file that curl can send.
    pub fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        self.directory.file(name, content)
    }

    /// curl, which prints the answer's body and its status, each on a line.
    pub fn curl(&self, target: &str) -> Command {
        let port = self.port;
        let mut command = Command::new("curl");
        command
            .args(["-s", "--noproxy", "*", "--max-time", "30"])
            .args(["-w", "\n%{http_code}"])
            .args(["--resolve", &format!("{NAME}:{port}:127.0.0.1")])
            .arg("--cacert")
            .arg(self.directory.path().join("cert.pem"))
            .arg(format!("https://{NAME}:{port}{target}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// curl with a webhook, signed.
    pub fn webhook(&self, body: &[u8]) -> Command {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("webhook-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let file = self.file(&name, body);
        let mut command = self.curl("/");
        for (name, value) in Messenger::new("").headers(body) {
            command.args(["-H", &format!("{name}: {value}")]);
        }
        command.arg("--data-binary");
        command.arg(format!("@{}", file.display()));
        command
    }
}

/// A client that waits for the other side to end the connection.
pub struct Waiting {
    client: Running,
    _input: ChildStdin,
}

impl Waiting {
    /// Waits until the connection is ended.
    pub fn end(mut self) {
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.client.0.try_wait(), Ok(None)) {
            assert!(Instant::now() < deadline, "the connection is kept");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Runs curl; the answer's status and body. The status is 0 when there was no answer.
pub fn answer(command: &mut Command) -> (u16, String) {
    let output = command.output().expect("curl runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = said.rsplit_once('\n').unwrap_or(("", &said));
    (status.parse().unwrap_or_default(), body.to_string())
}

/// Outside the range that outgoing connections take.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let candidates = std::iter::repeat_with(|| {
        let offset = std::process::id() + NEXT.fetch_add(1, Ordering::Relaxed);
        u16::try_from(10_000 + offset % 10_000).unwrap_or_default()
    });
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let mut free = candidates.take(1000).filter(is_free);
    free.next().expect("there is a free port")
}

/// The process, when it listens; none when it has ended.
fn listening(process: Child, port: u16) -> Option<Running> {
    let mut process = Running(process);
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline && matches!(process.0.try_wait(), Ok(None)) {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Some(process);
        }
        thread::sleep(Duration::from_millis(10));
    }
    None
}

/// The text with these parts replaced, each of which must be there.
fn replaced(text: &str, parts: &[(&str, &str)]) -> String {
    parts.iter().fold(text.to_string(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is missing");
        text.replace(from, to)
    })
}

fn caddy(directory: &Directory, port: u16, bot: &str) -> Command {
    let path = directory.text();
    let file = replaced(
        include_str!("../../../deploy/Caddyfile"),
        &[
            // Loopback and one port only.
            (
                "{\n\tservers {",
                "{\n\tadmin off\n\tdefault_bind 127.0.0.1\n\tauto_https disable_redirects\n\tservers {",
            ),
            ("\nbot.example.org {", &format!("\n{NAME}:{port} {{")),
            (
                "# tls /etc/ssl/echobot/fullchain.pem /etc/ssl/echobot/privkey.pem",
                &format!("tls {path}/cert.pem {path}/key.pem"),
            ),
            ("127.0.0.1:5000", bot),
        ],
    );
    let file = match bot.contains(' ') {
        true => replaced(&file, &[("# fail_duration", "fail_duration")]),
        false => file,
    };
    let file = directory.file("Caddyfile", file.as_bytes());
    let mut command = Command::new("caddy");
    command
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(file)
        .envs(["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"].map(|name| (name, path)));
    command
}

fn nginx(directory: &Directory, port: u16, bot: &str) -> Command {
    let path = directory.text();
    let certificates = "/etc/letsencrypt/live/bot.example.org";
    let site = replaced(
        include_str!("../../../deploy/nginx.conf"),
        &[
            ("listen 443 ssl;", &format!("listen 127.0.0.1:{port} ssl;")),
            ("    listen [::]:443 ssl;\n", ""),
            (
                &format!("{certificates}/fullchain.pem"),
                &format!("{path}/cert.pem"),
            ),
            (
                &format!("{certificates}/privkey.pem"),
                &format!("{path}/key.pem"),
            ),
            ("127.0.0.1:5000", bot),
        ],
    );
    directory.file("site.conf", site.as_bytes());
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {path}/{what};\n"))
        .concat();
    // One process, which ends when it is killed.
    let main = format!(
        "daemon off;\nmaster_process off;\npid {path}/pid;\nerror_log stderr;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\naccess_log off;\n{temporary}include {path}/site.conf;\n}}\n"
    );
    let main = directory.file("main.conf", main.as_bytes());
    let mut command = Command::new("nginx");
    // Debian has it where only root looks.
    let search = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
    command.env("PATH", search).arg("-e").arg("stderr");
    command.arg("-p").arg(path).arg("-c").arg(main);
    command
}
