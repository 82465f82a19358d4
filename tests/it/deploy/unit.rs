//! The systemd unit, its drop-in for several pages, and what deploy/README.md says to run with its settings.

use std::process::{Command, Output, Stdio};

use echobot::simulator::{APP_SECRET, PAGE_ACCESS_TOKEN, Reply, VERIFY_TOKEN};

use super::leave_out;
use crate::graph_api::GraphApi;
use crate::process::run;
use crate::support::{Directory, program};

/// The unit as it is, but for the program's place.
fn unit(directory: &Directory) -> String {
    let unit = include_str!("../../../deploy/echobot.service");
    let place = "ExecStart=echobot\n";
    assert!(unit.contains(place));
    let unit = unit.replace(place, &format!("ExecStart={}\n", program().display()));
    let path = directory.file("echobot.service", unit.as_bytes());
    path.to_str().expect("the path is Unicode").to_string()
}

/// Nothing is said of the unit.
#[track_caller]
fn assert_understood(verified: &Output) {
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && said.is_empty(), "{said}");
}

#[test]
fn the_units_of_several_pages_share_one_text() {
    let directory = Directory::new("units");
    let unit = std::fs::read(unit(&directory)).expect("it was written");
    std::fs::create_dir(directory.path().join("echobot@.service.d")).expect("it can be made");
    let drop_in = include_bytes!("../../../deploy/several-pages.conf");
    directory.file("echobot@.service.d/several-pages.conf", drop_in);
    directory.file("echobot@.service", &unit);
    let mut analyze = Command::new("systemd-analyze");
    analyze.env("SYSTEMD_UNIT_PATH", format!("{}:", directory.text()));
    let path = directory.path().join("echobot@shop.service");
    std::os::unix::fs::symlink("echobot@.service", &path).expect("a link can be made");
    let Ok(verified) = analyze.args(["verify", "--man=no"]).arg(&path).output() else {
        return leave_out("the systemd unit", "there is no systemd-analyze");
    };
    assert_understood(&verified);
}

#[test]
fn the_unit_with_a_shared_outbox_is_understood() {
    let directory = Directory::new("shared-unit");
    let unit = unit(&directory);
    std::fs::create_dir(directory.path().join("echobot.service.d")).expect("it can be made");
    let drop_in = include_bytes!("../../../deploy/shared-outbox.conf");
    directory.file("echobot.service.d/shared-outbox.conf", drop_in);
    let mut analyze = Command::new("systemd-analyze");
    analyze.env("SYSTEMD_UNIT_PATH", format!("{}:", directory.text()));
    let Ok(verified) = analyze.args(["verify", "--man=no", &unit]).output() else {
        return leave_out("the systemd unit", "there is no systemd-analyze");
    };
    assert_understood(&verified);
}

/// What deploy/README.md says for `setup` and `check` with the service's own settings.
#[test]
fn check_runs_with_the_services_own_settings() {
    let etc = Directory::new("etc");
    let data = Directory::new("service-data");
    for (name, secret) in [
        ("page_access_token", PAGE_ACCESS_TOKEN),
        ("verify_token", VERIFY_TOKEN),
        ("app_secret", APP_SECRET),
    ] {
        etc.file(name, secret.as_bytes());
    }
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let environment = format!("GRAPH_URL={}\nWEBHOOK_PATH=/hook\n", graph_api.url());
    etc.file("environment", environment.as_bytes());
    let readme = include_str!("../../../deploy/README.md");
    let line = readme
        .lines()
        .find(|line| line.starts_with("sudo sh -c 'set -a;"));
    let line = line
        .expect("the README has the line")
        .trim_start_matches("sudo ");
    let line = line
        .replace("/etc/echobot", etc.text())
        .replace("/var/lib/echobot", data.text())
        .replace("exec echobot", &format!("exec {}", program().display()));
    let mut command = Command::new("sh");
    command
        .args(["-c", &line])
        .env_clear()
        .env("PATH", "/usr/bin:/bin");
    let ended = run(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    assert!(
        ended.stdout.contains("✓ page: "),
        "{}{}",
        ended.stdout,
        ended.stderr
    );
}

#[test]
fn the_unit_is_understood_and_gives_little_away() {
    let directory = Directory::new("unit");
    let path = unit(&directory);
    let analyze = |arguments: &[&str]| {
        let mut command = Command::new("systemd-analyze");
        command.args(arguments).arg(&path).output().ok()
    };
    let Some(verified) = analyze(&["verify", "--man=no"]) else {
        return leave_out("the systemd unit", "there is no systemd-analyze");
    };
    assert_understood(&verified);
    // The exposure, times ten.
    let secured = analyze(&["security", "--offline=true", "--no-pager", "--threshold=15"]);
    let secured = secured.expect("it ran before");
    let said = String::from_utf8_lossy(&secured.stdout);
    assert!(secured.status.success(), "{said}");
    println!("{}", said.lines().last().unwrap_or_default());
}
