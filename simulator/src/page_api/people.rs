//! What is asked about a person, or about a thing that has an id.

use serde_json::json;

use super::super::PEOPLE;
use super::{Answer, EventLog, PageApi, Parameters, Reply, chosen};

impl PageApi {
    pub(super) fn look_up(&self, id: &str, call: &Parameters, log: &EventLog) -> Answer {
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
        if fields.is_empty() {
            fields = ["first_name", "last_name", "profile_pic"]
                .map(str::to_string)
                .to_vec();
        }
        Ok(chosen(person, &fields))
    }
}
