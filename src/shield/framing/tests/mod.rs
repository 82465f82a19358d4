mod lengths;

use super::*;

const GOOD: &str = "POST /hook?a=b HTTP/1.1\r\nHost: bot.example\r\nContent-Length: 5\r\nUser-Agent: \u{e9}t\u{e9}\r\n\
     x-hub-signature-256: sha256=00\r\nAccept: */*\r\n\r\n";

/// What a connection makes of these bytes: none as long as the head is incomplete.
fn parse(bytes: &[u8], canonical: &mut Vec<u8>) -> Result<Option<Head>, Refusal> {
    let head = read(bytes)?;
    Ok(head.map(|mut head| {
        *canonical = std::mem::take(&mut head.canonical);
        head
    }))
}

fn parse_text(text: &str) -> (Result<Option<Head>, Refusal>, String) {
    let mut canonical = Vec::new();
    let parsed = parse(text.as_bytes(), &mut canonical);
    let canonical = String::from_utf8(canonical);
    (parsed, canonical.expect("canonical heads are ASCII"))
}

fn assert_refused(text: &str, refusal: Refusal) {
    assert_eq!(parse_text(text).0, Err(refusal), "{text:?}");
}

/// Refused at the last byte of `text`, and not sooner: what came before could have become good.
fn assert_refused_at_once(text: &str, refusal: Refusal) {
    assert_refused(text, refusal);
    for len in 1..text.len() {
        if text.is_char_boundary(len) {
            assert_eq!(parse_text(&text[..len]).0, Ok(None), "{:?}", &text[..len]);
        }
    }
}

fn head_of(text: &str) -> Head {
    match parse_text(text).0 {
        Ok(Some(head)) => head,
        other => panic!("{text:?} is {other:?}"),
    }
}

fn get_with(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: x\r\n{lines}\r\n")
}

fn post_with(lines: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: x\r\n{lines}\r\n")
}

#[test]
fn a_good_request_is_understood_and_made_canonical() {
    let (parsed, canonical) = parse_text(GOOD);
    let head = Head {
        canonical: Vec::new(),
        head_len: GOOD.len(),
        body_len: 5,
        is_head: false,
        is_http10: false,
        keep_alive: true,
        expects_continue: false,
    };
    assert_eq!(parsed, Ok(Some(head)));
    assert_eq!(
        canonical,
        "POST /hook?a=b HTTP/1.1\r\nContent-Length: 5\r\nX-Hub-Signature-256: sha256=00\r\n\r\n"
    );
}

#[test]
fn every_prefix_of_a_good_request_is_incomplete() {
    for text in [GOOD, "\r\n\r\nGET / HTTP/1.0\r\n\r\n"] {
        for len in 0..text.len() {
            let mut canonical = Vec::new();
            let parsed = parse(&text.as_bytes()[..len], &mut canonical);
            assert_eq!(parsed, Ok(None), "{len} bytes of {text:?}");
            assert!(canonical.is_empty());
        }
    }
}

#[test]
fn what_follows_a_request_changes_nothing() {
    let alone = parse_text(GOOD);
    assert_eq!(parse_text(&format!("{GOOD}hello\0\n\n\r\r")), alone);
    assert_eq!(
        parse_text(&format!("{GOOD}{}", "x".repeat(3 * MAX_HEAD))),
        alone
    );
}

#[test]
fn two_empty_lines_in_front_are_tolerated_and_a_third_is_refused() {
    assert_eq!(head_of(&format!("\r\n\r\n{GOOD}")).head_len, GOOD.len() + 4);
    assert_refused_at_once("\r\n\r\n\r\n", refusal::MALFORMED);
}

#[test]
fn garbage_is_refused_at_its_first_byte_that_no_head_can_have() {
    for text in ["\x16", "\0", "\n", "\x7f"] {
        assert_refused_at_once(text, refusal::MALFORMED);
    }
    for start in [" ", "\t", "(", "\u{e9}"] {
        assert_refused(&format!("{start}\r\n\r\n"), refusal::MALFORMED);
    }
}

#[test]
fn bare_line_feeds_are_refused() {
    for text in [
        "GET / HTTP/1.1\n",
        "GET / HTTP/1.1\r\nHost: x\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\n",
        "\r\n\n",
    ] {
        assert_refused_at_once(text, refusal::MALFORMED);
    }
}

#[test]
fn bare_carriage_returns_are_refused() {
    for text in [
        "GET / HTTP/1.1\rH",
        "GET / HTTP/1.1\r\nHost: x\ry",
        "GET / HTTP/1.1\r\nA: x\r\r",
        "\rG",
    ] {
        assert_refused_at_once(text, refusal::MALFORMED);
    }
}

#[test]
fn folded_headers_nul_and_spaced_names_are_refused() {
    for lines in [
        "A: b\r\n ",
        "A: b\r\n\t",
        "A: b\0",
        "A\0",
        "A ",
        "A\t",
        ":",
        "A: \x7f",
        "A: \x01",
        "A(",
        "A\r\n",
    ] {
        let text = format!("GET / HTTP/1.1\r\n{lines}\r\n\r\n");
        assert_refused(&text, refusal::MALFORMED);
    }
}

