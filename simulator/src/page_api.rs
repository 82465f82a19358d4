//! What bots set for the page, and ask about it and about people: profile, personas, hand-over, attachments, subscriptions.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::event_log::EventLog;
use super::http::Response;
use super::parameters::{Parameters, Upload, text};
use super::{APP_ID, PAGE, PEOPLE, Reply, random, send_api};

mod profile;

/// The app behind Meta's Page inbox.
const INBOX: &str = "263902037430900";

/// As long as Meta's ids are.
const LEAST_ID: u64 = 1_000_000_000_000_000;

/// What is answered, or with which reply it is refused.
type Answer = Result<Value, Reply>;

/// What the page has, as bots have set it.
#[derive(Default)]
pub(crate) struct PageApi {
    /// Where files can be fetched.
    url: String,
    pub(crate) page: String,
    /// Where webhooks go, whatever an app says.
    pub(crate) webhook: String,
    /// The app's id, as far as bots have told it.
    app: String,
    pub(crate) profile: Map<String, Value>,
    /// What was made: the edge that it is behind, and itself.
    things: Vec<(String, Value)>,
    /// The app that has a person's conversation; ours where none is named.
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
        let owner = self.threads.get(person);
        owner.is_some_and(|owner| *owner != self.app)
    }

    /// The conversation with this person is this app's.
    pub(crate) fn hand_over(&mut self, person: &str, app: &str) {
        self.threads.insert(person.to_string(), app.to_string());
    }

    /// Whether the real Send API would take this message to this person.
    pub(crate) fn check_message(&self, person: &str, call: &Parameters) -> Result<(), Reply> {
        if call.text("access_token").is_empty() {
            return Err(Reply::error(400, 2500, None));
        }
        send_api::check(call)?;
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
                files[text(id)] = file["url"].clone();
            }
        }
        if let Some(file) = call.file.clone() {
            files[""] = self.keep(file).into();
        }
        (persona.unwrap_or_default(), files)
    }

    fn thing(&self, edge: &str, id: &Value) -> Option<&Value> {
        let (id, mut things) = (text(id), self.things.iter());
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

    /// What app, page or person answer, or why they refuse; `log` tells whether somebody has written.
    pub(crate) fn answer(&mut self, call: &Parameters, log: &EventLog) -> Answer {
        let tokens = ["access_token", "input_token", "grant_type"];
        if tokens.iter().all(|name| call.get(name).is_null()) {
            return Err(Reply::error(400, 104, None));
        }
        if let Some((app, _)) = call.text("access_token").split_once('|') {
            self.app = app.to_string();
        }
        let parts = call.path.split('/');
        let parts = parts.map(|part| if part == self.page { "me" } else { part });
        let parts: Vec<&str> = parts.collect();
        match (call.method.as_str(), parts.as_slice()) {
            ("GET", ["me"]) => {
                let page = json!({"id": self.page, "name": "Simulated Page"});
                Ok(chosen(page, &call.list("fields")))
            }
            (_, ["me", "messenger_profile"]) => self.messenger_profile(call),
            (_, ["me", "thread_settings"]) => self.thread_settings(call),
            ("GET", ["me", "thread_owner"]) => {
                let owner = self.threads.get(&call.text("recipient"));
                let owner = owner.unwrap_or(&self.app);
                Ok(json!({"data": [{"thread_owner": {"app_id": owner}}]}))
            }
            ("GET", ["me", "secondary_receivers"]) => {
                Ok(json!({"data": [{"id": INBOX, "name": "Page Inbox"}]}))
            }
            ("POST", ["me", edge]) if edge.ends_with("_thread_control") => {
                send_api::check_shape(edge, call)?;
                let app = match *edge {
                    "pass_thread_control" => call.text("target_app_id"),
                    "release_thread_control" => INBOX.to_string(),
                    "take_thread_control" => self.app.clone(),
                    _ => return success(),
                };
                self.hand_over(&text(&call.get("recipient")["id"]), &app);
                success()
            }
            (
                _,
                [
                    "me",
                    edge @ ("personas" | "message_attachments" | "subscribed_apps"),
                ],
            )
            | (_, [_, edge @ "subscriptions"]) => self.collection(edge, call),
            ("GET", ["debug_token"]) => Ok(json!({"data": {
                "app_id": self.app, "type": "PAGE", "is_valid": true, "expires_at": 0,
                "profile_id": self.page, "scopes": ["pages_messaging", "pages_manage_metadata"],
            }})),
            ("GET", ["oauth", "access_token"]) => {
                let exchanged = call.text("fb_exchange_token");
                let app = format!("{}|simulated", call.text("client_id"));
                let token = if exchanged.is_empty() { app } else { exchanged };
                Ok(json!({"access_token": token, "token_type": "bearer"}))
            }
            ("GET", [id]) => self.look_up(id, call, log),
            ("DELETE", [id]) if self.things.iter().any(|(_, thing)| thing["id"] == *id) => {
                self.things.retain(|(_, thing)| thing["id"] != *id);
                success()
            }
            _ => {
                let words = format!("Unknown path components: /{}", call.path);
                Err(Reply::refusal(400, 2500, None, &words))
            }
        }
    }

    /// Things that are made, listed and deleted.
    fn collection(&mut self, edge: &str, call: &Parameters) -> Answer {
        let object = call.get("object");
        let same = |(other, thing): &(String, Value)| {
            other == edge && (object.is_null() || thing["object"] == *object)
        };
        if call.method == "GET" {
            let all = self.things.iter().filter(|one| same(one));
            let all: Value = all.map(|(_, thing)| thing.clone()).collect();
            return Ok(json!({ "data": all }));
        }
        if call.method == "DELETE" {
            self.things.retain(|one| !same(one));
            return success();
        }
        send_api::check_shape(edge, call)?;
        // There is one subscription, and any number of other things.
        if edge.starts_with("subscri") {
            self.things.retain(|one| !same(one));
        }
        let id = (LEAST_ID + random() % LEAST_ID).to_string();
        let (thing, answer) = match edge {
            "personas" => {
                let (name, picture) = (call.get("name"), call.get("profile_picture_url"));
                let persona = json!({"id": id, "name": name, "profile_picture_url": picture});
                (persona, json!({"id": id}))
            }
            "message_attachments" => {
                let attachment = &call.get("message")["attachment"];
                let file = call.file.clone().map(|file| self.keep(file));
                let url = file.map_or(attachment["payload"]["url"].clone(), Value::from);
                let attachment = json!({"id": id, "type": attachment["type"], "url": url});
                (attachment, json!({"attachment_id": id}))
            }
            "subscriptions" => {
                let field = |name| json!({"name": name, "version": "v26.0"});
                let fields: Value = call.list("fields").into_iter().map(field).collect();
                let subscription = json!({
                    "object": object, "callback_url": self.webhook, "active": true, "fields": fields,
                });
                (subscription, json!({"success": true}))
            }
            _ => {
                let (id, fields) = (&self.app, call.list("subscribed_fields"));
                let app = json!({"id": id, "name": "Simulated App", "subscribed_fields": fields});
                (app, json!({"success": true}))
            }
        };
        self.things.push((edge.to_string(), thing));
        Ok(answer)
    }

    /// What is asked about a person, or about a thing that has an id.
    fn look_up(&self, id: &str, call: &Parameters, log: &EventLog) -> Answer {
        let mut fields = call.list("fields");
        if let Some((_, thing)) = self.things.iter().find(|(_, thing)| thing["id"] == id) {
            return Ok(chosen(thing.clone(), &fields));
        }
        if log.person(id).is_none() {
            if !id.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(Reply::error(404, 803, None));
            }
            // As public reports quote it (DiegoRBaquero/node-fb-messenger#15).
            let words = format!(
                "Unsupported get request. Object with ID '{id}' does not exist, cannot be loaded \
                 due to missing permissions, or does not support this operation"
            );
            return Err(Reply::refusal(400, 100, Some(33), &words));
        }
        let named = PEOPLE.iter().find(|(person, ..)| *person == id);
        let (_, first, last) = named.copied().unwrap_or((id, "Person", id));
        let person = json!({
            "id": id, "first_name": first, "last_name": last, "name": format!("{first} {last}"),
            "profile_pic": format!("{}/files/picture.png", self.url),
            "locale": "en_GB", "timezone": 0, "gender": "female",
        });
        let usual = ["first_name", "last_name", "profile_pic"];
        if fields.is_empty() {
            fields = usual.map(str::to_string).to_vec();
        }
        Ok(chosen(person, &fields))
    }
}

/// These fields, or all when there are none.
fn chosen(mut about: Value, fields: &[String]) -> Value {
    if let (Some(about), false) = (about.as_object_mut(), fields.is_empty()) {
        about.retain(|name, _| name == "id" || fields.contains(name));
    }
    about
}

fn success() -> Answer {
    Ok(json!({"success": true}))
}
