//! The settings: environment -> [`Config`]. No other module reads settings.
//!
//! They are read once, at the start. All mistakes are reported together, a line for each, so that
//! five mistakes do not take five starts to find.

mod authorities;
mod shared;
mod systemd;
mod values;

use std::ffi::OsString;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use log::LevelFilter;
use rustls::pki_types::CertificateDer;

pub use self::shared::{SharedOutbox, shared_outbox_texts};
pub use self::systemd::{Systemd, goes_to_journal};
use self::values::graph_url;

/// All settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The page's access token: allows sending in the page's name.
    pub page_access_token: Secret,
    /// The string that the operator typed into the dashboard; Messenger shows it in the handshake.
    pub verify_token: Secret,
    /// The app's secret: Messenger signs webhooks with it.
    pub app_secret: Secret,
    /// The addresses to listen on: the first one that can be bound.
    pub listen: Vec<SocketAddr>,
    /// The path of the webhook, for example `/`.
    pub webhook_path: String,
    /// The directory of the outbox; without one it is kept in memory.
    pub data_dir: Option<PathBuf>,
    /// The outbox that several processes share.
    pub shared: Option<SharedOutbox>,
    /// Threads in the pool.
    pub threads: usize,
    /// The most pending echoes.
    pub max_pending: usize,
    /// The most calls of the Send API a second, on average; 0 is no limit.
    pub send_rate: u32,
    /// The address of the Graph API, without a slash at the end.
    pub graph_url: String,
    /// The version of the Graph API, for example `v26.0`.
    pub graph_version: String,
    /// Certificates of authorities that are trusted beside those that are built in.
    pub authorities: Vec<CertificateDer<'static>>,
    /// The app's id, a number; for `check`, `setup`, and to notice an unsubscribed page.
    pub app_id: Option<String>,
    /// The log level.
    pub log_level: LevelFilter,
    /// What systemd wants to hear; not a setting.
    pub systemd: Systemd,
}

/// What is wrong with the settings: a line for each that names the variable, the mistake and what
/// to do.
#[derive(Debug)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads the settings from the environment of this process.
    ///
    /// # Errors
    /// All settings that are missing, empty or not understood.
    pub fn from_environment() -> Result<Config, ConfigError> {
        Config::read(&|name| std::env::var_os(name))
    }

    /// Reads the settings from `lookup`, which returns variables as an environment does.
    fn read(lookup: &dyn Fn(&str) -> Option<OsString>) -> Result<Config, ConfigError> {
        let mut settings = Settings {
            lookup,
            problems: Vec::new(),
        };
        let config = Config {
            page_access_token: settings.header_secret(
                "PAGE_ACCESS_TOKEN",
                "the page's access token, from the Messenger settings of your app",
            ),
            verify_token: settings.secret(
                "VERIFY_TOKEN",
                "any string you like; type the same one into the webhook dialog of your app",
            ),
            app_secret: settings
                .secret("APP_SECRET", "your app's secret, from App settings > Basic"),
            listen: settings.listen(),
            webhook_path: settings.value("WEBHOOK_PATH", "/", values::webhook_path),
            data_dir: settings.data_dir(),
            shared: settings.shared(),
            threads: settings.value("THREADS", "64", values::threads),
            max_pending: settings.value("MAX_PENDING", "100000", values::max_pending),
            send_rate: settings.value("SEND_RATE", "300", values::send_rate),
            graph_url: settings.value("GRAPH_URL", "https://graph.facebook.com", graph_url),
            graph_version: settings.value("GRAPH_VERSION", "v26.0", values::graph_version),
            authorities: settings.authorities("SSL_CERT_FILE", "SSL_CERT_DIR"),
            app_id: settings.optional("APP_ID", values::app_id),
            log_level: settings.value("RUST_LOG", "info", values::log_level),
            systemd: Systemd::read(lookup),
        };
        if settings.problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError(settings.problems.join("\n")))
        }
    }
}

/// `RUST_LOG` as the environment has it, for `echobot simulate` to pass on.
pub fn log_level_text() -> Option<OsString> {
    std::env::var_os("RUST_LOG")
}

/// Reads settings one by one and collects their problems.
struct Settings<'a> {
    lookup: &'a dyn Fn(&str) -> Option<OsString>,
    problems: Vec<String>,
}

