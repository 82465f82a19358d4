//! The trouble that a Graph API makes, in the form in which page, command line and HTTP interface ask for it.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Reply, random};

/// The trouble that a Graph API makes.
#[derive(Debug, Clone, Default)]
pub struct Trouble {
    /// How long an answer takes, in milliseconds.
    pub latency: u64,
    /// The share of calls that fail for the moment (code 2), in percent.
    pub errors: f64,
    /// No call is answered.
    pub hanging: bool,
    /// All calls are answered 503, with words that are not the Graph API's.
    pub outage: bool,
    /// A fault that calls have before all that, as [`parse_fault`] reads it; empty: none.
    pub fault: String,
    /// Whose calls have the fault; none: everybody's.
    pub person: Option<String>,
    /// So many calls have the fault; none: all.
    pub calls: Option<u64>,
}

impl Trouble {
    /// As the HTTP interface has it. What is left out is off.
    ///
    /// # Errors
    /// When the fault is not understood; with all there are.
    pub fn from_json(asked: &Value) -> Result<Trouble, String> {
        let text = |name: &str| asked[name].as_str().map(str::to_string);
        Ok(Trouble {
            latency: asked["latency"].as_u64().unwrap_or_default().min(60_000),
            errors: asked["errors"]
                .as_f64()
                .unwrap_or_default()
                .clamp(0.0, 100.0),
            hanging: asked["hanging"] == true,
            outage: asked["outage"] == true,
            fault: parse_fault(&text("fault").unwrap_or_default())?,
            person: text("person"),
            calls: asked["calls"].as_u64().filter(|calls| *calls > 0),
        })
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "latency": self.latency, "errors": self.errors, "hanging": self.hanging, "outage": self.outage,
            "fault": self.fault, "person": self.person, "calls": self.calls,
        })
    }

    /// The reply to the next call, which is for this person.
    pub fn reply(&mut self, person: &str) -> Reply {
        let whose = self.person.as_deref();
        let is_theirs = whose.is_none_or(|whose| whose == person) && self.calls != Some(0);
        if let (Some(reply), true) = (fault(&self.fault), is_theirs) {
            self.calls = self.calls.map(|calls| calls - 1);
            return reply;
        }
        let chance = random() as f64 / u64::MAX as f64;
        let reply = if self.outage {
            Reply::answer(503, "<html>Service Unavailable</html>")
        } else if self.hanging {
            return Reply::hang();
        } else if chance * 100.0 < self.errors {
            Reply::error(500, 2, None)
        } else {
            Reply::deliver()
        };
        reply.after(Duration::from_millis(self.latency))
    }
}

/// A fault, trimmed.
///
/// # Errors
/// When it is not understood; with all there are.
pub(crate) fn parse_fault(text: &str) -> Result<String, String> {
    let what = text.trim();
    if what.is_empty() || fault(what).is_some() {
        return Ok(what.to_string());
    }
    let known = "190 or 368/1346003, delivered (and answered 500), gzip, or limited/MINUTES";
    Err(format!("a fault is a code such as {known}"))
}

fn fault(what: &str) -> Option<Reply> {
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
    use super::parse_fault;

    #[test]
    fn faults_are_understood_or_refused() {
        for what in ["", "190", "368/1346003", "delivered", "gzip", "limited/7"] {
            assert!(parse_fault(what).is_ok(), "{what}");
        }
        for what in ["x", "190/x", "limited", "limited/", "/"] {
            assert!(parse_fault(what).is_err(), "{what}");
        }
    }
}
