use std::os::unix::net::SocketAddr;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

use super::*;

fn place(name: &str) -> PathBuf {
    let name = format!("echobot-test-{name}-{}", std::process::id());
    let place = std::env::temp_dir().join(name);
    fs::create_dir_all(&place).expect("the temporary directory can be written");
    place
}

fn names_in(place: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(place).expect("it is there");
    entries
        .map(|entry| entry.expect("it can be read").path())
        .collect()
}

#[test]
fn what_a_killed_process_left_is_removed_and_what_is_in_use_is_not() {
    let place = place("abandoned");
    let listen =
        || PrivateDirectory::listen_in(std::slice::from_ref(&place)).expect("it can be made");
    let (in_use, listener) = listen();
    let (killed, killed_listener) = listen();
    drop(killed_listener);
    let foreign = place.join("something else");
    fs::create_dir(&foreign).expect("it can be made");
    remove_abandoned(&place);
    let mut expected = vec![in_use.0.clone(), foreign];
    let mut left = names_in(&place);
    expected.sort();
    left.sort();
    assert_eq!(left, expected);
    // tiny_http may never read a connection that comes beside another.
    listener.set_nonblocking(true).expect("it can be set");
    let unnoticed = listener.accept().map(drop);
    assert!(unnoticed.is_err_and(|error| error.kind() == ErrorKind::WouldBlock));
    drop(killed);
    fs::remove_dir_all(&place).expect("it is ours");
}

#[test]
fn what_another_process_is_about_to_listen_in_is_not_removed() {
    let place = place("young");
    let young = PrivateDirectory(place.join(format!("{PREFIX}young")));
    fs::create_dir(&young.0).expect("it can be made");
    remove_abandoned(&place);
    assert!(young.0.exists(), "before it has a socket");
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None);
    let socket = socket.expect("the system has a socket");
    let address = SocketAddrUnix::new(young.socket()).expect("the path is short");
    rustix::net::bind(&socket, &address).expect("it is free");
    remove_abandoned(&place);
    assert!(young.0.exists(), "before its socket listens");
    drop(socket);
    remove_abandoned(&place);
    assert!(!young.0.exists(), "when the process was killed");
    fs::remove_dir_all(&place).expect("it is ours");
}

#[test]
fn the_first_place_that_can_hold_it_is_taken() {
    let place = place("places");
    let too_long = place.join("x".repeat(200));
    fs::create_dir(&too_long).expect("it can be made");
    let places = [place.join("missing"), too_long.clone(), place.clone()];
    let (directory, _) = PrivateDirectory::listen_in(&places).expect("the last one is fine");
    assert_eq!(directory.0.parent(), Some(&*place));
    assert_eq!(names_in(&too_long), Vec::<PathBuf>::new());
    drop(directory);
    fs::remove_dir_all(&place).expect("it is ours");
}

#[test]
fn a_path_of_the_longest_length_can_hold_a_socket_and_a_longer_one_cannot() {
    let is_path = |length: usize| {
        let place = PathBuf::from(format!("/{}", "x".repeat(length - 1)));
        let socket = place.join(format!("{PREFIX}{:016x}/{SOCKET}", 0));
        SocketAddr::from_pathname(socket).is_ok()
    };
    assert!(is_path(LONGEST_PLACE));
    assert!(!is_path(LONGEST_PLACE + 1));
}

#[test]
fn each_place_that_cannot_hold_it_is_told_with_a_remedy_that_fits() {
    let place = place("remedies");
    let too_long = place.join("x".repeat(200));
    fs::create_dir(&too_long).expect("it can be made");
    let missing = place.join("missing");
    let failed = PrivateDirectory::listen_in(&[missing.clone(), too_long.clone()]).map(drop);
    let error = failed.expect_err("neither can hold it").to_string();
    let said = format!(
        "failed to create a private directory in {}: ",
        missing.display()
    );
    assert!(error.starts_with(&said), "{error}");
    let most = format!("with a path of {LONGEST_PLACE} bytes at most");
    for told in [
        ": create it, and in ",
        ": use a shorter path, or set TMPDIR",
        &most,
    ] {
        assert!(error.contains(told), "{error}");
    }
    for (kind, told) in [
        (
            ErrorKind::PermissionDenied,
            "let echobot write there, as the owner of the files",
        ),
        (ErrorKind::StorageFull, "free some space there, or inodes"),
        (ErrorKind::QuotaExceeded, "free some space there, or inodes"),
        (ErrorKind::ReadOnlyFilesystem, "mount it writable"),
        (ErrorKind::Unsupported, "otherwise"),
    ] {
        assert_eq!(remedy(&kind.into(), "otherwise"), told);
    }
    fs::remove_dir_all(&place).expect("it is ours");
}
