//! The settings of the outbox that several processes share.

use std::fs;

use super::{Secret, Settings, values};
use crate::shared::Address;

impl Settings<'_> {
    /// `REDIS_URL`, if it is set, with the settings that belong to it.
    pub(super) fn shared(&mut self) -> Option<Address> {
        if !self.is_set("REDIS_URL") {
            return None;
        }
        if (self.lookup)("DATA_DIR").is_some() {
            return self
                .problem("DATA_DIR and REDIS_URL are both set: remove one of them".to_string());
        }
        let url = self.secret(
            "REDIS_URL",
            "an address such as redis://:PASSWORD@host:6379",
        );
        let is_insecure = self.value("REDIS_TLS_INSECURE", "false", values::YES_OR_NO);
        let prefix = self.value("REDIS_PREFIX", "echobot", values::KEY_PREFIX);
        let url = match is_insecure {
            // So the redis crate wants to hear it.
            true => Secret::new(format!("{}#insecure", url.expose())),
            false => url,
        };
        // What is wrong with it is told by the setting of its own.
        let file = (self.lookup)("SSL_CERT_FILE");
        let authorities = file.and_then(|file| fs::read(file).ok());
        match Address::new(url, prefix, authorities) {
            Ok(address) => Some(address),
            Err(why) => self.problem(why.to_string()),
        }
    }
}

/// The settings of the shared outbox as the environment has them, for `echobot simulate` to pass on; none without
/// `REDIS_URL`.
pub fn shared_outbox_texts() -> Vec<(&'static str, String)> {
    let names = ["REDIS_URL", "REDIS_TLS_INSECURE", "SSL_CERT_FILE"];
    let text = |name| {
        Some((
            name,
            std::env::var(name).ok().filter(|text| !text.is_empty())?,
        ))
    };
    match text(names[0]) {
        Some(_) => names.into_iter().filter_map(text).collect(),
        None => Vec::new(),
    }
}
