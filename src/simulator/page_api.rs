//! What bots set for the page, and ask about people: profile, personas, hand-over, attachments.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::http::Response;
use super::parameters::{Parameters, Upload};
use super::profile::Profile;
use super::{APP_ID, PAGE, PEOPLE, Reply};

/// The app behind Meta's Page inbox.
const INBOX: &str = "263902037430900";

/// What the page has, as bots have set it.
pub(super) struct PageApi {
    /// Where files can be fetched.
    url: String,
    pub(super) page: String,
    pub(super) profile: Profile,
    personas: Vec<Value>,
    /// The app that has a person's conversation, where it is not ours.
    threads: HashMap<String, String>,
    attachments: HashMap<String, Value>,
    files: Vec<Upload>,
    subscribed: Option<Vec<String>>,
    ids: u64,
}

impl PageApi {
    pub(super) fn new(url: String) -> PageApi {
        PageApi {
            url,
            page: PAGE.to_string(),
            profile: Profile::default(),
            personas: Vec::new(),
            threads: HashMap::new(),
            attachments: HashMap::new(),
            files: Vec::new(),
            subscribed: None,
            ids: 0,
        }
    }

    /// Whether another app has this person's conversation.
    pub(super) fn is_handed_over(&self, person: &str) -> bool {
        self.threads.contains_key(person)
    }

    /// The conversation with this person is ours again, or another app's.
    pub(super) fn hand_over(&mut self, person: &str, to: Option<&str>) {
        match to.filter(|app| *app != APP_ID) {
            Some(app) => drop(self.threads.insert(person.to_string(), app.to_string())),
            None => drop(self.threads.remove(person)),
        }
    }

    /// The persona with this id: its name and picture.
    pub(super) fn persona(&self, id: &Value) -> Option<&Value> {
        let id = id
            .as_str()
            .map(str::to_string)
            .or_else(|| Some(id.as_u64()?.to_string()))?;
        self.personas.iter().find(|persona| persona["id"] == id)
    }

    /// An attachment by its id: `{"type", "url"}`.
    pub(super) fn attachment(&self, id: &Value) -> Option<&Value> {
        let id = id
            .as_str()
            .map(str::to_string)
            .or_else(|| Some(id.as_u64()?.to_string()))?;
        self.attachments.get(&id)
    }

    /// Why a message to this person is refused, apart from what it is.
    pub(super) fn check_message(&self, person: &str, call: &Parameters) -> Option<(String, Reply)> {
        if self.is_handed_over(person) {
            let words =
                "(#10) Message failed to send because another app is controlling this thread now.";
            return Some((
                words.to_string(),
                Reply::refusal(400, 10, Some(2018300), words),
            ));
        }
        let persona = call.get("persona_id");
        let payload = &call.get("message")["attachment"]["payload"];
        let words = if !persona.is_null() && self.persona(persona).is_none() {
            "(#100) The persona_id is not one of this page's"
        } else if !payload["attachment_id"].is_null()
            && self.attachment(&payload["attachment_id"]).is_none()
        {
            "(#100) Attachment ID is not valid"
        } else {
            return None;
        };
        Some((words.to_string(), Reply::refusal(400, 100, None, words)))
    }

    /// A message as people see it: with the addresses of what it names by ids, and the persona.
    pub(super) fn shown(&mut self, call: &Parameters) -> Value {
        let mut shown = call.get("message").clone();
        if let Some(persona) = self.persona(call.get("persona_id")) {
            shown["persona"] = persona.clone();
        }
        if !shown["attachment"].is_object() {
            return shown;
        }
        let payload = &mut shown["attachment"]["payload"];
        if let Some(file) = call.file.clone() {
            payload["url"] = self.keep(file).into();
        }
        if let Some(attachment) = self.attachment(&payload["attachment_id"]) {
            payload["url"] = attachment["url"].clone();
        }
        for element in payload["elements"].as_array_mut().into_iter().flatten() {
            if let Some(attachment) = self.attachment(&element["attachment_id"]) {
                element["url"] = attachment["url"].clone();
            }
        }
        shown
    }

    /// Keeps a file that people can fetch; its address.
    pub(super) fn keep(&mut self, file: Upload) -> String {
        self.files.push(file);
        format!("{}/files/{}", self.url, self.files.len() - 1)
    }

    pub(super) fn file(&self, path: &str) -> Option<Response> {
        let name = path.strip_prefix("/files/")?;
        let kept = name
            .parse()
            .ok()
            .and_then(|number: usize| self.files.get(number));
        let (content_type, bytes) = match kept {
            Some(file) => (file.content_type.as_str(), file.bytes.clone()),
            None => sample(name)?,
        };
        Some(Response::new(200, content_type, bytes))
    }

