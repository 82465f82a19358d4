//! The same answers to curl, a client that others wrote.

use std::process::{Command, Stdio};

use echobot::simulator::VERIFY_TOKEN;

use super::client::{Answer, Client, get, handshake, parse, signature, signed};
use super::right_answers::{expected_status, lengths, padded};
use crate::support::{Directory, World};

/// What curl prints when it is run with these arguments; none when there is no curl.
fn curl(arguments: &[&str]) -> Option<Vec<u8>> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--noproxy", "*", "--max-time", "20"]);
    let output = command.args(arguments).stdin(Stdio::null()).output();
    if output.is_err() {
        println!("there is no curl: nothing is compared");
    }
    Some(output.ok()?.stdout)
}

/// The only answer that curl prints with `--include`.
fn the_answer(printed: &[u8], is_head: bool) -> Answer {
    let (answer, length) = parse(printed, is_head).expect("curl prints a whole answer");
    assert_eq!(
        length,
        printed.len(),
        "{}",
        String::from_utf8_lossy(printed)
    );
    answer
}

#[test]
fn curl_gets_the_same_answers_byte_for_byte() {
    let world = World::with(&[("THREADS", "4")], |_| {
        echobot::simulator::Reply::deliver()
    });
    let url = world.bot.url();
    let handshake_url =
        format!("{url}?hub.mode=subscribe&hub.verify_token={VERIFY_TOKEN}&hub.challenge=0123");
    let other = format!("{url}nothing");
    let trials: [(&[&str], Vec<u8>); 5] = [
        (&[&handshake_url], handshake("0123")),
        (&[&url], get("/")),
        (&[&other], get("/nothing")),
        (&["--http1.0", &url], b"GET / HTTP/1.0\r\n\r\n".to_vec()),
        (
            &["--head", &url],
            b"HEAD / HTTP/1.1\r\nHost: bot\r\n\r\n".to_vec(),
        ),
    ];
    for (arguments, request) in trials {
        let Some(printed) = curl(&[&["--include"], arguments].concat()) else {
            return;
        };
        let is_head = request.starts_with(b"HEAD");
        let mut client = Client::connect(&world.bot).expect("the bot listens");
        client.send(&request).expect("the bot reads");
        let ours = client.answer_to(is_head).expect("the bot answers");
        assert_eq!(the_answer(&printed, is_head), ours, "curl {arguments:?}");
    }
}

#[test]
fn curl_delivers_bodies_of_every_size_with_and_without_an_expectation() {
    let world = World::with(&[("THREADS", "4")], |_| {
        echobot::simulator::Reply::deliver()
    });
    let directory = Directory::new("curl");
    let url = world.bot.url();
    for length in lengths() {
        let body = padded(length);
        let file = directory.file("body", &body);
        let data = format!("@{}", file.display());
        let signature = signature(&body);
        let mut client = Client::connect(&world.bot).expect("the bot listens");
        let _ = client.send(&signed(&body));
        let ours = client.answer().expect("the bot answers");
        assert_eq!(ours.status, expected_status(length));
        for expect in ["Expect:", "Expect: 100-continue"] {
            let headers = ["--header", expect, "--header", signature.trim()];
            let arguments = [
                &["--include", "--data-binary", &data],
                &headers[..],
                &[&url],
            ];
            let Some(printed) = curl(&arguments.concat()) else {
                return;
            };
            let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
            let printed = printed.strip_prefix(go_on).unwrap_or(&printed);
            assert_eq!(the_answer(printed, false), ours, "{length} bytes, {expect}");
        }
    }
}

#[test]
fn curl_keeps_its_connection() {
    let world = World::new();
    let url = format!("{}healthz", world.bot.url());
    let arguments = [
        "--write-out",
        " %{http_code} %{num_connects}\n",
        &url,
        &url,
        &url,
    ];
    let Some(printed) = curl(&arguments) else {
        return;
    };
    let printed = String::from_utf8(printed).expect("it is ASCII");
    assert_eq!(printed, "ok 200 1\nok 200 0\nok 200 0\n");
}

#[test]
fn curl_is_refused_when_it_sends_what_is_not_taken() {
    let world = World::new();
    let url = world.bot.url();
    let tls = url.replace("http://", "https://");
    let trials: [(&[&str], &str); 4] = [
        (
            &[
                "--header",
                "Transfer-Encoding: chunked",
                "--data",
                "x",
                &url,
            ],
            "411",
        ),
        (&["--http2-prior-knowledge", &url], "000"),
        (&["--insecure", &tls], "000"),
        (
            &[
                "--header",
                "Upgrade: websocket",
                "--header",
                "Connection: Upgrade",
                &url,
            ],
            "200",
        ),
    ];
    for (arguments, status) in trials {
        let written = ["--output", "/dev/null", "--write-out", "%{http_code}"];
        let Some(printed) = curl(&[&written, arguments].concat()) else {
            return;
        };
        assert_eq!(
            String::from_utf8_lossy(&printed),
            status,
            "curl {arguments:?}"
        );
    }
    super::siege::assert_well(&world.bot);
}
