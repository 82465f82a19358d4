//! Where an answer of tiny_http ends.

/// Header lines of an answer: tiny_http's three and the caller's few.
const MAX_ANSWER_HEADERS: usize = 32;

/// The frame of an answer of tiny_http.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) head_len: usize,
    /// Bytes that follow the head: 0 when the answer has no body, whatever its `Content-Length` says.
    pub(super) body_len: usize,
}

/// An answer that the door cannot relay: no length, or no HTTP at all.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadAnswer;

/// Finds the frame of tiny_http's answer; `None` when its head is not all there.
pub(super) fn parse_answer(bytes: &[u8], to_head: bool) -> Result<Option<Answer>, BadAnswer> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_ANSWER_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let head_len = match response.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(BadAnswer),
    };
    let find = |name: &str| {
        response
            .headers
            .iter()
            .find(|h| h.name.eq_ignore_ascii_case(name))
    };
    if find("transfer-encoding").is_some() {
        return Err(BadAnswer);
    }
    let has_no_body = to_head || matches!(response.code, Some(100..=199 | 204 | 304));
    let length =
        find("content-length").and_then(|h| std::str::from_utf8(h.value).ok()?.parse().ok());
    match length {
        _ if has_no_body => Ok(Some(Answer {
            head_len,
            body_len: 0,
        })),
        Some(body_len) => Ok(Some(Answer { head_len, body_len })),
        None => Err(BadAnswer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_where_its_length_says() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        for len in 0..text.len() - 2 {
            assert_eq!(parse_answer(&text.as_bytes()[..len], false), Ok(None));
        }
        let frame = |body_len| {
            Ok(Some(Answer {
                head_len: text.len() - 2,
                body_len,
            }))
        };
        assert_eq!(parse_answer(text.as_bytes(), false), frame(2));
        assert_eq!(parse_answer(text.as_bytes(), true), frame(0));
    }

    #[test]
    fn answers_without_a_body_have_none_whatever_they_say() {
        for code in [204, 304] {
            let text = format!("HTTP/1.1 {code} x\r\nContent-Length: 2\r\n\r\n");
            let frame = Answer {
                head_len: text.len(),
                body_len: 0,
            };
            assert_eq!(parse_answer(text.as_bytes(), false), Ok(Some(frame)));
        }
    }

    #[test]
    fn answers_without_a_length_are_bad() {
        for text in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            "nonsense",
        ] {
            assert_eq!(
                parse_answer(text.as_bytes(), false),
                Err(BadAnswer),
                "{text:?}"
            );
        }
    }
}
