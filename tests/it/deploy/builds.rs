//! How the program is built: for musl where it is static, and in CI and for releases as the guide says.

use std::process::Command;

use super::block;

#[test]
fn a_static_file_of_glibc_is_refused_by_the_compiler_with_advice() {
    let compile = |flags: &[&str]| {
        let mut rustc = Command::new("rustc");
        rustc.args([
            "--edition",
            "2024",
            "--crate-type",
            "lib",
            "--emit",
            "metadata",
        ]);
        rustc.args(["--target", "x86_64-unknown-linux-gnu", "-o", "/dev/null"]);
        rustc.args(flags).arg("src/lib.rs");
        rustc.current_dir(env!("CARGO_MANIFEST_DIR"));
        let ended = rustc.output().expect("who runs tests has a compiler");
        String::from_utf8_lossy(&ended.stderr).into_owned()
    };
    // It lacks the dependencies, and says more.
    let advice = "build the static file for musl";
    assert!(compile(&["-C", "target-feature=+crt-static"]).contains(advice));
    assert!(!compile(&[]).contains(advice));
}

#[test]
fn what_is_tested_and_released_is_built_as_the_guide_says() {
    let guide = include_str!("../../../deploy/README.md");
    let ci = include_str!("../../../.ci/run");
    let of_musl = block(guide, "musl");
    assert!(ci.contains(&format!("\nstep env {of_musl}")), "{of_musl}");
    let (_, rest) = guide
        .split_once("build the usual program")
        .expect("it tells when");
    let usual = block(rest, "cargo build");
    assert!(ci.contains(&format!("\nstep {usual}")), "{usual}");
    assert!(ci.contains("\nstep deploy/package\n"));
    let release = include_str!("../../../.github/workflows/release.yml");
    let of_each = of_musl.replace("x86_64-unknown-linux-musl", "\"$TARGET\"");
    assert!(release.contains(&of_each), "{of_each}");
    let toolchain = include_str!("../../../rust-toolchain.toml");
    assert!(toolchain.contains("\"x86_64-unknown-linux-musl\""));
}