#[test]
fn a_request_line_that_is_not_exactly_three_words_is_refused() {
    for text in ["GET /", "GET", "GET  ", "GET / HTTP/1.1 ", "GET\t"] {
        assert_refused(&format!("{text}\r\n\r\n"), refusal::MALFORMED);
    }
    // What stands where the version belongs.
    for text in ["GET /  ", "GET / x HTTP/1.1", "GET / HTTX"] {
        assert_refused(&format!("{text}\r\n\r\n"), refusal::VERSION);
    }
}

#[test]
fn other_versions_are_refused_by_name() {
    for text in [
        "GET / HTTP/2",
        "GET / HTTP/0",
        "GET / HTTP/1.2",
        "PRI * HTTP/2",
        "GET / HTTP/9",
    ] {
        assert_refused(&format!("{text}\r\n\r\n"), refusal::VERSION);
    }
    assert_refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", refusal::VERSION);
    assert_refused("GET / HTTP/2.0\r\nHost: x\r\n\r\n", refusal::VERSION);
    assert_refused("GET / HTTP/x\r\n\r\n", refusal::VERSION);
}

#[test]
fn a_target_that_is_not_a_visible_path_is_refused() {
    for target in ["*", "x", "x:443", "/\u{e9}", "ftp://x/"] {
        assert_refused(
            &format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"),
            refusal::TARGET,
        );
    }
    for target in ["", "/\x7f", "/\0"] {
        assert_refused(
            &format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"),
            refusal::MALFORMED,
        );
    }
}

#[test]
fn the_absolute_form_of_a_target_stands_for_its_path_and_query() {
    for (target, passed) in [
        ("http://bot.example/", "/"),
        ("http://bot.example", "/"),
        ("http://bot.example/hook?a=http://b/", "/hook?a=http://b/"),
        ("HTTPS://bot.example:443/hook", "/hook"),
        ("http://[::1]:80?a=b", "/?a=b"),
        ("http://bot.example//x", "//x"),
    ] {
        // The Host header is there, and may be another (RFC 9112, section 3.2.2).
        let text = format!("POST {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        let (parsed, canonical) = parse_text(&text);
        assert!(parsed.is_ok(), "{target}");
        let line = format!("POST {passed} HTTP/1.1\r\n");
        assert!(canonical.starts_with(&line), "{canonical}");
    }
    assert_refused("GET http://x/ HTTP/1.1\r\n\r\n", refusal::HOST);
    for target in [
        "http:/x/",
        "http://",
        "http:///hook",
        "http://:80/",
        "http://user@bot.example/",
        "http://bot.example/\u{e9}",
        "ws://bot.example/",
        "://bot.example/",
    ] {
        let text = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_refused(&text, refusal::TARGET);
    }
}

#[test]
fn http_1_1_needs_exactly_one_host() {
    assert_refused("GET / HTTP/1.1\r\n\r\n", refusal::HOST);
    assert_refused(&get_with("host: x\r\n"), refusal::HOST);
    assert_refused(
        "GET / HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n",
        refusal::HOST,
    );
    head_of("GET / HTTP/1.0\r\n\r\n");
}

#[test]
fn connections_are_kept_as_the_client_says() {
    let keeps = |version: &str, lines: &str| {
        head_of(&format!("GET / HTTP/{version}\r\nHost: x\r\n{lines}\r\n")).keep_alive
    };
    assert!(keeps("1.1", ""));
    assert!(keeps("1.1", "Connection: upgrade, closed\r\n"));
    assert!(!keeps("1.1", "Connection: x,\tClose ,y\r\n"));
    assert!(!keeps(
        "1.1",
        "Connection: keep-alive\r\nConnection: close\r\n"
    ));
    assert!(!keeps("1.0", ""));
    assert!(keeps("1.0", "connection: Keep-Alive\r\n"));
    assert!(!keeps("1.0", "Connection: keep-alive, close\r\n"));
}

#[test]
fn headers_that_are_passed_on_must_be_plain_ascii() {
    assert_refused(
        &get_with("X-Hub-Signature-256: \u{e9}\r\n"),
        refusal::HEADER_VALUE,
    );
    let (_, canonical) = parse_text(&get_with(
        "X-HUB-SIGNATURE-256:a\tb \r\nX-Other: \u{e9}\r\n",
    ));
    assert_eq!(
        canonical,
        "GET / HTTP/1.1\r\nContent-Length: 0\r\nX-Hub-Signature-256: a\tb\r\n\r\n"
    );
}

#[test]
fn only_an_upper_case_head_is_a_head_request_as_in_tiny_http() {
    assert!(head_of("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n").is_head);
    assert!(!head_of("head / HTTP/1.1\r\nHost: x\r\n\r\n").is_head);
}

#[test]
fn no_random_change_to_a_good_request_makes_it_panic_or_grow() {
    let mut seed = 1_u64;
    let mut random = move |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize % below
    };
    for _ in 0..20_000 {
        let mut bytes = GOOD.as_bytes().to_vec();
        for _ in 0..1 + random(3) {
            let at = random(bytes.len());
            bytes[at] = random(256) as u8;
        }
        let mut canonical = Vec::new();
        if let Ok(Some(head)) = parse(&bytes, &mut canonical) {
            assert!(head.head_len <= bytes.len() && head.body_len <= MAX_BODY);
            assert!(canonical.is_ascii() && canonical.ends_with(b"\r\n\r\n"));
            assert_eq!(canonical.windows(4).filter(|w| w == b"\r\n\r\n").count(), 1);
        }
    }
}
