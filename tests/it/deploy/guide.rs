//! The commands of deploy/README.md and deploy/README.Debian as they are written, where a systemd runs.

use std::thread;
use std::time::{Duration, Instant};

use super::machine::Machine;
use super::{STATIC_FILE, block, built, leave_out};
use crate::process::Running;
use crate::support::PATIENCE;

const GUIDE: &str = include_str!("../../../deploy/README.md");
const PACKAGES_GUIDE: &str = include_str!("../../../deploy/README.Debian");
const SECRET: &str = "0123456789abcdef\n";

/// A bot that has failed is there again within this time, other tests beside this one.
const BACK_WITHIN: Duration = Duration::from_secs(20);

/// With the unit and the static file, as the guide installs them.
fn machine() -> Option<Machine> {
    if built(STATIC_FILE).is_some_and(|program| !program.exists()) {
        panic!("build the static file first, as .ci/run does");
    }
    let machine = Machine::boot()?;
    machine.follow(&block(GUIDE, "page_access_token"), SECRET);
    Some(machine)
}

#[test]
fn the_unit_runs_as_the_guide_says_and_is_checked_with_its_own_settings() {
    let Some(machine) = machine() else { return };
    machine.assert_well("127.0.0.1:5000");
    let uid = machine.run("stat --format %u /proc/$(systemctl show --value -p MainPID echobot)");
    assert_ne!(uid.trim(), "0", "it does not run as root");
    // In /tmp systemd would remove it some day.
    machine.run("test -S /run/echobot/echobot-private-*/tiny_http");
    let rating = machine.run("systemd-analyze security echobot | tail -1");
    assert!(rating.contains(": 1.1 OK"), "the guide says 1.1: {rating}");

    // There is no Meta in this network: only that is wrong.
    let check = block(GUIDE, "DATA_DIR=/var/lib/echobot exec echobot check");
    let said = machine.run(&format!("{} || test $? = 1", check.trim_end()));
    assert!(said.contains("✓ settings"), "{said}");
    machine.run("echo MAX_PENDING=none > /etc/echobot/environment");
    let said = machine.run(&format!("{} || test $? = 1", check.trim_end()));
    assert!(said.contains("MAX_PENDING"), "{said}");

    machine.run("rm /etc/echobot/environment");
    let (_, upgrades) = GUIDE
        .split_once("\n## Upgrades")
        .expect("it has the chapter");
    machine.follow(&block(upgrades, "sudo install"), "");
    machine.assert_well("127.0.0.1:5000");
}

#[test]
fn a_bot_is_started_again_however_often_it_has_failed_but_not_with_a_wrong_setting() {
    let Some(machine) = machine() else { return };
    for n in 0..8 {
        // Since systemd 254 the pause could grow, and would then stay long.
        let signal = if n % 4 == 0 { "HUP" } else { "KILL" };
        let before = machine.property("echobot", "NRestarts");
        machine.run(&format!("systemctl kill --signal {signal} echobot"));
        let start = Instant::now();
        while machine.property("echobot", "NRestarts") == before
            || !machine.is_well("127.0.0.1:5000")
        {
            assert!(start.elapsed() < BACK_WITHIN, "{n}: {}", machine.log());
            thread::sleep(Duration::from_millis(50));
        }
    }
    let fails_for_good = |why: &str| {
        let before = machine.property("echobot", "NRestarts");
        machine.run("systemctl restart echobot; true");
        machine.wait_for("systemctl is-failed echobot");
        assert_eq!(machine.property("echobot", "SubState"), "failed", "{why}");
        assert_eq!(machine.property("echobot", "NRestarts"), before, "{why}");
    };
    machine.run("systemctl reset-failed echobot; echo PORT=none > /etc/echobot/environment");
    fails_for_good("a setting is wrong");
    machine.run("rm /etc/echobot/environment /etc/echobot/app_secret");
    fails_for_good("a credential is missing");
}

#[test]
fn several_pages_have_a_bot_each_as_the_guide_says() {
    let Some(machine) = machine() else { return };
    machine.follow(&block(GUIDE, "several-pages.conf"), SECRET);
    machine.assert_well("127.0.0.1:5000");
    machine.assert_well("127.0.0.1:5001");
    machine.run("test -d /var/lib/private/echobot-shop");
    machine.run("test -S /run/echobot-shop/echobot-private-*/tiny_http");
}

