//! The parameters of a call of the Graph API, wherever they stand: query, form, JSON, multipart.
//!
//! A value may be JSON in a string (`recipient={"id":"7"}`, as Meta's own reference writes it), also inside of JSON.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::http::Request;

/// All parameters of a call.
#[derive(Debug, Clone, Default)]
pub(super) struct Parameters {
    pub(super) values: Map<String, Value>,
    /// The file of an upload.
    pub(super) file: Option<Upload>,
    /// Something about the body that the Graph API passes over.
    pub(super) remark: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Upload {
    pub(super) content_type: String,
    pub(super) bytes: Vec<u8>,
}

impl Parameters {
    pub(super) fn of(request: &Request) -> Parameters {
        let mut found = Parameters::default();
        found.add_form(request.query());
        let content_type = request.header("Content-Type");
        let boundary = content_type.split("boundary=").nth(1);
        let text = || String::from_utf8_lossy(&request.body);
        if let Some(boundary) = boundary {
            found.add_multipart(&request.body, boundary.trim_matches('"'));
        } else if request.body.trim_ascii_start().starts_with(b"{") {
            found.add_json(&request.body);
            if !content_type.contains("json") {
                let remark = format!("the body is JSON, and its Content-Type is {content_type:?}");
                found.remark = Some(remark);
            }
        } else if content_type.contains("json") && !request.body.is_empty() {
            found.remark = Some("the body is no JSON object".to_string());
        } else {
            found.add_form(&text());
        }
        found
    }

    /// Null where there is none.
    pub(super) fn get(&self, name: &str) -> &Value {
        self.values.get(name).unwrap_or(&Value::Null)
    }

    /// As a text; empty where there is none.
    pub(super) fn text(&self, name: &str) -> String {
        match self.get(name) {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        }
    }

    /// A list, which may be JSON or have commas between.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        match self.get(name) {
            Value::Array(items) => {
                let texts = items.iter().filter_map(Value::as_str);
                texts.map(str::to_string).collect()
            }
            Value::String(text) => text
                .split(',')
                .map(|item| item.trim().to_string())
                .collect(),
            _ => Vec::new(),
        }
    }

    fn add(&mut self, name: &str, value: &str) {
        let value = decoded(Value::String(value.to_string()));
        // `a[b]` is what some clients make of an object.
        let (name, inner) = match name.split_once('[') {
            Some((name, inner)) => (name, inner.strip_suffix(']')),
            None => (name, None),
        };
        match inner {
            Some(inner) => {
                let object = self
                    .values
                    .entry(name)
                    .or_insert_with(|| Value::Object(Map::new()));
                if let Some(object) = object.as_object_mut() {
                    object.insert(inner.to_string(), value);
                }
            }
            None => drop(self.values.insert(name.to_string(), value)),
        }
    }

    fn add_form(&mut self, form: &str) {
        for pair in form.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            self.add(&percent_decoded(name), &percent_decoded(value));
        }
    }

    fn add_json(&mut self, body: &[u8]) {
        match serde_json::from_slice(body) {
            Ok(Value::Object(values)) => {
                let values = values
                    .into_iter()
                    .map(|(name, value)| (name, decoded(value)));
                self.values.extend(values);
            }
            _ => self.remark = Some("the body is not well-formed JSON".to_string()),
        }
    }

    fn add_multipart(&mut self, body: &[u8], boundary: &str) {
        let mark = [b"--", boundary.as_bytes()].concat();
        for part in split(body, &mark).into_iter().skip(1) {
            let Some(end) = find(part, b"\r\n\r\n") else {
                continue;
            };
            let head = String::from_utf8_lossy(&part[..end]).into_owned();
            let content = &part[end + 4..];
            let content = content.strip_suffix(b"\r\n").unwrap_or(content);
            let quoted = |name: &str| {
                let value = head.split(&format!("{name}=\"")).nth(1)?;
                Some(value.split('"').next()?.to_string())
            };
            let content_type = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-type")
                    .then(|| value.trim().to_string())
            });
            match (quoted(" name"), quoted("filename")) {
                (_, Some(_)) => {
                    self.file = Some(Upload {
                        content_type: content_type.unwrap_or_default(),
                        bytes: content.to_vec(),
                    });
                }
                (Some(name), None) => self.add(&name, &String::from_utf8_lossy(content)),
                (None, None) => {}
            }
        }
    }
}

/// A text that is a JSON object, list or truth value is that.
fn decoded(value: Value) -> Value {
    let Value::String(text) = &value else {
        return value;
    };
    let parsed = serde_json::from_str(text).ok();
    let is_structure = |value: &Value| value.is_object() || value.is_array() || value.is_boolean();
    parsed.filter(is_structure).unwrap_or(value)
}

fn percent_decoded(text: &str) -> String {
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8_lossy().into_owned()
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

fn split<'a>(mut text: &'a [u8], mark: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    while let Some(at) = find(text, mark) {
        parts.push(&text[..at]);
        text = &text[at + mark.len()..];
    }
    parts.push(text);
    parts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(content_type: &str, target: &str, body: &str) -> Parameters {
        Parameters::of(&Request {
            method: "POST".to_string(),
            target: target.to_string(),
            headers: vec![("content-type".to_string(), content_type.to_string())],
            body: body.as_bytes().to_vec(),
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
        assert_eq!(of("", "/?fields=a,b", "").list("fields"), ["a", "b"]);
        assert_eq!(of("", "/?fields=[\"a\"]", "").list("fields"), ["a"]);
    }
}
