//! The settings: environment -> [`Config`]. The only file that reads the environment.
//!
//! Everything is read once, at the start. Whatever is wrong is reported together, a line a
//! setting, so that nobody has to start the bot five times to find five mistakes.

mod systemd;
mod values;

use std::ffi::OsString;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use log::LevelFilter;

pub use self::systemd::Systemd;
use self::values::{graph_url, graph_version, may_be_a_secret, webhook_path};

/// All settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The page's access token: allows sending in the page's name.
    pub page_access_token: Secret,
    /// What the operator typed into the dashboard; Messenger shows it in the handshake.
    pub verify_token: Secret,
    /// The app's secret: Messenger signs webhooks with it.
    pub app_secret: Secret,
    /// Where to listen: the first of these addresses that can be bound.
    pub listen: Vec<SocketAddr>,
    /// The path of the webhook, for example `/`.
    pub webhook_path: String,
    /// Where the outbox lives; none: in memory.
    pub data_dir: Option<PathBuf>,
    /// Threads in the pool.
    pub threads: usize,
    /// Echoes owed at most.
    pub max_pending: usize,
    /// Calls of the Send API a second at most, on average; 0 is no limit.
    pub send_rate: u32,
    /// Where the Graph API is, without a slash at the end.
    pub graph_url: String,
    /// The version of the Graph API, for example `v26.0`.
    pub graph_version: String,
    /// The app's id, a number; for `check`, `setup`, and to notice that the page is unsubscribed.
    pub app_id: Option<String>,
    /// What is logged.
    pub log_level: LevelFilter,
    /// What systemd wants to be told; no setting.
    pub systemd: Systemd,
}

/// The settings that are wrong: a line each, which names the variable, says what is wrong with
/// it and what to do.
#[derive(Debug)]
pub struct ConfigError(Vec<String>);

impl ConfigError {
    /// The lines.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads the settings from the environment of this process.
    ///
    /// # Errors
    /// Every setting that is missing, empty or not understood.
    pub fn from_environment() -> Result<Config, ConfigError> {
        Config::read(&|name| std::env::var_os(name))
    }

    /// Reads the settings from `lookup`, which answers as an environment does.
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
            webhook_path: settings.value(
                "WEBHOOK_PATH",
                "/",
                "a path such as / or /webhook, but not /healthz",
                webhook_path,
            ),
            data_dir: settings.data_dir(),
            threads: settings.value("THREADS", "64", "a whole number from 2 to 1024", |text| {
                text.parse().ok().filter(|n| (2..=1024).contains(n))
            }),
            max_pending: settings.value(
                "MAX_PENDING",
                "100000",
                "a whole number from 1 to 10000000",
                |text| text.parse().ok().filter(|n| (1..=10_000_000).contains(n)),
            ),
            send_rate: settings.value(
                "SEND_RATE",
                "300",
                "a whole number of calls a second from 1 to 100000, or 0 for no limit",
                |text| text.parse().ok().filter(|n| *n <= 100_000),
            ),
            graph_url: settings.value(
                "GRAPH_URL",
                "https://graph.facebook.com",
                "an address such as https://graph.facebook.com",
                graph_url,
            ),
            graph_version: settings.value(
                "GRAPH_VERSION",
                "v26.0",
                "a version such as v26.0",
                graph_version,
            ),
            app_id: settings.app_id(),
            log_level: settings.value("RUST_LOG", "info", LOG_LEVELS, |text| text.parse().ok()),
            systemd: Systemd::read(lookup),
        };
        if settings.problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError(settings.problems))
        }
    }
}

const LOG_LEVELS: &str = "one of error, warn, info, debug, trace, off";

/// `RUST_LOG` as it stands in the environment, if it is set: `echobot simulate` hands it on.
pub fn log_level_text() -> Option<OsString> {
    std::env::var_os("RUST_LOG")
}

/// Reads settings one by one and collects what is wrong with them.
struct Settings<'a> {
    lookup: &'a dyn Fn(&str) -> Option<OsString>,
    problems: Vec<String>,
}

