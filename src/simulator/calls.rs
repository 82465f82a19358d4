//! What becomes of a call of the Graph API: the reply, and what the log says of it.

use std::sync::Arc;

use serde_json::Value;

use super::event_log::{Bubble, EventLog};
use super::{Answered, Call, Fault, Kind, Reply, Trouble};

/// What the Graph API replies: a mistake is refused first, then faults and trouble have their turn.
pub(super) fn reply(log: &EventLog, fault: &mut Fault, trouble: Trouble, call: &Call) -> Reply {
    let is_unknown = call.kind != Kind::Other && !log.knows(&call.recipient);
    if call.mistake.is_none() && is_unknown {
        return Reply::error(400, 100, Some(2018001));
    }
    let refused = call.refusal().or_else(|| fault.take(&call.recipient));
    refused.unwrap_or_else(|| trouble.reply())
}

/// Logs a call when it comes, and when it is answered.
pub(super) fn log_call(log: &Arc<EventLog>, call: &Call, reply: Reply) -> (Reply, Answered) {
    let is_message = call.kind == Kind::Message;
    let message = is_message
        .then(|| log.answers(&call.recipient, &call.text))
        .flatten();
    let what = if call.kind == Kind::Other {
        "other"
    } else {
        "call"
    };
    let exchange = log.requested(what, message, None, &call.request);
    if let Some(remark) = call.mistake.as_ref().or(call.remark.as_ref()) {
        log.remark(exchange, remark);
    }
    let (log, call, is_shown) = (Arc::clone(log), call.clone(), reply.is_shown);
    let header = reply.header.clone();
    let answered = move |status: u16, body: &str| {
        let header = header.map_or(String::new(), |(name, value)| format!("{name}: {value}\n"));
        log.answered(exchange, Some(status), &format!("{header}\n{body}"));
        match &call.kind {
            Kind::Message if is_shown => {
                let told: Value = serde_json::from_str(body).unwrap_or_default();
                let bubble = Bubble {
                    person: &call.recipient,
                    text: &call.text,
                    content: call.message.clone(),
                    mid: told["message_id"].as_str().unwrap_or_default(),
                    reply: "",
                };
                log.reached(&bubble, message, exchange);
            }
            Kind::Action(action) if is_shown => log.acted(&call.recipient, action),
            _ => {}
        }
    };
    (reply, Box::new(answered))
}
