//! The tutorial: the Flask app under gunicorn with one worker, as it is put on Heroku.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use echobot::simulator::{PAGE_ACCESS_TOKEN, VERIFY_TOKEN};

use crate::program::Program;

/// From the Python Package Index.
const PACKAGES: [&str; 3] = ["flask==3.1.1", "gunicorn==23.0.0", "requests==2.32.4"];

/// Makes sure that all it needs is in `target/tutorial`.
pub(crate) fn install() -> Result<(), String> {
    if gunicorn().exists() {
        return Ok(());
    }
    let home = home();
    run(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
    let install = ["install", "--quiet", "--disable-pip-version-check"];
    run(Command::new(home.join("bin/pip"))
        .args(install)
        .args(PACKAGES))
}

/// Starts it with this Graph API.
pub(crate) fn start(graph: SocketAddr) -> Program {
    let mut command = Command::new("sh");
    command
        // gunicorn says on stderr where it listens.
        .args([
            "-c",
            r#"exec "$0" --bind 127.0.0.1:0 --chdir "$1" tutorial:app 2>&1"#,
        ])
        .arg(gunicorn())
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches"))
        .env("GRAPH_URL", format!("http://{graph}"))
        .env("PAGE_ACCESS_TOKEN", PAGE_ACCESS_TOKEN)
        .env("VERIFY_TOKEN", VERIFY_TOKEN)
        // No folder of compiled Python in the repository.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdout(Stdio::piped());
    Program::start(&mut command)
}

fn home() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("tutorial")
}

fn gunicorn() -> PathBuf {
    home().join("bin/gunicorn")
}

fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?} failed: {status}")),
        Err(error) => Err(format!("{command:?} failed: {error}")),
    }
}
