//! The repository itself: what is said in two places is the same in both.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The longest file that can be read in one sitting, in lines.
const MAX_LINES: usize = 350;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The value of the first `key = "value"` in a TOML file.
fn toml_value(file: &str, key: &str) -> String {
    let text = read(file);
    let value = text.lines().find_map(|line| {
        let (found, value) = line.split_once('=')?;
        (found.trim() == key).then(|| value.trim().trim_matches('"').to_string())
    });
    value.unwrap_or_else(|| panic!("{file} has no {key}"))
}

/// All Rust files of these folders.
fn sources(folders: &[&str]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = folders.iter().map(|name| root().join(name)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder is there") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    assert!(!files.is_empty(), "{folders:?}");
    files
}

#[test]
fn the_procfile_names_the_binary() {
    let expected = format!("web: ./target/release/{}", toml_value("Cargo.toml", "name"));
    assert_eq!(read("Procfile").trim_end(), expected);
}

#[test]
fn one_version_of_rust_is_asked_for() {
    let minimum = toml_value("Cargo.toml", "rust-version");
    let toolchain = toml_value("rust-toolchain.toml", "channel");
    assert_eq!(toolchain, format!("{minimum}.0"));
}

#[test]
fn no_file_is_too_long_to_be_read_in_one_sitting() {
    let mut long = Vec::new();
    for path in sources(&[
        "src",
        "simulator/src",
        "simulator/tests",
        "tests",
        "benches",
        "fuzz/fuzz_targets",
    ]) {
        let text = fs::read_to_string(&path).expect("it is text");
        if text.lines().count() > MAX_LINES {
            let name = path.strip_prefix(root()).expect("it is in the repository");
            long.push(name.display().to_string());
        }
    }
    assert!(long.is_empty(), "{long:?}");
}

#[test]
fn the_readme_shows_the_example_as_it_is() {
    let example = format!("```rust\n{}```\n", read("examples/shout.rs"));
    assert!(read("README.md").contains(&example));
}

/// Words of the first version that no newcomer could know.
#[test]
fn the_fields_words_are_used() {
    let old = [
        "door",
        "knock",
        "ticket",
        "mailbox",
        "seldom",
        "ledger",
        "lane",
        "lanes",
        "seat",
        "seats",
        "happening",
        "happenings",
        "courier",
        "story",
        "stories",
        "stage",
        "stages",
        "wish",
        "wishes",
    ];
    let mut found = Vec::new();
    let mut files = sources(&["src", "benches", "examples"]);
    files.push(root().join("README.md"));
    for path in files {
        let text = fs::read_to_string(&path)
            .expect("it is text")
            .to_lowercase();
        let words = text.split(|c: char| !c.is_ascii_alphabetic());
        for word in words.filter(|word| old.contains(word)) {
            found.push(format!("{}: {word}", path.display()));
        }
    }
    found.dedup();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn nothing_is_left_to_be_done_in_the_source() {
    for path in sources(&["src"]) {
        let text = fs::read_to_string(&path).expect("it is text");
        for mark in ["TODO", "FIXME", "todo!(", "unimplemented!("] {
            assert!(!text.contains(mark), "{} has {mark}", path.display());
        }
    }
}

#[test]
fn there_is_no_async_runtime() {
    let lock = read("Cargo.lock");
    assert!(
        lock.contains("\nname = \"tiny_http\"\n"),
        "Cargo.lock is read"
    );
    for name in [
        "tokio",
        "async-std",
        "async-executor",
        "smol",
        "mio",
        "futures-executor",
        "hyper",
    ] {
        assert!(!lock.contains(&format!("\nname = \"{name}\"\n")), "{name}");
    }
}

#[test]
fn the_readme_lists_every_setting_with_its_default() {
    let (told, read) = (settings_of_the_readme(), settings_of_the_source());
    assert!(read.len() >= 10, "config.rs is not understood: {read:?}");
    assert_eq!(told, read, "left README.md, right src/config.rs");
}

/// Name -> default, from the table below `## Settings`, whose rows begin "| `NAME` | `default` |".
fn settings_of_the_readme() -> BTreeMap<String, String> {
    let text = read("README.md");
    let section = text.split_once("\n## Settings").map(|(_, rest)| rest);
    let section = section.expect("README.md has a heading Settings");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| {
        let mut cells = row
            .split('|')
            .skip(1)
            .map(|cell| cell.trim().replace('`', ""));
        (
            cells.next().unwrap_or_default(),
            cells.next().unwrap_or_default(),
        )
    });
    cells.collect()
}

/// Name -> default, from the calls in src/config.rs that read a variable: every literal in
/// capitals is the name of one.
fn settings_of_the_source() -> BTreeMap<String, String> {
    let text = read("src/config.rs");
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let text = text.to_string() + &read("src/config/shared.rs");
    let mut settings = BTreeMap::new();
    let mut set = |name: &str, default: &str, is_sure| match is_sure {
        true => drop(settings.insert(name.to_string(), default.to_string())),
        false => drop(
            settings
                .entry(name.to_string())
                .or_insert(default.to_string()),
        ),
    };
    for (at, _) in text.match_indices('"') {
        let Some((name, after)) = text[at + 1..].split_once('"') else {
            continue;
        };
        let is_name = |c: char| c.is_ascii_uppercase() || c == '_';
        // systemd sets the variables that end like this, not the operator.
        if name.len() < 4 || !name.chars().all(is_name) || name.ends_with("_DIRECTORY") {
            continue;
        }
        let before = text[..at].trim_end();
        if before.ends_with("secret(") {
            set(name, "required", false);
        } else if before.ends_with("value(") {
            set(name, after.split('"').nth(1).unwrap_or_default(), false);
        } else if !before.ends_with("env::var_os(") {
            // It matters whether it is set at all; unless this is a list of names.
            set(name, "unset", before.ends_with('('));
        }
    }
    settings
}
