//! Answers, as they go to the client.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};
use std::time::SystemTime;

use httpdate::HttpDate;
use tiny_http::StatusCode;

/// An answer with its whole body.
#[derive(Debug)]
pub struct Answer {
    status: StatusCode,
    /// Each with its line end.
    header_lines: String,
    body: Cow<'static, str>,
}

impl Answer {
    /// An answer with this HTTP status and this body.
    pub fn new(status: u16, content_type: &str, body: impl Into<Cow<'static, str>>) -> Self {
        let answer = Self {
            status: StatusCode(status),
            header_lines: String::with_capacity(128),
            body: body.into(),
        };
        answer.with_header("Content-Type", content_type)
    }

    /// The same with one header more.
    ///
    /// # Panics
    /// When there is a control character in it: it would be more than one header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Display) -> Self {
        let begin = self.header_lines.len();
        write(&mut self.header_lines, format_args!("{name}: {value}"));
        assert!(
            !self.header_lines[begin..].contains(char::is_control),
            "a header is one line"
        );
        self.header_lines.push_str("\r\n");
        self
    }

    /// The whole answer, to be sent in one write. `connection` is a header line or nothing.
    pub(super) fn print(&self, connection: &str, to_head: bool) -> String {
        let Self {
            status,
            header_lines,
            body,
        } = self;
        let mut text = String::with_capacity(256 + header_lines.len() + body.len());
        let phrase = status.default_reason_phrase();
        let date = HttpDate::from(SystemTime::now());
        write(
            &mut text,
            format_args!("HTTP/1.1 {} {phrase}\r\nDate: {date}\r\n", status.0),
        );
        text.push_str(header_lines);
        text.push_str(connection);
        // These have no body, and nobody looks for one (RFC 9110, section 6.4.1).
        let is_empty = matches!(status.0, 204 | 304);
        if !is_empty {
            write(
                &mut text,
                format_args!("Content-Length: {}\r\n", body.len()),
            );
        }
        text.push_str("\r\n");
        if !is_empty && !to_head {
            text.push_str(body);
        }
        text
    }
}

fn write(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let written = text.write_fmt(arguments);
    written.expect("a String takes every write because it has no limit");
}

#[cfg(test)]
mod tests {
    use super::Answer;

    fn print(answer: &Answer, to_head: bool) -> String {
        let text = answer.print("Connection: close\r\n", to_head);
        let lines: Vec<_> = text.split("\r\n").collect();
        let is_timeless = |line: &&&str| !line.starts_with("Date: ");
        let timeless: Vec<_> = lines.iter().filter(is_timeless).copied().collect();
        assert_eq!(timeless.len(), lines.len() - 1, "{text}");
        timeless.join("|")
    }

    #[test]
    fn an_answer_is_printed_whole() {
        let answer = Answer::new(503, "text/plain", "not now").with_header("Retry-After", 1);
        assert_eq!(
            print(&answer, false),
            "HTTP/1.1 503 Service Unavailable|Content-Type: text/plain|Retry-After: 1|\
             Connection: close|Content-Length: 7||not now"
        );
    }

    #[test]
    fn an_answer_to_head_tells_the_length_that_it_would_have() {
        let answer = Answer::new(200, "text/plain", "grüß dich");
        assert_eq!(
            print(&answer, true),
            "HTTP/1.1 200 OK|Content-Type: text/plain|Connection: close|Content-Length: 11||"
        );
    }

    #[test]
    fn an_answer_that_has_no_body_has_no_length() {
        for status in [204, 304] {
            let printed = print(&Answer::new(status, "text/plain", "x"), false);
            assert!(printed.ends_with("|Connection: close||"), "{printed}");
        }
    }

    #[test]
    #[should_panic(expected = "a header is one line")]
    fn a_header_of_two_lines_is_a_bug() {
        let _ = Answer::new(200, "text/plain", "").with_header("Allow", "GET\r\nSet-Cookie: a");
    }
}
