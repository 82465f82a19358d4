//! Limits, lengths and expectations.

use super::*;

#[test]
fn a_head_of_8_kib_is_taken_and_a_byte_more_is_refused() {
    let fill = |len: usize| {
        let empty = get_with("A: \r\n").len();
        get_with(&format!("A: {}\r\n", "x".repeat(len - empty)))
    };
    assert_eq!(head_of(&fill(MAX_HEAD)).head_len, MAX_HEAD);
    assert_refused(&fill(MAX_HEAD + 1), refusal::HEAD_TOO_LARGE);
    assert_refused_at_once(
        &format!("GET /{}", "x".repeat(MAX_HEAD - 5)),
        refusal::HEAD_TOO_LARGE,
    );
}

#[test]
fn sixty_four_headers_are_taken_and_one_more_is_refused() {
    head_of(&get_with(&"A: b\r\n".repeat(MAX_HEADERS - 1)));
    assert_refused(
        &get_with(&"A: b\r\n".repeat(MAX_HEADERS)),
        refusal::TOO_MANY_HEADERS,
    );
}

#[test]
fn content_length_is_one_number_in_digits() {
    for value in [
        "", "+5", "-5", "5,5", "5, 5", "0x5", "5 5", "abc", "5.0", "\u{0665}",
    ] {
        assert_refused(
            &post_with(&format!("Content-Length: {value}\r\n")),
            refusal::BAD_LENGTH,
        );
    }
    assert_eq!(
        head_of(&post_with("content-length:  0007 \r\n")).body_len,
        7
    );
}

#[test]
fn two_content_lengths_are_refused() {
    assert_refused(
        &post_with("Content-Length: 5\r\ncontent-length: 5\r\n"),
        refusal::TWO_LENGTHS,
    );
    assert_refused(
        &post_with("Content-Length: 99999999\r\nContent-Length: 5\r\n"),
        refusal::TWO_LENGTHS,
    );
}

#[test]
fn transfer_codings_are_refused() {
    for value in ["chunked", "identity", "", "xchunked", "\u{b}chunked"] {
        let text = post_with(&format!("Transfer-Encoding: {value}\r\n"));
        let parsed = parse_text(&text).0;
        let is_refused = [refusal::LENGTH_REQUIRED, refusal::MALFORMED]
            .map(Err)
            .contains(&parsed);
        assert!(is_refused, "{text:?}");
    }
    assert_refused(
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        refusal::LENGTH_REQUIRED,
    );
    assert_refused(
        &post_with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
        refusal::TWO_LENGTHS,
    );
    assert_refused(
        &post_with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        refusal::TWO_LENGTHS,
    );
}

#[test]
fn a_body_of_4_mib_is_taken_and_a_byte_more_is_refused() {
    let announce = |len: &str| post_with(&format!("Content-Length: {len}\r\n"));
    assert_eq!(head_of(&announce(&MAX_BODY.to_string())).body_len, MAX_BODY);
    assert_refused(
        &announce(&(MAX_BODY + 1).to_string()),
        refusal::BODY_TOO_LARGE,
    );
    assert_refused(&announce("100000000000000000"), refusal::BODY_TOO_LARGE);
    assert_refused(&announce(&"9".repeat(100)), refusal::BODY_TOO_LARGE);
}

#[test]
fn only_100_continue_can_be_expected() {
    assert!(head_of(&post_with("Expect: 100-Continue\r\nContent-Length: 5\r\n")).expects_continue);
    assert!(
        !head_of("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            .expects_continue
    );
    for value in ["", "200-ok", "100-continue, 100-continue"] {
        assert_refused(
            &post_with(&format!("Expect: {value}\r\n")),
            refusal::EXPECTATION,
        );
    }
    assert_refused(
        &post_with("Expect: 100-continue\r\nExpect: x\r\n"),
        refusal::EXPECTATION,
    );
}
