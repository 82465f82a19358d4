//! What is asked about a person, or about a thing that has an id.

use serde_json::json;

use super::super::PEOPLE;
use super::{PageApi, Parameters, Reply, chosen};

impl PageApi {
    pub(super) fn look_up(
        &self,
        id: &str,
        call: &Parameters,
        is_known: &dyn Fn(&str) -> bool,
    ) -> Reply {
        if let Some((_, thing)) = self.things.iter().find(|(_, thing)| thing["id"] == id) {
            return chosen(thing.clone(), &call.list("fields"));
        }
        if !is_known(id) && id.bytes().all(|byte| byte.is_ascii_digit()) {
            // As public reports quote it (DiegoRBaquero/node-fb-messenger#15).
            let words = format!(
                "Unsupported get request. Object with ID '{id}' does not exist, cannot be loaded \
                 due to missing permissions, or does not support this operation"
            );
            return Reply::refusal(400, 100, Some(33), &words);
        }
        if !is_known(id) {
            return Reply::error(404, 803, None);
        }
        let named = PEOPLE.iter().find(|(person, ..)| *person == id);
        let (_, first, last) = named.copied().unwrap_or((id, "Person", id));
        let person = json!({
            "id": id, "first_name": first, "last_name": last, "name": format!("{first} {last}"),
            "profile_pic": format!("{}/files/picture.png", self.url),
            "locale": "en_GB", "timezone": 0, "gender": "female",
        });
        let mut fields = call.list("fields");
        if fields.is_empty() {
            fields = ["first_name", "last_name", "profile_pic"]
                .map(str::to_string)
                .to_vec();
        }
        chosen(person, &fields)
    }
}
