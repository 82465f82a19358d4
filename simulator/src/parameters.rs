//! The parameters of a call of the Graph API, wherever they stand: query, form, JSON, multipart.
//!
//! A value may be JSON in a string (`recipient={"id":"7"}`, as Meta's own reference writes it), also inside of JSON.

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::http::Request;

/// All parameters of a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parameters {
    /// The request's method, or the one that a parameter names instead.
    pub(crate) method: String,
    /// The path without slashes around it, and without a version: `me/messages`.
    pub(crate) path: String,
    /// An object, or null.
    pub(crate) values: Value,
    /// The file of an upload.
    pub(crate) file: Option<Upload>,
    /// Something about the body that the Graph API passes over.
    pub(crate) remark: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Upload {
    pub(crate) content_type: String,
    pub(crate) bytes: Vec<u8>,
}

impl Parameters {
    pub(crate) fn of(request: &Request) -> Parameters {
        let path = request.path().trim_matches('/');
        let (version, rest) = path.split_once('/').unwrap_or((path, ""));
        let number = version.strip_prefix('v').unwrap_or_default();
        let has_version = number.starts_with(|c: char| c.is_ascii_digit());
        let mut found = Parameters {
            path: if has_version { rest } else { path }.to_string(),
            ..Parameters::default()
        };
        found.add_form(request.query());
        let content_type = request.header("Content-Type");
        let is_json = content_type.contains("json");
        let is_object = request.body.trim_ascii_start().starts_with(b"{");
        if let Some((_, boundary)) = content_type.split_once("boundary=") {
            found.add_multipart(&request.body, boundary.trim_matches('"'));
        } else if !is_object && !is_json {
            found.add_form(&String::from_utf8_lossy(&request.body));
        } else if !request.body.is_empty() {
            if !is_json {
                let words = format!("the body is JSON, and its Content-Type is {content_type:?}");
                found.remark = Some(words);
            }
            match serde_json::from_slice(&request.body) {
                Ok(Value::Object(values)) => {
                    for (name, value) in values {
                        found.add(&name, value);
                    }
                }
                _ => found.remark = Some("the body is no well-formed JSON object".to_string()),
            }
        }
        if let Some((_, token)) = request.header("Authorization").split_once(' ') {
            found.add("access_token", token.into());
        }
        found.method = match found.get("method").as_str() {
            Some(method) if request.method == "POST" => method.to_uppercase(),
            _ => request.method.clone(),
        };
        found
    }

    /// Null where there is none.
    pub(crate) fn get(&self, name: &str) -> &Value {
        &self.values[name]
    }

    /// As a text; empty where there is none.
    pub(crate) fn text(&self, name: &str) -> String {
        text(self.get(name))
    }

    /// A list, which may be JSON or have commas between.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        if let Value::Array(items) = self.get(name) {
            return items.iter().map(text).collect();
        }
        let text = self.text(name);
        let items = text.split(',').filter(|item| !item.is_empty());
        items.map(|item| item.trim().to_string()).collect()
    }

    /// `a[b][0]` stands in the list `b` of `a`, as PHP's `http_build_query` writes it, and `a[b][]` is the next one there.
    fn add(&mut self, name: &str, value: Value) {
        let parts = name.split('[').map(|part| part.trim_end_matches(']'));
        let path: Vec<&str> = parts.collect();
        let is_structure = match path.as_slice() {
            [_] | [.., "attachment", "payload"] => true,
            [.., last] => ["attachment", "elements", "buttons", "quick_replies"].contains(last),
            [] => false,
        };
        let mut at = &mut self.values;
        for (depth, part) in path.into_iter().enumerate() {
            if depth > 0 && part.bytes().all(|byte| byte.is_ascii_digit()) {
                let mut list = match at.take() {
                    Value::Array(list) => list,
                    _ => Vec::new(),
                };
                let number = part.parse().unwrap_or(usize::MAX).min(list.len());
                if number == list.len() {
                    list.push(Value::Null);
                }
                *at = list.into();
                at = &mut at[number];
            } else {
                if !at.is_object() {
                    *at = json!({});
                }
                at = &mut at[part];
            }
        }
        *at = if is_structure { decoded(value) } else { value };
    }

    fn add_form(&mut self, form: &str) {
        for pair in form.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            self.add(&percent_decoded(name), percent_decoded(value).into());
        }
    }

    fn add_multipart(&mut self, mut body: &[u8], boundary: &str) {
        let mark = format!("--{boundary}");
        while let Some((part, rest)) = split_once(body, mark.as_bytes()) {
            body = rest;
            let Some((head, content)) = split_once(part, b"\r\n\r\n") else {
                continue;
            };
            let content = content.strip_suffix(b"\r\n").unwrap_or(content);
            let head = String::from_utf8_lossy(head);
            let quoted = |name: &str| head.split_once(name)?.1.split('"').next();
            if quoted("filename=\"").is_some() {
                let mut headers = head.lines().filter_map(|line| line.split_once(':'));
                let kind = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
                self.file = Some(Upload {
                    content_type: kind.map_or("", |(_, kind)| kind.trim()).to_string(),
                    bytes: content.to_vec(),
                });
            } else if let Some(name) = quoted(" name=\"") {
                self.add(name, String::from_utf8_lossy(content).into());
            }
        }
    }
}