impl Settings<'_> {
    /// A setting with a default, which also stands in for a text that is not understood, so that
    /// the other settings are still read.
    fn value<T>(
        &mut self,
        name: &str,
        default: &str,
        parse: fn(&str) -> Result<T, &'static str>,
    ) -> T {
        self.optional(name, parse).unwrap_or_else(|| {
            parse(default).expect("the default is understood because a test reads it")
        })
    }

    /// A setting without a default. White space around it is dropped: pasted texts often end in
    /// a newline.
    fn optional<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Option<T> {
        let text = (self.lookup)(name)?;
        let text = text.to_str().map(str::trim);
        if let Some(how) = text.and_then(values::spoiled) {
            return self.problem(format!("{name} {how}"));
        }
        let expected = match parse(text.unwrap_or_default()) {
            Ok(value) => return Some(value),
            Err(expected) => expected,
        };
        self.problem(match text {
            None => format!("{name} is not valid UTF-8: set it to {expected}"),
            Some("") => format!("{name} is empty: set it to {expected}, or remove it"),
            Some(text) if values::may_be_a_secret(text) => {
                format!("{name} is not understood: set it to {expected}")
            }
            Some(text) => {
                format!("{name} is {text:?}, which is not understood: set it to {expected}")
            }
        })
    }

    /// The addresses to listen on: `BIND`, else all with `PORT`, else loopback.
    fn listen(&mut self) -> Vec<SocketAddr> {
        let port = self.value("PORT", "5000", values::port);
        if (self.lookup)("BIND").is_some() {
            vec![self.value("BIND", "127.0.0.1:5000", values::address)]
        } else if (self.lookup)("PORT").is_some() {
            vec![
                (Ipv6Addr::UNSPECIFIED, port).into(),
                // For hosts without IPv6.
                (Ipv4Addr::UNSPECIFIED, port).into(),
            ]
        } else {
            vec![(Ipv4Addr::LOCALHOST, port).into()]
        }
    }

    /// The data directory: `DATA_DIR`, else the one that systemd made (`StateDirectory=`).
    fn data_dir(&mut self) -> Option<PathBuf> {
        if (self.lookup)("DATA_DIR").is_some() {
            return self.path("DATA_DIR", "a directory that echobot may write to");
        }
        if self.is_set("REDIS_URL") {
            return None;
        }
        // systemd separates several with colons.
        let directories = (self.lookup)("STATE_DIRECTORY")?;
        let first = std::env::split_paths(&directories).next();
        first.filter(|path| !path.as_os_str().is_empty())
    }

    /// The path of a file or directory. Not every one is UTF-8.
    fn path(&mut self, name: &str, expected: &str) -> Option<PathBuf> {
        let path = (self.lookup)(name)?;
        let Some(text) = path.to_str().map(str::trim) else {
            return Some(PathBuf::from(path));
        };
        if let Some(how) = values::spoiled(text) {
            return self.problem(format!("{name} {how}"));
        }
        match text {
            "" => self.problem(format!(
                "{name} is empty: set it to {expected}, or remove it"
            )),
            text if text.starts_with('~') => self.problem(format!(
                "{name} begins with ~, which only a shell understands: write the whole path"
            )),
            text => Some(PathBuf::from(text)),
        }
    }

    /// A secret for an HTTP header, which takes only visible ASCII.
    fn header_secret(&mut self, name: &str, what: &'static str) -> Secret {
        let secret = self.secret(name, what);
        let is_fine = |b: u8| b.is_ascii_graphic() && !b"\"'".contains(&b);
        if !secret.expose().bytes().all(is_fine) {
            self.problems.push(format!(
                "{name} has a space, a quote or another character that no token has: copy it again, \
                 whole and without quotes ({what})"
            ));
        }
        secret
    }

    /// Whether a secret is there in one of these ways.
    fn is_set(&self, name: &str) -> bool {
        let variable = |name: &str| (self.lookup)(name).is_some();
        variable(name) || variable(&format!("{name}_FILE")) || self.credential(name).is_some()
    }

    /// A required secret: `NAME`, or the file that `NAME_FILE` names, or the file `name` among
    /// systemd's credentials.
    fn secret(&mut self, name: &str, what: &'static str) -> Secret {
        let file_name = format!("{name}_FILE");
        let text = match ((self.lookup)(name), (self.lookup)(&file_name)) {
            (Some(_), Some(_)) => self.problem(format!(
                "{name} and {file_name} are both set: remove one of them"
            )),
            (Some(_), None) => self.optional(name, |text| match text {
                "" => Err(what),
                text => Ok(text.to_string()),
            }),
            (None, Some(_)) => {
                let path = self.path(&file_name, "the path of a file with the secret");
                path.and_then(|path| self.file(&file_name, &path))
            }
            (None, None) => match self.credential(name) {
                Some(path) => self.file(name, &path),
                None => self.problem(format!(
                    "{name} is missing: set it to {what}, or set {file_name} to the path of a file with it"
                )),
            },
        };
        Secret::new(text.unwrap_or_default())
    }

    /// The text of a file, without the white space around it.
    fn file(&mut self, name: &str, path: &Path) -> Option<String> {
        let problem = match std::fs::read_to_string(path) {
            Ok(text) => match values::spoiled(text.trim()) {
                Some(how) => return self.problem(format!("{name}: what is in the file {how}")),
                None if text.trim().is_empty() => "it is empty".to_string(),
                None => return Some(text.trim().to_string()),
            },
            Err(error) => error.to_string(),
        };
        // The variable may hold the secret itself by mistake, which is not an absolute path.
        let shown = match path.is_absolute() {
            true => path,
            false => Path::new("the file"),
        };
        self.problem(format!(
            "{name}: failed to read {}: {problem}; put the secret into it and let echobot read it",
            shown.display()
        ))
    }

    /// The path of a credential that systemd passes on (`LoadCredential=`), if it is there.
    fn credential(&self, name: &str) -> Option<PathBuf> {
        let directory = PathBuf::from((self.lookup)("CREDENTIALS_DIRECTORY")?);
        Some(directory.join(name.to_lowercase())).filter(|path| path.exists())
    }

    fn problem<T>(&mut self, line: String) -> Option<T> {
        self.problems.push(line);
        None
    }
}

/// A text that must not be seen: neither `{}` nor `{:?}` prints it.
#[derive(Clone, Default)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself. Each call is a place to look at when asking where a secret may go.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests;
