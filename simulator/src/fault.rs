//! A fault that the Graph API has besides: of chosen calls, with a chosen answer.

use serde_json::json;

use super::Reply;

/// How faults are written, for people.
pub const FAULTS: &str =
    "a code such as 190 or 368/1346003, delivered (and answered 500), gzip, or limited/MINUTES";

/// A fault of the Send API.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fault {
    /// As [`FAULTS`] says; empty: none.
    pub what: String,
    /// Whose calls have it; none: everybody's.
    pub person: Option<String>,
    /// So many calls have it; none: all.
    pub calls: Option<u64>,
}

impl Fault {
    /// A fault of all calls; none when it is not understood.
    pub fn parse(what: &str) -> Option<Fault> {
        let what = what.trim().to_string();
        (what.is_empty() || reply(&what).is_some()).then_some(Fault {
            what,
            ..Fault::default()
        })
    }

    /// The reply to a call for this person, if it has the fault.
    pub fn take(&mut self, recipient: &str) -> Option<Reply> {
        let whose = self.person.as_deref();
        let is_theirs = whose.is_none_or(|person| person == recipient);
        if !is_theirs || self.calls == Some(0) {
            return None;
        }
        let reply = reply(&self.what)?;
        self.calls = self.calls.map(|calls| calls - 1);
        Some(reply)
    }
}

fn reply(what: &str) -> Option<Reply> {
    let (word, number) = what.split_once('/').unwrap_or((what, "0"));
    let (code, number) = (word.parse().ok(), number.parse::<i64>().ok()?);
    let subcode = what.contains('/').then_some(number);
    let mut reply = match word {
        "delivered" => Reply::answer(500, "<html>Internal Server Error</html>"),
        "gzip" => Reply::answer(200, "\u{1f}\u{8b}\u{8}"),
        "limited" => subcode.map(|_| Reply::error(400, 80_006, None))?,
        // Nearly always it is the 24 hours.
        "10" => Reply::error(400, 10, subcode.or(Some(2018278))),
        "1" | "2" | "1200" if subcode.is_none() => Reply::error(500, code?, None),
        _ => Reply::error(400, code?, subcode),
    };
    reply.is_shown = ["delivered", "gzip"].contains(&word);
    reply.header = match word {
        "gzip" => Some(("Content-Encoding", "gzip".to_string())),
        "limited" | "80006" => {
            let minutes = number.max(1);
            let limit = json!({"type": "messenger", "estimated_time_to_regain_access": minutes});
            let usage = json!({"100200300400500": [limit]}).to_string();
            Some(("X-Business-Use-Case-Usage", usage))
        }
        "613" => {
            let usage = json!({"call_count": 100, "total_time": 20, "total_cputime": 20});
            Some(("X-App-Usage", usage.to_string()))
        }
        _ => None,
    };
    Some(reply)
}

#[cfg(test)]
mod tests {
    use super::Fault;

    #[test]
    fn faults_are_understood_or_refused() {
        for what in ["", "190", "368/1346003", "delivered", "gzip", "limited/7"] {
            assert!(Fault::parse(what).is_some(), "{what}");
        }
        for what in ["x", "190/x", "limited", "limited/", "/"] {
            assert!(Fault::parse(what).is_none(), "{what}");
        }
    }
}
