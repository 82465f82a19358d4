//! The parameters of a call of the Graph API, wherever they stand: query, form, JSON, multipart.
//!
//! A value may be JSON in a string (`recipient={"id":"7"}`, as Meta's own reference writes it), also inside of JSON.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::http::Request;

/// All parameters of a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parameters {
    pub(crate) values: Map<String, Value>,
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
    pub(crate) fn get(&self, name: &str) -> &Value {
        self.values.get(name).unwrap_or(&Value::Null)
    }

    /// As a text; empty where there is none.
    pub(crate) fn text(&self, name: &str) -> String {
        match self.get(name) {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        }
    }

    /// A list, which may be JSON or have commas between.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
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

    /// `a[b][0]` stands in the list `b` of `a`, as PHP's `http_build_query` writes it.
    fn add(&mut self, name: &str, value: &str) {
        let path: Vec<&str> = name
            .split('[')
            .map(|part| part.trim_end_matches(']'))
            .collect();
        let is_structure = matches!(
            path.as_slice(),
            [_] | [.., "attachment" | "elements" | "buttons" | "quick_replies"]
                | [.., "attachment", "payload"]
        );
        let value = Value::String(value.to_string());
        let value = if is_structure { decoded(value) } else { value };
        let (first, rest) = (path[0], &path[1..]);
        insert(self.values.entry(first).or_insert(Value::Null), rest, value);
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

fn insert(at: &mut Value, path: &[&str], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        *at = value;
        return;
    };
    let number = first.parse().or(if first.is_empty() {
        Ok(usize::MAX)
    } else {
        Err(())
    });
    let inner = match number {
        Ok(number) => {
            if !at.is_array() {
                *at = Value::Array(Vec::new());
            }
            let Some(list) = at.as_array_mut() else {
                return;
            };
            let number: usize = list.len().min(number);
            if number == list.len() {
                list.push(Value::Null);
            }
            &mut list[number]
        }
        Err(()) => {
            if !at.is_object() {
                *at = Value::Object(Map::new());
            }
            &mut at[*first]
        }
    };
    insert(inner, rest, value);
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

/// JSON with single quotes, as JSON.
fn double_quoted(text: &str) -> String {
    let (mut json, mut quote, mut chars) = (String::new(), None, text.chars());
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', Some(_)) => match chars.next() {
                Some('\'') => json.push('\''),
                next => json.extend(['\\'].into_iter().chain(next)),
            },
            ('\'' | '"', None) => {
                quote = Some(c);
                json.push('"');
            }
            (c, Some(open)) if c == open => {
                quote = None;
                json.push('"');
            }
            ('"', Some(_)) => json += "\\\"",
            (c, _) => json.push(c),
        }
    }
    json
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
        assert_eq!(of("", "/?fields=a,b", "").list("fields"), ["a", "b"]);
        assert_eq!(of("", "/?fields=[\"a\"]", "").list("fields"), ["a"]);
    }
}
