//! Where an answer of the door ends.

/// The lengths of the head and of the body that follows it; `None` when the head is not all there.
pub(super) fn frame(bytes: &[u8], to_head: bool) -> Option<(usize, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let head_len = match response.parse(bytes).expect("a good answer") {
        httparse::Status::Complete(len) => len,
        httparse::Status::Partial => return None,
    };
    let has_no_body = to_head || matches!(response.code, Some(100..=199 | 204 | 304));
    let mut headers = response.headers.iter();
    let length = headers.find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.filter(|_| !has_no_body).map_or(0, |header| {
        let digits = std::str::from_utf8(header.value).expect("a length is text");
        digits.parse().expect("a length is a number")
    });
    Some((head_len, length))
}
