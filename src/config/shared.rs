//! The settings of the outbox that several processes share.

use std::fs;

use super::{Secret, Settings, values};

/// Where the outbox is that several processes share.
#[derive(Debug, Clone)]
pub struct SharedOutbox {
    /// The address of the Redis or Valkey server.
    pub url: Secret,
    /// Whether its certificate is not verified.
    pub is_insecure: bool,
    /// How the keys begin.
    pub prefix: String,
    /// Certificates in PEM that are trusted beside those that are built in.
    pub authorities: Option<Vec<u8>>,
}

impl Settings<'_> {
    /// `REDIS_URL`, if it is set, with the settings that belong to it.
    pub(super) fn shared(&mut self) -> Option<SharedOutbox> {
        let what = "an address such as redis://:PASSWORD@host:6379";
        let url = self.secret_if_set("REDIS_URL", what)?;
        if (self.lookup)("DATA_DIR").is_some() {
            return self
                .problem("DATA_DIR and REDIS_URL are both set: remove one of them".to_string());
        }
        Some(SharedOutbox {
            url,
            is_insecure: self.value("REDIS_TLS_INSECURE", "false", values::YES_OR_NO),
            prefix: self.value("REDIS_PREFIX", "echobot", values::KEY_PREFIX),
            // What is wrong with the file is told by the setting of its own.
            authorities: (self.lookup)("SSL_CERT_FILE").and_then(|file| fs::read(file).ok()),
        })
    }
}

/// The settings of the shared outbox as the environment has them, for `echobot simulate` to pass on; none without
/// `REDIS_URL`.
pub fn shared_outbox_texts() -> Vec<(&'static str, String)> {
    let names = ["REDIS_URL", "REDIS_TLS_INSECURE", "SSL_CERT_FILE"];
    let get = |name| Some((name, std::env::var(name).ok()?));
    let mut texts: Vec<_> = names.into_iter().filter_map(get).collect();
    texts.retain(|(_, text)| !text.is_empty());
    match texts.first() {
        Some(("REDIS_URL", _)) => texts,
        _ => Vec::new(),
    }
}
