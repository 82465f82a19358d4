//! Bytes -> the shield's verdict. What it lets in has one meaning only, and the verdict does not depend on how the
//! bytes arrive.

#![no_main]

use echobot::shield::framing::{Head, Refusal, Scanner};
use libfuzzer_sys::fuzz_target;

const PASSED: &[&str] = &["X-Hub-Signature-256"];
const MAX_HEAD: usize = 8 * 1024;
const MAX_HEADERS: usize = 64;
const MAX_BODY: usize = 4 * 1024 * 1024;
/// Prefixes that are judged for each input. All of them would be slow for a long one.
const PREFIXES: usize = 256;

/// None as long as more bytes are needed.
type Verdict = Result<Option<Request>, Refusal>;

/// The head of a request, and what tiny_http sees of it.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    head: Head,
    canonical: Vec<u8>,
}

fuzz_target!(|bytes: &[u8]| {
    let verdict = judge(bytes);
    match &verdict {
        Ok(None) => check_incomplete(bytes),
        Ok(Some(request)) => check_request(bytes, request),
        Err(refusal) => assert!((400..600).contains(&refusal.status)),
    }
    check_prefixes(bytes, &verdict);
});

/// As a connection does to which all these bytes have come at once.
fn judge(bytes: &[u8]) -> Verdict {
    let mut scanner = Scanner::default();
    let Some(end) = scanner.find_end(bytes)? else {
        return Ok(None);
    };
    let mut canonical = Vec::new();
    let head = scanner.judge(&bytes[..end], PASSED, &mut canonical)?;
    Ok(Some(Request { head, canonical }))
}

/// More is waited for only while there is room for more, and the end of the head is not there.
fn check_incomplete(bytes: &[u8]) {
    assert!(bytes.len() < MAX_HEAD);
    assert_eq!(find_empty_line(without_empty_lines(bytes)), None);
}

fn check_request(bytes: &[u8], request: &Request) {
    let Head {
        head_len, body_len, ..
    } = request.head;
    assert!(head_len <= MAX_HEAD && head_len <= bytes.len());
    assert!(body_len <= MAX_BODY);
    let head = without_empty_lines(&bytes[..head_len]);
    assert_eq!(find_empty_line(head), Some(head.len() - 4));
    let lines = lines(head);
    check_headers(&lines[1..], request);

    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut original = httparse::Request::new(&mut headers);
    let parsed = original.parse(head);
    assert_eq!(parsed, Ok(httparse::Status::Complete(head.len())));
    check_canonical(&original, request);
}

/// The framing as a stranger would read it, without httparse.
fn check_headers(lines: &[&[u8]], request: &Request) {
    assert!(lines.len() <= MAX_HEADERS);
    let mut lengths = Vec::new();
    let mut hosts = 0;
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.expect("a header has a colon"));
        assert!(!name.is_empty() && name.iter().all(u8::is_ascii_graphic));
        match name.to_ascii_lowercase().as_slice() {
            b"transfer-encoding" => panic!("a transfer coding was let in"),
            b"content-length" => lengths.push(number(value[1..].trim_ascii())),
            b"host" => hosts += 1,
            _ => {}
        }
    }
    assert!(lengths.len() <= 1);
    let head = &request.head;
    assert_eq!(lengths.first().copied().unwrap_or(0), head.body_len);
    assert!(hosts == 1 || (hosts == 0 && head.is_http10));
    assert_eq!(head.is_head, request.canonical.starts_with(b"HEAD "));
}

fn number(digits: &[u8]) -> usize {
    assert!(!digits.is_empty() && digits.iter().all(u8::is_ascii_digit));
    let digits = str::from_utf8(digits).expect("digits are ASCII");
    digits.parse().expect("a length fits into a usize")
}

/// tiny_http is told the same request, and nothing that was not to be passed on.
fn check_canonical(original: &httparse::Request, request: &Request) {
    let head = &request.canonical;
    assert!(
        head.iter()
            .all(|byte| matches!(byte, b'\t' | b'\r' | b'\n' | b' '..=b'~'))
    );
    assert_eq!(find_empty_line(head), Some(head.len() - 4));

    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut canonical = httparse::Request::new(&mut headers);
    let parsed = canonical.parse(head);
    assert_eq!(parsed, Ok(httparse::Status::Complete(head.len())));
    assert_eq!(canonical.method, original.method);
    assert_eq!(canonical.path, original.path);
    assert_eq!(canonical.version, Some(1));
    assert_eq!(lines(head).len(), 1 + canonical.headers.len());

    let mut names = canonical.headers.iter().map(|header| header.name);
    assert!(names.all(|name| name == "Content-Length" || PASSED.contains(&name)));
    let length = values(&canonical, "Content-Length")
        .first()
        .map_or(0, |value| number(value));
    assert_eq!(length, request.head.body_len);
    for name in PASSED {
        assert_eq!(values(&canonical, name), values(original, name));
    }
}

fn values<'a>(request: &httparse::Request<'_, 'a>, name: &str) -> Vec<&'a [u8]> {
    let headers = request.headers.iter();
    let named = headers.filter(|header| header.name.eq_ignore_ascii_case(name));
    named.map(|header| header.value).collect()
}

/// Bytes arrive in any pieces: no earlier look at them may tell anything else.
fn check_prefixes(bytes: &[u8], verdict: &Verdict) {
    let mut lens: Vec<usize> = (0..bytes.len())
        .step_by(1 + bytes.len() / PREFIXES)
        .collect();
    lens.push(MAX_HEAD);
    if let Ok(Some(request)) = verdict {
        lens.extend([request.head.head_len - 1, request.head.head_len]);
    }
    for prefix in lens.iter().filter_map(|len| bytes.get(..*len)) {
        check_prefix(prefix, verdict);
    }
}

fn check_prefix(prefix: &[u8], verdict: &Verdict) {
    let earlier = judge(prefix);
    match (&earlier, verdict) {
        (Ok(None), Ok(Some(request))) => assert!(prefix.len() < request.head.head_len),
        (Ok(None), _) => assert!(prefix.len() < MAX_HEAD),
        (Err(_), Err(_)) => {}
        _ => assert_eq!(&earlier, verdict, "after {} bytes", prefix.len()),
    }
}

/// Without the two empty lines that may stand in front.
fn without_empty_lines(bytes: &[u8]) -> &[u8] {
    let once = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    once.strip_prefix(b"\r\n").unwrap_or(once)
}

fn find_empty_line(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n")
}

/// The lines of a head, of which no other reader would find more.
fn lines(head: &[u8]) -> Vec<&[u8]> {
    let text = &head[..head.len() - 4];
    let mut lines = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        lines.push(line.strip_suffix(b"\r").unwrap_or(line));
    }
    let is_whole = |line: &&[u8]| !line.iter().any(|byte| matches!(byte, b'\r' | b'\0'));
    assert!(lines.iter().all(is_whole));
    let ends = text.windows(2).filter(|window| window == b"\r\n").count();
    assert_eq!(lines.len(), 1 + ends);
    lines
}