/// A value as a text; empty where there is none.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// A text that is a JSON object, list or truth value is that; so is `{'id':'7'}`, which Meta's reference writes.
fn decoded(value: Value) -> Value {
    let Value::String(text) = &value else {
        return value;
    };
    let parsed = serde_json::from_str(text).or_else(|_| serde_json::from_str(&double_quoted(text)));
    let is_structure = |value: &Value| value.is_object() || value.is_array() || value.is_boolean();
    parsed.ok().filter(is_structure).unwrap_or(value)
}

/// JSON with single quotes, as JSON. `\'` is a quote inside of a text, and so is `"`, with a backslash or without.
fn double_quoted(text: &str) -> String {
    let text = text.replace(r#"\""#, "\"").replace('"', r#"\""#);
    let parts = text.split(r"\'").map(|part| part.replace('\'', "\""));
    parts.collect::<Vec<_>>().join("'")
}

fn percent_decoded(text: &str) -> String {
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8_lossy().into_owned()
}

fn split_once<'a>(text: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let mut windows = text.windows(mark.len());
    let at = windows.position(|window| window == mark)?;
    Some((&text[..at], &text[at + mark.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(content_type: &str, target: &str, body: &str) -> Parameters {
        Parameters::of(&Request {
            method: "POST".to_string(),
            target: target.to_string(),
            headers: format!("content-type: {content_type}\n"),
            body: body.as_bytes().to_vec(),
            ..Request::default()
        })
    }

    #[test]
    fn a_message_is_the_same_however_it_is_written() {
        let json = r#"{"recipient":{"id":"7"},"message":{"text":"a b+c&é"}}"#;
        let inside = r#"{"recipient":"{\"id\":\"7\"}","message":"{\"text\":\"a b+c&é\"}"}"#;
        let form =
            "recipient=%7B%22id%22%3A%227%22%7D&message=%7B%22text%22%3A%22a+b%2Bc%26%C3%A9%22%7D";
        let brackets = "recipient[id]=7&message[text]=a%20b%2Bc%26%C3%A9";
        let multipart = "--x\r\nContent-Disposition: form-data; name=\"recipient\"\r\n\r\n{\"id\":\"7\"}\r\n\
                         --x\r\nContent-Disposition: form-data; name=\"message\"\r\n\r\n{\"text\":\"a b+c&é\"}\r\n--x--\r\n";
        let urlencoded = "application/x-www-form-urlencoded";
        for found in [
            of("application/json; charset=utf-8", "/", json),
            of("application/json", "/", inside),
            of(urlencoded, "/", form),
            of(urlencoded, "/", brackets),
            of(
                urlencoded,
                "/",
                "recipient={'id':'7'}&message={'text':'a b%2Bc%26%C3%A9'}",
            ),
            of(
                "",
                "/?recipient={'id':'7'}&message={'text':'a b%2Bc%26%C3%A9'}",
                "",
            ),
            of("", &format!("/?{form}"), ""),
            of("multipart/form-data; boundary=x", "/", multipart),
            of("multipart/form-data; boundary=\"x\"", "/", multipart),
        ] {
            assert_eq!(found.get("recipient"), &json!({"id": "7"}), "{found:?}");
            assert_eq!(
                found.get("message"),
                &json!({"text": "a b+c&é"}),
                "{found:?}"
            );
            assert_eq!(found.remark, None);
        }
    }

    #[test]
    fn nested_forms_are_lists_and_objects_at_any_depth() {
        let form = "message[attachment][type]=template&message[attachment][payload][elements][0][title]=a\
                    &message[attachment][payload][elements][1][buttons][0][type]=postback\
                    &message[quick_replies][][title]=x&message[quick_replies][][title]=y&message[text]={\"a\":1}";
        let found = of("application/x-www-form-urlencoded", "/", form);
        let elements = json!([{"title": "a"}, {"buttons": [{"type": "postback"}]}]);
        let message = json!({
            "attachment": {"type": "template", "payload": {"elements": elements}},
            "quick_replies": [{"title": "x"}, {"title": "y"}],
            "text": "{\"a\":1}",
        });
        assert_eq!(found.get("message"), &message);
    }

    #[test]
    fn quotes_inside_of_quotes_stay() {
        let text = r#"{'text':'it\'s \"so\" and "so", \u00e9'}"#;
        let meant = json!({"text": "it's \"so\" and \"so\", é"});
        assert_eq!(decoded(Value::from(text)), meant);
        assert_eq!(decoded(Value::from("it's")), json!("it's"));
    }

    #[test]
    fn a_file_comes_with_its_type() {
        let body = "--x\r\nContent-Disposition: form-data; name=\"filedata\"; filename=\"a.png\"\r\n\
                    Content-Type: image/png\r\n\r\n\u{1}\r\n\u{2}\r\n--x--";
        let file = of("multipart/form-data; boundary=x", "/", body).file;
        let file = file.expect("there is one");
        assert_eq!(file.content_type, "image/png");
        assert_eq!(file.bytes, b"\x01\r\n\x02");
    }

    #[test]
    fn what_the_graph_api_would_pass_over_is_remarked() {
        for (content_type, body) in [("text/plain", "{}"), ("application/json", "[]"), ("", "{a")] {
            assert!(of(content_type, "/", body).remark.is_some(), "{body}");
        }
        let odd = of("", "/?fields=a&=1&7=8", "");
        assert_eq!(
            (odd.text("fields"), odd.text("7")),
            ("a".to_string(), "8".to_string())
        );
        assert_eq!(of("", "/?fields=a,b", "").list("fields"), ["a", "b"]);
        assert_eq!(of("", "/?fields=[\"a\"]", "").list("fields"), ["a"]);
    }
}
