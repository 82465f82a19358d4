//! What bots set for the page, and ask about it and about people: profile, personas, hand-over, attachments, subscriptions.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::http::Response;
use super::parameters::{Parameters, Upload};
use super::send_api::check_shape;
use super::{APP_ID, PAGE, Reply, random};

mod people;
mod profile;

/// The app behind Meta's Page inbox.
const INBOX: &str = "263902037430900";

/// As long as Meta's ids are.
const LEAST_ID: u64 = 1_000_000_000_000_000;

/// What the page has, as bots have set it.
#[derive(Default)]
pub(crate) struct PageApi {
    /// Where files can be fetched.
    url: String,
    pub(crate) page: String,
    /// Where webhooks go, whatever an app says; none: where it says.
    pub(crate) webhook: Option<String>,
    /// The app's id, as far as bots have told it.
    app: String,
    pub(crate) profile: Map<String, Value>,
    /// What was made: the edge that it is behind, and itself.
    things: Vec<(String, Value)>,
    /// The app that has a person's conversation, where it is not ours.
    threads: HashMap<String, String>,
    files: Vec<Upload>,
}

impl PageApi {
    pub(crate) fn new(url: String) -> PageApi {
        PageApi {
            url,
            page: PAGE.to_string(),
            app: APP_ID.to_string(),
            ..PageApi::default()
        }
    }

    /// Whether another app has this person's conversation.
    pub(crate) fn is_handed_over(&self, person: &str) -> bool {
        self.threads.contains_key(person)
    }

    /// The conversation with this person is this app's.
    pub(crate) fn hand_over(&mut self, person: &str, app: &str) {
        if app == self.app {
            self.threads.remove(person);
        } else {
            self.threads.insert(person.to_string(), app.to_string());
        }
    }

    /// Whether a message to this person is taken, apart from what it is.
    pub(crate) fn check_message(&self, person: &str, call: &Parameters) -> Result<(), Reply> {
        let attachment = &call.get("message")["attachment"]["payload"]["attachment_id"];
        let is_wrong = |id: &Value, edge| !id.is_null() && self.thing(edge, id).is_none();
        if self.is_handed_over(person) {
            Err(Reply::error(400, 10, Some(2018300)))
        } else if is_wrong(call.get("persona_id"), "personas") {
            Err(Reply::wrong("The persona_id is not one of this page's"))
        } else if is_wrong(attachment, "message_attachments") {
            Err(Reply::wrong("Attachment ID is not valid"))
        } else {
            Ok(())
        }
    }

    /// The persona of a message; and where its files can be fetched: by `attachment_id`, or, of an upload, by nothing.
    pub(crate) fn shown(&mut self, call: &Parameters) -> (Value, Value) {
        let persona = self.thing("personas", call.get("persona_id")).cloned();
        let payload = &call.get("message")["attachment"]["payload"];
        let elements = payload["elements"].as_array().into_iter().flatten();
        let mut files = json!({});
        for id in elements.chain([payload]).map(|one| &one["attachment_id"]) {
            if let Some(file) = self.thing("message_attachments", id) {
                files[id_of(id)] = file["url"].clone();
            }
        }
        if let Some(file) = call.file.clone() {
            files[""] = self.keep(file).into();
        }
        (persona.unwrap_or_default(), files)
    }

    fn thing(&self, edge: &str, id: &Value) -> Option<&Value> {
        let (id, mut things) = (id_of(id), self.things.iter());
        Some(&things.find(|one| one.0 == edge && one.1["id"] == id)?.1)
    }

    /// Keeps a file that people can fetch; its address.
    fn keep(&mut self, file: Upload) -> String {
        self.files.push(file);
        format!("{}/files/{}", self.url, self.files.len() - 1)
    }

    pub(crate) fn file(&self, path: &str) -> Option<Response> {
        let (kind, bytes): (_, &[u8]) = match path.strip_prefix("/files/")? {
            "picture.png" => ("image/png", include_bytes!("files/picture.png")),
            "sound.wav" => ("audio/wav", include_bytes!("files/sound.wav")),
            "film.mp4" => ("video/mp4", include_bytes!("files/film.mp4")),
            "document.pdf" => ("application/pdf", include_bytes!("files/document.pdf")),
            number => {
                let file = self.files.get(number.parse::<usize>().ok()?)?;
                (&file.content_type, &file.bytes)
            }
        };
        Some(Response::new(200, kind, bytes))
    }

