//! What people read: its links lead somewhere, its commands name what there is, and its figures say where they are from.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process::{echobot, run};

const DOCUMENTS: [&str; 6] = [
    "README.md",
    "CHANGELOG.md",
    "benches/README.md",
    "deploy/README.md",
    "fuzz/README.md",
    "simulator/README.md",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A block of commands, and what they need: `root`, an `account`, the `network`, or nothing.
struct Block {
    document: &'static str,
    needs: String,
    text: String,
}

fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    for document in DOCUMENTS {
        let text = read(document);
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let Some(needs) = line.trim_start().strip_prefix("```sh") else {
                continue;
            };
            let end = |line: &&str| line.trim_start() != "```";
            let body: Vec<&str> = lines
                .by_ref()
                .take_while(end)
                .map(str::trim_start)
                .collect();
            blocks.push(Block {
                document,
                needs: needs.trim().to_string(),
                text: body.join("\n") + "\n",
            });
        }
    }
    assert!(blocks.len() > 15, "the documents have commands");
    blocks
}

/// GitHub's anchor of a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn the_readme_is_read_in_one_sitting() {
    let lines = read("README.md").lines().count();
    assert!(lines <= 200, "{lines} lines");
}

#[test]
fn every_link_leads_somewhere() {
    let mut wrong = Vec::new();
    for document in DOCUMENTS {
        let text = read(document);
        let folder = root()
            .join(document)
            .parent()
            .map(Path::to_path_buf)
            .unwrap_or_default();
        let targets = text
            .match_indices("](")
            .map(|(at, _)| text[at + 2..].split(')').next().unwrap_or_default());
        for target in targets.filter(|target| !target.starts_with("http")) {
            let (path, wanted) = target.split_once('#').unwrap_or((target, ""));
            let file: PathBuf = if path.is_empty() {
                root().join(document)
            } else {
                folder.join(path)
            };
            let anchors = || {
                let text = fs::read_to_string(&file).unwrap_or_default();
                text.lines()
                    .filter(|line| line.starts_with('#'))
                    .map(anchor)
                    .collect::<BTreeSet<_>>()
            };
            if !file.exists() || (!wanted.is_empty() && !anchors().contains(wanted)) {
                wrong.push(format!("{document}: {target}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_command_is_one_that_a_shell_understands() {
    for block in blocks() {
        let mut bash = Command::new("bash");
        bash.args(["-n", "-c", &block.text])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let parsed = run(&mut bash);
        assert_eq!(
            parsed.code,
            Some(0),
            "{}: {}{}",
            block.document,
            block.text,
            parsed.stderr
        );
        let is_known = ["", "root", "account", "network"].contains(&block.needs.as_str());
        assert!(is_known, "{}: {}", block.document, block.needs);
        let wants = [
            ("sudo ", "root"),
            ("heroku ", "account"),
            ("setup --callback-url", "account"),
        ];
        for (word, needs) in wants {
            let is_marked = !block.text.contains(word) || block.needs == needs;
            assert!(
                is_marked,
                "{}: {word:?} is not marked: {}",
                block.document, block.text
            );
        }
    }
}

/// The words of all commands, a command a list.
fn commands() -> Vec<(String, Vec<String>)> {
    let mut commands = Vec::new();
    for block in blocks() {
        for line in block.text.replace("\\\n", " ").lines() {
            let line = line.split(" #").next().unwrap_or_default();
            let words = line.split_whitespace().map(str::to_string).collect();
            commands.push((format!("{}: {line}", block.document), words));
        }
    }
    commands
}

#[test]
fn every_flag_of_echobot_is_one_that_it_has() {
    let help = ["--help", "simulate --help"].map(|arguments| {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        run(&mut echobot(&arguments)).stdout
    });
    let help = help.concat();
    let mut checked = 0;
    for (place, words) in commands() {
        let programs = ["simulate", "exec", "messenger-simulator"];
        let program = words
            .iter()
            .position(|word| word.ends_with("echobot") || programs.contains(&word.as_str()));
        // There it is the name of a file, a package or a container.
        let is_name = |word: &String| ["build", "install", "podman"].contains(&word.as_str());
        let Some(program) = program.filter(|_| !words.iter().any(is_name)) else {
            continue;
        };
        for flag in words[program..]
            .iter()
            .filter(|word| word.starts_with("--"))
        {
            assert!(help.contains(flag.as_str()), "{place}: {flag}");
            checked += 1;
        }
    }
    assert!(checked > 5, "{checked}");
}

#[test]
fn every_command_of_cargo_names_what_there_is() {
    let manifest = read("Cargo.toml");
    let own = std::env::current_exe().expect("a running program has a path");
    let listed = Command::new(own)
        .args(["--list", "--format", "terse"])
        .output()
        .expect("it runs");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let scenarios = read("benches/scenarios/mod.rs");
    let mut checked = 0;
    for (place, words) in commands() {
        let Some(cargo) = words.iter().position(|word| word == "cargo") else {
            continue;
        };
        let words = &words[cargo..];
        let after = |flag: &str| {
            let at = words.iter().position(|word| word == flag)?;
            words.get(at + 1)
        };
        for feature in after("--features").into_iter() {
            assert!(
                manifest.contains(&format!("\n{feature} = [")),
                "{place}: no feature {feature}"
            );
        }
        if let Some(example) = after("--example") {
            assert!(
                root().join(format!("examples/{example}.rs")).exists(),
                "{place}"
            );
        }
        if words.get(1).is_some_and(|word| word == "test")
            && let Some(name) = words.iter().skip_while(|word| *word != "it").nth(1)
        {
            assert!(
                name.starts_with("--") || listed.contains(name.as_str()) || name == "shared",
                "{place}: no test {name}"
            );
        }
        if words.get(1).is_some_and(|word| word == "bench") {
            let names = words.iter().skip_while(|word| *word != "--").skip(1);
            for name in names.filter(|name| !name.starts_with("--") && name.parse::<u32>().is_err())
            {
                assert!(
                    scenarios.contains(&format!("name: {name:?}")),
                    "{place}: no scenario {name}"
                );
            }
        }
        checked += 1;
    }
    assert!(checked > 8, "{checked}");
}

#[test]
fn every_file_that_a_command_names_is_there() {
    for (place, words) in commands() {
        for word in words {
            let path = word.trim_matches('"');
            let is_ours = ["deploy/", "fuzz/", "examples/", "benches/", ".ci/"]
                .iter()
                .any(|folder| path.starts_with(folder));
            if is_ours {
                assert!(root().join(path).exists(), "{place}: {path}");
            }
        }
    }
}

/// A figure that nobody can get again is a rumour.
#[test]
fn every_figure_has_the_command_that_prints_it_in_its_section() {
    for document in DOCUMENTS.iter().filter(|name| **name != "CHANGELOG.md") {
        let text = format!("\n{}", read(document));
        // The longest body is a limit, and not measured.
        let text = text.replace("4 MiB", "");
        for section in text.split("\n#") {
            let is_measured = ["µs", " MiB", " MB", "echoes a second |"]
                .iter()
                .any(|unit| {
                    section.match_indices(unit).any(|(at, _)| {
                        section[..at]
                            .trim_end()
                            .ends_with(|c: char| c.is_ascii_digit())
                    })
                });
            let has_command = section.contains("cargo ") || section.contains("`ls -l ");
            let is_limit = section.contains("limit");
            let heading = section.lines().next().unwrap_or_default();
            assert!(
                !is_measured || has_command || is_limit,
                "{document}: {heading}"
            );
        }
    }
}

/// Somebody searches the table for a line of the log.
#[test]
fn the_lines_in_the_table_of_symptoms_are_in_the_code() {
    let mut code = String::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("it is there").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|kind| kind == "rs" || kind == "txt")
            {
                code += &fs::read_to_string(path).expect("it is text");
            }
        }
    }
    // A string that goes on in the next line.
    let code: String = code.split("\\\n").map(str::trim_start).collect();
    let readme = read("README.md");
    let (_, table) = readme
        .split_once("| what you see | what it is |")
        .expect("there is a table");
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let mut checked = 0;
    for row in rows {
        let cell = row.split('|').nth(1).unwrap_or_default();
        for line in cell.split('`').skip(1).step_by(2) {
            let is_command = line.starts_with("echobot ");
            let pieces = line
                .split(['…', ':'])
                .map(|piece| piece.trim_matches(|c: char| c.is_ascii_digit() || c == ' '));
            for piece in pieces.filter(|piece| piece.len() > 3 && !is_command) {
                assert!(code.contains(piece), "{row}: {piece:?}");
                checked += 1;
            }
        }
    }
    assert!(checked > 12, "{checked}");
}