#[test]
fn the_outbox_is_shared_as_the_guide_says() {
    let Some(machine) = machine() else { return };
    let settings = GUIDE
        .split("\n```text\n")
        .find(|text| text.starts_with("bind 10.0.0.9"));
    let settings = settings.and_then(|text| text.split("\n```").next());
    let settings = settings.expect("the guide has the server's settings");
    let options = settings.lines().filter_map(|line| line.split_once(' '));
    let options = options.flat_map(|(name, value)| [format!("--{name}"), value.to_string()]);
    let mut server = machine.in_its_network("redis-server");
    let data = crate::support::Directory::new("guides-server");
    let _server = Running::start(server.args(options).args(["--dir", data.text()]));
    let deadline = Instant::now() + PATIENCE;
    let listens = || {
        let mut asked = machine.in_its_network("bash");
        asked.args(["-c", "exec 3<>/dev/tcp/10.0.0.9/6379"]);
        asked.status().is_ok_and(|status| status.success())
    };
    while !listens() {
        assert!(Instant::now() < deadline, "redis-server does not start");
        thread::sleep(Duration::from_millis(20));
    }
    let (commands, check) = block(GUIDE, "shared-outbox.conf")
        .split_once("sudo sh -c 'set -a")
        .map(|(before, check)| (before.to_string(), format!("sudo sh -c 'set -a{check}")))
        .expect("the check comes last");
    machine.follow(&commands, "redis://:PASSWORD@10.0.0.9:6379\n");
    machine.assert_well("10.0.0.1:5000");
    let said = machine.run(&format!("{} || test $? = 1", check.trim_end()));
    assert!(
        said.contains("a 200 survives the loss of the server"),
        "{said}"
    );
}

/// And what a purge leaves.
#[test]
fn the_package_is_used_as_its_guide_says_and_removed_again() {
    let Some(package) = built("debian/echobot.deb") else {
        return leave_out("the Debian package", ".ci/run makes and tests it");
    };
    assert!(package.exists(), "deploy/package makes it");
    let Some(machine) = Machine::boot() else {
        return;
    };
    machine.run("cp target/debian/echobot.deb /root/echobot_0_amd64.deb");
    machine.run(&format!(
        "cd /root; {}",
        block(GUIDE, "apt install").replace("apt install", "apt install --yes")
    ));
    assert_eq!(machine.run("echobot simulate --say hello"), "hello\n");
    assert_ne!(
        machine.run("systemctl is-enabled echobot; true"),
        "enabled\n",
        "settings come first"
    );
    let installed = machine.run("cat /usr/share/doc/echobot/README.Debian");
    assert!(installed.starts_with(PACKAGES_GUIDE), "it is the guide");
    assert!(
        installed.contains("\n| `APP_SECRET` | required |"),
        "with the settings"
    );
    for example in [
        "Caddyfile",
        "nginx.conf",
        "several-pages.conf",
        "shared-outbox.conf",
    ] {
        machine.run(&format!(
            "cmp /usr/share/doc/echobot/examples/{example} deploy/{example}"
        ));
    }
    machine.run("cmp /usr/lib/systemd/system/echobot.service deploy/echobot.service");
    // A link would lead to the repository, which is not installed.
    assert!(
        !installed.contains("](")
            || installed.matches("](").count() == installed.matches("](http").count()
    );

    machine.follow(&block(PACKAGES_GUIDE, "page_access_token"), SECRET);
    machine.assert_well("127.0.0.1:5000");
    let check = block(PACKAGES_GUIDE, "exec echobot check");
    let said = machine.run(&format!("{} || test $? = 1", check.trim_end()));
    assert!(said.contains("✓ settings"), "{said}");

    machine.run("apt-get purge --yes echobot");
    assert!(!machine.is_well("127.0.0.1:5000"), "it is stopped");
    machine.run("test ! -e /usr/bin/echobot && test ! -e /usr/lib/systemd/system/echobot.service");
    machine.run("test -s /etc/echobot/app_secret && test -s /var/lib/private/echobot/outbox.redb");
    machine.follow(&block(PACKAGES_GUIDE, "sudo rm -r"), "");
    machine.run("test ! -e /etc/echobot && test ! -e /var/lib/private/echobot && test ! -L /var/lib/echobot");
}

#[test]
fn lintian_finds_no_error_in_the_package() {
    let Some(package) = built("debian/echobot.deb") else {
        return leave_out("the Debian package", ".ci/run makes and tests it");
    };
    let mut lintian = std::process::Command::new("lintian");
    let Ok(said) = lintian
        .args(["--allow-root", "--fail-on", "error"])
        .arg(package)
        .output()
    else {
        return leave_out("lintian", "apt install lintian");
    };
    let told = String::from_utf8_lossy(&said.stdout);
    assert!(
        said.status.success(),
        "{told}{}",
        String::from_utf8_lossy(&said.stderr)
    );
}
