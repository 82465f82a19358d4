//! Bytes -> the shield's verdict. What it lets in has one meaning only, and the verdict does not depend on how the
//! bytes arrive.

#![no_main]

use echobot::shield::Refusal;
use echobot::shield::framing::{self, Head};
use libfuzzer_sys::fuzz_target;

const PASSED: &[&str] = &["X-Hub-Signature-256"];
const MAX_HEAD: usize = 8 * 1024;
const MAX_HEADERS: usize = 64;
const MAX_BODY: usize = 4 * 1024 * 1024;
/// Prefixes that are judged for each input. All of them would be slow for a long one.
const PREFIXES: usize = 256;

/// None as long as more bytes are needed.
type Verdict = Result<Option<Head>, Refusal>;

fuzz_target!(|bytes: &[u8]| {
    let verdict = judge(bytes);
    match &verdict {
        Ok(None) => check_incomplete(bytes),
        Ok(Some(head)) => check_request(bytes, head),
        Err(refusal) => assert!((400..600).contains(&refusal.status)),
    }
    check_prefixes(bytes, &verdict);
});

/// As a connection does to which all these bytes have come at once.
fn judge(bytes: &[u8]) -> Verdict {
    framing::read(bytes)
}

/// More is waited for only while there is room for more, and the end of the head is not there.
fn check_incomplete(bytes: &[u8]) {
    assert!(bytes.len() < MAX_HEAD);
    assert_eq!(find_empty_line(without_empty_lines(bytes)), None);
}

fn check_request(bytes: &[u8], head: &Head) {
    assert!(head.head_len <= MAX_HEAD && head.head_len <= bytes.len());
    assert!(head.body_len <= MAX_BODY);
    let text = without_empty_lines(&bytes[..head.head_len]);
    assert_eq!(find_empty_line(text), Some(text.len() - 4));
    let lines = lines(text);
    check_headers(&lines[1..], head);

    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut original = httparse::Request::new(&mut headers);
    let parsed = original.parse(text);
    assert_eq!(parsed, Ok(httparse::Status::Complete(text.len())));
    check_canonical(&original, head);
}

/// The framing as a stranger would read it, without httparse.
fn check_headers(lines: &[&[u8]], head: &Head) {
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
    assert_eq!(lengths.first().copied().unwrap_or(0), head.body_len);
    assert!(hosts == 1 || (hosts == 0 && head.is_http10));
    assert_eq!(head.is_head, head.canonical.starts_with(b"HEAD "));
}

fn number(digits: &[u8]) -> usize {
    assert!(!digits.is_empty() && digits.iter().all(u8::is_ascii_digit));
    let digits = str::from_utf8(digits).expect("digits are ASCII");
    digits.parse().expect("a length fits into a usize")
}

/// tiny_http is told the same request, and nothing that was not to be passed on.
fn check_canonical(original: &httparse::Request, head: &Head) {
    let text = &head.canonical;
    assert!(
        text.iter()
            .all(|byte| matches!(byte, b'\t' | b'\r' | b'\n' | b' '..=b'~'))
    );
    assert_eq!(find_empty_line(text), Some(text.len() - 4));

    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut canonical = httparse::Request::new(&mut headers);
    let parsed = canonical.parse(text);
    assert_eq!(parsed, Ok(httparse::Status::Complete(text.len())));
    assert_eq!(canonical.method, original.method);
    check_target(
        original.path.expect("it has one"),
        canonical.path.expect("it has one"),
    );
    assert_eq!(canonical.version, Some(1));
    assert_eq!(lines(text).len(), 1 + canonical.headers.len());

    let mut names = canonical.headers.iter().map(|header| header.name);
    assert!(names.all(|name| name == "Content-Length" || PASSED.contains(&name)));
    let length = values(&canonical, "Content-Length")
        .first()
        .map_or(0, |value| number(value));
    assert_eq!(length, head.body_len);
    for name in PASSED {
        assert_eq!(values(&canonical, name), values(original, name));
    }
}

/// The target is passed on as it is, or what is behind the host of a URI.
fn check_target(original: &str, passed: &str) {
    assert!(passed.starts_with('/'));
    if original.starts_with('/') {
        assert_eq!(passed, original);
        return;
    }
    let parts: Vec<&str> = original.splitn(4, '/').collect();
    let scheme = parts[0].to_ascii_lowercase();
    assert!(["http:", "https:"].contains(&&*scheme) && parts[1].is_empty());
    let host = parts[2].split('?').next().expect("there is one");
    assert!(!host.is_empty() && !host.contains('@'));
    let rest = &original[scheme.len() + "//".len() + host.len()..];
    let is_rest = passed == rest || passed.strip_prefix('/') == Some(rest);
    assert!(is_rest, "{original}");
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
    if let Ok(Some(head)) = verdict {
        lens.extend([head.head_len - 1, head.head_len]);
    }
    for prefix in lens.iter().filter_map(|len| bytes.get(..*len)) {
        check_prefix(prefix, verdict);
    }
}

fn check_prefix(prefix: &[u8], verdict: &Verdict) {
    let earlier = judge(prefix);
    match (&earlier, verdict) {
        (Ok(None), Ok(Some(head))) => assert!(prefix.len() < head.head_len),
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