    /// What is asked of the page or of a person; none when it is nothing of that.
    pub(super) fn answer(&mut self, method: &str, path: &str, call: &Parameters) -> Option<Reply> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let is_page = |part: &str| part == "me" || part == self.page;
        match (method, parts.as_slice()) {
            ("GET", [page]) if is_page(page) => {
                let about = json!({"id": self.page, "name": "Simulated Page"});
                Some(chosen(&about, call))
            }
            (_, [page, edge]) if is_page(page) => self.edge(method, edge, call),
            ("GET", ["debug_token"]) => Some(Reply::done(&json!({"data": {
                "app_id": APP_ID, "type": "PAGE", "is_valid": true, "expires_at": 0,
                "scopes": ["pages_messaging", "pages_manage_metadata"],
            }}))),
            ("GET", [id]) => self.look_up(id, call),
            ("DELETE", [id]) if self.personas.iter().any(|persona| persona["id"] == **id) => {
                self.personas.retain(|persona| persona["id"] != **id);
                Some(success())
            }
            _ => None,
        }
    }

    fn edge(&mut self, method: &str, edge: &str, call: &Parameters) -> Option<Reply> {
        Some(match (method, edge) {
            (_, "messenger_profile") => self.profile.answer(method, call),
            (_, "thread_settings") => self.profile.thread_settings(method, call),
            ("GET", "personas") => Reply::done(&json!({"data": self.personas})),
            ("POST", "personas") => self.add_persona(call),
            (
                "POST",
                "pass_thread_control"
                | "take_thread_control"
                | "request_thread_control"
                | "release_thread_control",
            ) => self.thread_control(edge, call),
            ("GET", "thread_owner") => {
                let owner = self.threads.get(&call.text("recipient"));
                let owner = owner.map_or(APP_ID, String::as_str);
                Reply::done(&json!({"data": [{"thread_owner": {"app_id": owner}}]}))
            }
            ("GET", "secondary_receivers") => {
                Reply::done(&json!({"data": [{"id": INBOX, "name": "Page Inbox"}]}))
            }
            ("POST", "message_attachments") => self.add_attachment(call),
            ("POST", "subscribed_apps") => {
                self.subscribed = Some(call.list("subscribed_fields"));
                success()
            }
            ("GET", "subscribed_apps") => {
                let app = |fields: &Vec<String>| json!({"id": APP_ID, "name": "Simulated App", "subscribed_fields": fields});
                Reply::done(&json!({"data": self.subscribed.iter().map(app).collect::<Vec<_>>()}))
            }
            ("DELETE", "subscribed_apps") => {
                self.subscribed = None;
                success()
            }
            _ => return None,
        })
    }

    fn look_up(&self, id: &str, call: &Parameters) -> Option<Reply> {
        if let Some(persona) = self.personas.iter().find(|persona| persona["id"] == id) {
            return Some(chosen(persona, call));
        }
        let (_, first, last) = PEOPLE.iter().find(|(person, ..)| *person == id)?;
        let person = json!({
            "id": id, "first_name": first, "last_name": last, "name": format!("{first} {last}"),
            "profile_pic": format!("{}/files/picture.png", self.url),
            "locale": "en_GB", "timezone": 0, "gender": "female",
        });
        let mut call = call.clone();
        if call.get("fields").is_null() {
            let fields = json!("first_name,last_name,profile_pic");
            call.values.insert("fields".to_string(), fields);
        }
        Some(chosen(&person, &call))
    }

    fn add_persona(&mut self, call: &Parameters) -> Reply {
        let (name, picture) = (call.text("name"), call.text("profile_picture_url"));
        if name.is_empty() || picture.is_empty() {
            return Reply::wrong("The parameters name and profile_picture_url are required");
        }
        let id = self.new_id();
        self.personas
            .push(json!({"id": id, "name": name, "profile_picture_url": picture}));
        Reply::done(&json!({ "id": id }))
    }

    fn thread_control(&mut self, edge: &str, call: &Parameters) -> Reply {
        let person = call.get("recipient")["id"]
            .as_str()
            .unwrap_or_default()
            .to_string();
        let target = call.text("target_app_id");
        if person.is_empty() {
            return Reply::wrong("The parameter recipient is required");
        }
        match edge {
            "pass_thread_control" if target.is_empty() => {
                return Reply::wrong("The parameter target_app_id is required");
            }
            "pass_thread_control" => self.hand_over(&person, Some(&target)),
            "release_thread_control" => self.hand_over(&person, Some(INBOX)),
            "take_thread_control" => self.hand_over(&person, None),
            _ => {}
        }
        success()
    }

    fn add_attachment(&mut self, call: &Parameters) -> Reply {
        let attachment = &call.get("message")["attachment"];
        let kind = attachment["type"].as_str().unwrap_or_default();
        let url = match (&attachment["payload"]["url"], &call.file) {
            (_, Some(file)) => self.keep(file.clone()),
            (Value::String(url), None) => url.clone(),
            _ => {
                return Reply::wrong("Param message[attachment][payload] needs url or an upload");
            }
        };
        if !["image", "audio", "video", "file"].contains(&kind) {
            return Reply::wrong(
                "Param message[attachment][type] is not supported. Please check developer docs for details",
            );
        }
        let id = self.new_id();
        self.attachments
            .insert(id.clone(), json!({"type": kind, "url": url}));
        Reply::done(&json!({"attachment_id": id}))
    }

    fn new_id(&mut self) -> String {
        self.ids += 1;
        format!("{}", 1_854_626_884_821_032 + self.ids)
    }
}

/// The fields that were asked for.
fn chosen(about: &Value, call: &Parameters) -> Reply {
    let fields = call.list("fields");
    let mut chosen = about.clone();
    if let (Some(chosen), false) = (chosen.as_object_mut(), fields.is_empty()) {
        chosen.retain(|name, _| name == "id" || fields.contains(name));
    }
    Reply::done(&chosen)
}

fn success() -> Reply {
    Reply::done(&json!({"success": true}))
}

/// Files that people send: type and content.
fn sample(name: &str) -> Option<(&'static str, Vec<u8>)> {
    let (content_type, bytes): (_, &[u8]) = match name {
        "picture.png" => ("image/png", include_bytes!("files/picture.png")),
        "sound.wav" => ("audio/wav", include_bytes!("files/sound.wav")),
        "film.mp4" => ("video/mp4", include_bytes!("files/film.mp4")),
        "document.pdf" => ("application/pdf", include_bytes!("files/document.pdf")),
        _ => return None,
    };
    Some((content_type, bytes.to_vec()))
}