    /// What is asked of app, page or person; `is_known` tells whether somebody has written.
    pub(crate) fn answer(
        &mut self,
        method: &str,
        path: &str,
        call: &Parameters,
        is_known: &dyn Fn(&str) -> bool,
    ) -> Reply {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let is_page = |part: &str| part == "me" || part == self.page;
        let token = call.text("access_token");
        if let Some((app, _)) = token.split_once('|') {
            self.app = app.to_string();
        }
        match (method, parts.as_slice()) {
            ("GET", [page]) if is_page(page) => {
                let page = json!({"id": self.page, "name": "Simulated Page"});
                chosen(page, &call.list("fields"))
            }
            (_, [page, edge]) if is_page(page) => self.edge(method, edge, call),
            (_, [_, "subscriptions"]) => self.edge(method, "subscriptions", call),
            ("GET", ["debug_token"]) => Reply::done(&json!({"data": {
                "app_id": self.app, "type": "PAGE", "is_valid": true, "expires_at": 0,
                "profile_id": self.page, "scopes": ["pages_messaging", "pages_manage_metadata"],
            }})),
            ("GET", ["oauth", "access_token"]) => {
                let exchanged = call.text("fb_exchange_token");
                let app = format!("{}|simulated", call.text("client_id"));
                let token = if exchanged.is_empty() { app } else { exchanged };
                Reply::done(&json!({"access_token": token, "token_type": "bearer"}))
            }
            ("GET", [id]) => self.look_up(id, call, is_known),
            ("DELETE", [id]) if self.things.iter().any(|(_, thing)| thing["id"] == *id) => {
                self.things.retain(|(_, thing)| thing["id"] != *id);
                success()
            }
            _ => unknown(path),
        }
    }

    fn edge(&mut self, method: &str, edge: &str, call: &Parameters) -> Reply {
        match (method, edge) {
            (_, "messenger_profile") => self.messenger_profile(method, call),
            (_, "thread_settings") => self.thread_settings(method, call),
            ("GET", "thread_owner") => {
                let owner = self.threads.get(&call.text("recipient"));
                let owner = owner.unwrap_or(&self.app);
                Reply::done(&json!({"data": [{"thread_owner": {"app_id": owner}}]}))
            }
            ("GET", "secondary_receivers") => {
                Reply::done(&json!({"data": [{"id": INBOX, "name": "Page Inbox"}]}))
            }
            ("POST", edge) if edge.ends_with("_thread_control") => {
                if let Err(refusal) = check_shape(edge, call) {
                    return refusal;
                }
                let app = match edge {
                    "pass_thread_control" => call.text("target_app_id"),
                    "release_thread_control" => INBOX.to_string(),
                    "take_thread_control" => self.app.clone(),
                    _ => return success(),
                };
                self.hand_over(&id_of(&call.get("recipient")["id"]), &app);
                success()
            }
            (_, "personas" | "message_attachments" | "subscribed_apps" | "subscriptions") => {
                self.collection(method, edge, call)
            }
            _ => unknown(edge),
        }
    }

    /// Things that are made, listed and deleted.
    fn collection(&mut self, method: &str, edge: &str, call: &Parameters) -> Reply {
        let same = |(other, thing): &(String, Value)| {
            let object = call.get("object");
            other == edge && (object.is_null() || thing["object"] == *object)
        };
        if method == "GET" {
            let all = self.things.iter().filter(|one| same(one));
            let all: Vec<&Value> = all.map(|(_, thing)| thing).collect();
            return Reply::done(&json!({ "data": all }));
        }
        if method == "DELETE" {
            self.things.retain(|one| !same(one));
            return success();
        }
        if let Err(refusal) = check_shape(edge, call) {
            return refusal;
        }
        let is_single = edge.starts_with("subscri");
        if is_single {
            self.things.retain(|one| !same(one));
        }
        let get = |name| call.get(name);
        let mut thing = match edge {
            "personas" => {
                json!({"name": get("name"), "profile_picture_url": get("profile_picture_url")})
            }
            "message_attachments" => {
                let attachment = &get("message")["attachment"];
                let file = call.file.clone().map(|file| self.keep(file));
                let url = file.map_or(attachment["payload"]["url"].clone(), Value::from);
                json!({"type": attachment["type"], "url": url})
            }
            "subscriptions" => {
                let field = |name| json!({"name": name, "version": "v26.0"});
                let fields: Vec<Value> = call.list("fields").into_iter().map(field).collect();
                let url = self.webhook.clone().unwrap_or(call.text("callback_url"));
                json!({"object": get("object"), "callback_url": url, "active": true, "fields": fields})
            }
            _ => {
                let fields = call.list("subscribed_fields");
                json!({"id": self.app, "name": "Simulated App", "subscribed_fields": fields})
            }
        };
        let reply = if is_single {
            success()
        } else {
            let id = (LEAST_ID + random() % LEAST_ID).to_string();
            thing["id"] = id.as_str().into();
            let name = if edge == "personas" {
                "id"
            } else {
                "attachment_id"
            };
            Reply::done(&json!({ name: id }))
        };
        self.things.push((edge.to_string(), thing));
        reply
    }
}

fn id_of(value: &Value) -> String {
    match value {
        Value::String(id) => id.clone(),
        Value::Number(id) => id.to_string(),
        _ => String::new(),
    }
}

/// These fields, or all when there are none.
fn chosen(mut about: Value, fields: &[String]) -> Reply {
    if let (Some(about), false) = (about.as_object_mut(), fields.is_empty()) {
        about.retain(|name, _| name == "id" || fields.contains(name));
    }
    Reply::done(&about)
}

fn success() -> Reply {
    Reply::done(&json!({"success": true}))
}

fn unknown(path: &str) -> Reply {
    Reply::refusal(400, 2500, None, &format!("Unknown path components: {path}"))
}
