//! deploy/Containerfile, built and run by buildah.

use std::process::{Command, Stdio};

use echobot::simulator::{Bot, Messenger, Reply, text_message, webhook};

use super::{STATIC_FILE, block, built, leave_out};
use crate::graph_api::GraphApi;
use crate::process::run;
use crate::support::{Directory, PATIENCE, copy_program};

/// buildah with images in a directory of its own. With `chroot` it needs no daemon, no cgroups and no bridge.
fn buildah(storage: &Directory) -> Command {
    let mut command = Command::new("buildah");
    command.args(["--root", &format!("{}/root", storage.text())]);
    command.args(["--runroot", &format!("{}/run", storage.text())]);
    command
        .args(["--storage-driver", "vfs"])
        .env("BUILDAH_ISOLATION", "chroot");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[test]
fn the_container_echoes_and_its_outbox_is_in_the_volume_and_not_roots() {
    let Some(program) = built(STATIC_FILE) else {
        return leave_out("the container", ".ci/run builds the static file");
    };
    if Command::new("buildah").arg("--version").output().is_err() {
        return leave_out("the container", "install buildah");
    }
    // The guide's own commands, in a copy of what they name.
    let repository = Directory::new("containers-repository");
    let release = repository
        .path()
        .join("target/x86_64-unknown-linux-musl/release");
    std::fs::create_dir_all(&release).expect("a directory can be made");
    copy_program(&program, &release);
    std::fs::create_dir(repository.path().join("deploy")).expect("a directory can be made");
    repository.file(
        "deploy/Containerfile",
        include_bytes!("../../../deploy/Containerfile"),
    );
    let storage = Directory::new("containers-storage");
    let buildah_line = format!(
        "buildah --root {0}/root --runroot {0}/run --storage-driver vfs build",
        storage.text()
    );
    let guide = include_str!("../../../deploy/README.md");
    let script = block(guide, "podman build").replace("podman build", &buildah_line);
    let mut bash = Command::new("bash");
    bash.args(["-euc", &script]).current_dir(repository.path());
    bash.env("BUILDAH_ISOLATION", "chroot").stdin(Stdio::null());
    let made = run(bash.stdout(Stdio::piped()).stderr(Stdio::piped()));
    assert_eq!(made.code, Some(0), "{}{}", made.stdout, made.stderr);

    let container = run(buildah(&storage).args(["from", "echobot"]));
    assert_eq!(container.code, Some(0), "{}", container.stderr);
    let container = container.stdout.trim();
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    // The container ends with its process 1.
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork", "--kill-child", "--mount-proc", "buildah"]);
    unshare
        .args(buildah(&storage).get_args())
        .env("BUILDAH_ISOLATION", "chroot")
        .arg("run");
    let settings = Bot::command(&program, &[("GRAPH_URL", graph_api.url())]);
    for (name, value) in settings.get_envs() {
        let value = value.unwrap_or_default().to_string_lossy();
        unshare.args(["--env", &format!("{}={value}", name.to_string_lossy())]);
    }
    unshare
        .args([container, "--", "/echobot"])
        .stdin(Stdio::null());
    let bot = Bot::run(unshare.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let bot = bot.unwrap_or_else(|error| panic!("{error}"));
    assert!(
        bot.log().contains("the outbox is in /data"),
        "{}",
        bot.log()
    );
    let body = webhook("page", &[text_message("7", "m_1", "hello")]);
    let answer = Messenger::new(&bot.url()).deliver(&body);
    assert_eq!(answer.expect("it answers").status, 200, "{}", bot.log());
    assert_eq!(graph_api.wait_for_calls(1, PATIENCE)[0].text, "hello");
    let mut find = Command::new("find");
    find.args([storage.text(), "-name", "outbox.redb", "-printf", "%U\n"]);
    let found = find.output().expect("find can be run");
    assert_eq!(
        String::from_utf8_lossy(&found.stdout),
        "65534\n",
        "it is not root's"
    );
}
