//! The Debian package, in a root of Debian 13.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{built, leave_out};
use crate::process::run;

/// Runs this there.
fn inside(root: &Path, script: &str) -> String {
    let mut command = Command::new("/usr/sbin/chroot");
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    command.arg(root).args(["/bin/sh", "-ec", script]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let ended = run(command.env_clear().env("PATH", path));
    assert_eq!(ended.code, Some(0), "{script}: {}", ended.stderr);
    ended.stdout
}

#[test]
fn the_package_installs_the_program_and_its_unit_and_is_removed_again() {
    let (Some(package), Some(root)) = (built("debian/echobot.deb"), built("debian-13")) else {
        return leave_out("the Debian package", ".ci/run makes and tests it");
    };
    fs::copy(package, root.join("echobot.deb")).expect("the root can be written");
    inside(&root, "dpkg --install /echobot.deb >&2");
    let said = inside(&root, "echobot simulate --say hello");
    assert_eq!(said, "hello\n");
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/echobot.service");
    let installed = root.join("usr/lib/systemd/system/echobot.service");
    assert_eq!(
        fs::read(&installed).expect("it is installed"),
        fs::read(unit).expect("it is there")
    );
    let enabled = root.join("etc/systemd/system/multi-user.target.wants/echobot.service");
    assert!(!enabled.exists(), "it waits for its settings");
    inside(&root, "dpkg --purge echobot >&2");
    assert!(!installed.exists());
}