impl Settings<'_> {
    /// A setting with a default. A problem is noted, and the default stands in for the rest of
    /// the reading.
    fn value<T>(
        &mut self,
        name: &str,
        default: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> T {
        if let Some(text) = self.text(name, expected) {
            if let Some(value) = parse(&text) {
                return value;
            }
            let problem = if may_be_a_secret(&text) {
                format!("{name} is not understood: set it to {expected}")
            } else {
                format!("{name} is {text:?}, which is not understood: set it to {expected}")
            };
            self.problems.push(problem);
        }
        parse(default).expect("the default is understood because a test reads it")
    }

    /// The addresses to listen on: `BIND`, else every address with `PORT`, else loopback.
    fn listen(&mut self) -> Vec<SocketAddr> {
        let port = self.value("PORT", "5000", "a port number from 0 to 65535", |text| {
            text.parse::<u16>().ok()
        });
        let every = vec![
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
            // For hosts without IPv6.
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
        ];
        if (self.lookup)("BIND").is_some() {
            let expected = "an address and a port such as 127.0.0.1:5000 or [::]:5000";
            vec![self.value("BIND", "127.0.0.1:5000", expected, |text| text.parse().ok())]
        } else if (self.lookup)("PORT").is_some() {
            every
        } else {
            vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))]
        }
    }

    fn app_id(&mut self) -> Option<String> {
        let expected = "your app's id, the number in App settings > Basic";
        let text = self.text("APP_ID", expected)?;
        let is_number = text.bytes().all(|b| b.is_ascii_digit());
        if !is_number {
            self.problems
                .push(format!("APP_ID is not understood: set it to {expected}"));
        }
        Some(text)
    }

    /// The data directory: `DATA_DIR`, else the one that systemd has made (`StateDirectory=`).
    fn data_dir(&mut self) -> Option<PathBuf> {
        if let Some(path) = (self.lookup)("DATA_DIR") {
            if path.is_empty() {
                self.problems.push(
                    "DATA_DIR is empty: set it to a directory that echobot may write to, or remove it".to_string(),
                );
            }
            return Some(PathBuf::from(path));
        }
        // Several are separated by colons.
        let directories = (self.lookup)("STATE_DIRECTORY")?;
        let first = std::env::split_paths(&directories).next();
        first.filter(|path| !path.as_os_str().is_empty())
    }

    /// A secret that goes into an HTTP header, where only visible ASCII can stand.
    fn header_secret(&mut self, name: &str, what: &str) -> Secret {
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

    /// A required secret: `NAME`, or the file that `NAME_FILE` names, or the file `name` among
    /// systemd's credentials. White space around it is dropped: pasted secrets often end in a
    /// newline.
    fn secret(&mut self, name: &str, what: &str) -> Secret {
        let file_name = format!("{name}_FILE");
        let remedy = format!("set it to {what}, or set {file_name} to the path of a file with it");
        let text = match ((self.lookup)(name), (self.lookup)(&file_name)) {
            (Some(_), Some(_)) => {
                self.problems.push(format!(
                    "{name} and {file_name} are both set: remove one of them"
                ));
                return Secret::default();
            }
            (Some(_), None) => self.text(name, what),
            (None, Some(path)) => self.file(&file_name, Path::new(&path)),
            (None, None) => match self.credential(name) {
                Some(path) => self.file(name, &path),
                None => {
                    self.problems.push(format!("{name} is missing: {remedy}"));
                    None
                }
            },
        };
        Secret::new(text.unwrap_or_default())
    }

    /// The text of a variable that is set; a problem when it is empty or not Unicode.
    fn text(&mut self, name: &str, expected: &str) -> Option<String> {
        let problem = match (self.lookup)(name)?.into_string() {
            Ok(text) if !text.trim().is_empty() => return Some(text.trim().to_string()),
            Ok(_) => format!("{name} is empty: set it to {expected}, or remove it"),
            Err(_) => format!("{name} is not valid UTF-8: set it to {expected}"),
        };
        self.problems.push(problem);
        None
    }

    /// The text of a file; a problem when it cannot be read or is empty.
    fn file(&mut self, name: &str, path: &Path) -> Option<String> {
        let problem = match std::fs::read_to_string(path) {
            Ok(text) if !text.trim().is_empty() => return Some(text.trim().to_string()),
            Ok(_) => "it is empty".to_string(),
            Err(error) => error.to_string(),
        };
        // The secret itself may stand here by mistake; it would not start like this.
        let shown = if path.is_absolute() {
            path
        } else {
            Path::new("the file")
        };
        self.problems.push(format!(
            "{name}: failed to read {}: {problem}; put the secret into it and let echobot read it",
            shown.display()
        ));
        None
    }

    /// The path of a credential that systemd passes on (`LoadCredential=`), if it is there.
    fn credential(&self, name: &str) -> Option<PathBuf> {
        let directory = PathBuf::from((self.lookup)("CREDENTIALS_DIRECTORY")?);
        Some(directory.join(name.to_lowercase())).filter(|path| path.exists())
    }
}

/// A text that must not be seen: it cannot be printed, by `{}` or by `{:?}`.
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
