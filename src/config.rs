//! The settings: environment -> [`Config`]. No other module reads settings.
//!
//! They are read once, at the start. All mistakes are reported together, a line for each, so that
//! five mistakes do not take five starts to find.

mod authorities;
mod shared;
mod values;

use std::ffi::OsString;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use log::LevelFilter;

use self::authorities::Certificates;
pub use self::shared::{SharedOutbox, shared_outbox_texts};
use self::values::Meaning;
pub use crate::systemd::{Systemd, goes_to_journal};

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
    /// Certificates of authorities that are trusted besides the built-in ones.
    pub authorities: Certificates,
    /// The app's id, a number; for `check`, `setup`, and to notice an unsubscribed page.
    pub app_id: Option<String>,
    /// The log level.
    pub log_level: LevelFilter,
    /// What systemd wants to hear; not a setting.
    pub systemd: Systemd,
}

impl Config {
    /// Reads the settings from the environment of this process.
    ///
    /// # Errors
    /// All settings that are missing, empty or not understood: a line for each that names the variable, the mistake and
    /// what to do.
    pub fn from_environment() -> Result<Config, String> {
        Config::read(&|name| std::env::var_os(name))
    }

    /// Reads the settings from `lookup`, which returns variables as an environment does.
    fn read(lookup: &dyn Fn(&str) -> Option<OsString>) -> Result<Config, String> {
        let problems = Vec::new();
        let mut settings = Settings { lookup, problems };
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
            webhook_path: settings.value("WEBHOOK_PATH", "/", values::WEBHOOK_PATH),
            data_dir: settings.data_dir(),
            shared: settings.shared(),
            threads: settings.value("THREADS", "64", values::THREADS),
            max_pending: settings.value("MAX_PENDING", "100000", values::MAX_PENDING),
            send_rate: settings.value("SEND_RATE", "300", values::SEND_RATE),
            graph_url: settings
                .value("GRAPH_URL", "https://graph.facebook.com", values::GRAPH_URL)
                .trim_end_matches('/')
                .to_string(),
            graph_version: settings.value("GRAPH_VERSION", "v26.0", values::GRAPH_VERSION),
            authorities: settings.authorities("SSL_CERT_FILE", "SSL_CERT_DIR"),
            app_id: settings.optional("APP_ID", values::APP_ID),
            log_level: settings.value("RUST_LOG", "info", values::LOG_LEVEL),
            systemd: Systemd::read(lookup),
        };
        let problems = settings.problems.join("\n");
        problems.is_empty().then_some(config).ok_or(problems)
    }
}

/// `RUST_LOG` as the environment has it, for `echobot simulate` to pass on; none where a bot would not log its address.
pub fn log_level_text() -> Option<String> {
    let text = std::env::var_os("RUST_LOG")?.to_string_lossy().into_owned();
    let level = text.trim().parse();
    let is_too_quiet = level.is_ok_and(|level: LevelFilter| level < LevelFilter::Info);
    (!is_too_quiet).then_some(text)
}

/// The address at which a bot that listens here is asked from its own machine: `[::]` is IPv4, too.
pub(crate) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    address
}

/// Reads settings one by one and collects their problems.
struct Settings<'a> {
    lookup: &'a dyn Fn(&str) -> Option<OsString>,
    problems: Vec<String>,
}

impl Settings<'_> {
    /// The text of a setting that is set; none, and a problem, where it is of no use. White space around it is dropped:
    /// pasted texts often end in a newline.
    fn text(&mut self, name: &str, expected: &str) -> Option<String> {
        let text = (self.lookup)(name)?;
        let text = text.to_str().ok_or("is not valid UTF-8".to_string());
        let text = text.and_then(values::usable);
        text.map_or_else(|how| self.wrong(name, &how, expected), Some)
    }

    /// A setting without a default.
    fn optional<T: FromStr>(&mut self, name: &str, (expected, is_fine): Meaning<T>) -> Option<T> {
        let text = self.text(name, expected)?;
        // It may be a secret in the wrong variable: Meta's are long, and a password stands before an `@`.
        let shown = match text.len() > 24 || text.contains('@') {
            true => "is not understood".to_string(),
            false => format!("is {text:?}, which is not understood"),
        };
        let value = text.parse().ok().filter(is_fine);
        value.or_else(|| self.wrong(name, &shown, expected))
    }

    /// A setting with a default, which also stands in for a text that is not understood, so that
    /// the other settings are still read.
    fn value<T: FromStr>(&mut self, name: &str, default: &str, meaning: Meaning<T>) -> T {
        let value = self.optional(name, meaning);
        let value = value.or_else(|| default.parse().ok());
        value.expect("the default is understood because a test reads it")
    }

    /// The addresses to listen on: `BIND`, else all with `PORT`, else loopback.
    fn listen(&mut self) -> Vec<SocketAddr> {
        let port = self.optional("PORT", values::PORT);
        let address = self.optional("BIND", values::ADDRESS);
        match (address, port) {
            (Some(address), _) => vec![address],
            // The second is for hosts without IPv6.
            (None, Some(port)) => vec![
                (Ipv6Addr::UNSPECIFIED, port).into(),
                (Ipv4Addr::UNSPECIFIED, port).into(),
            ],
            (None, None) => vec![(Ipv4Addr::LOCALHOST, 5000).into()],
        }
    }

    /// The data directory: `DATA_DIR`, else the one that systemd made (`StateDirectory=`).
    fn data_dir(&mut self) -> Option<PathBuf> {
        let set = self.path("DATA_DIR", "a directory that echobot may write to");
        set.or_else(|| self.directories("STATE_DIRECTORY").into_iter().next())
    }

    /// The directories in a variable; several have colons between.
    fn directories(&self, name: &str) -> Vec<PathBuf> {
        let paths = (self.lookup)(name).unwrap_or_default();
        let is_some = |path: &PathBuf| !path.as_os_str().is_empty();
        std::env::split_paths(&paths).filter(is_some).collect()
    }

    /// The path of a file or directory. Not every one is UTF-8.
    fn path(&mut self, name: &str, expected: &str) -> Option<PathBuf> {
        let path = (self.lookup)(name)?;
        if path.to_str().is_none() {
            return Some(path.into());
        }
        let text = self.text(name, expected)?;
        if text.starts_with('~') {
            let how = "begins with ~, which only a shell understands";
            return self.problem(format!("{name} {how}: write the whole path"));
        }
        Some(text.into())
    }

    /// A secret for an HTTP header, which takes only visible ASCII.
    fn header_secret(&mut self, name: &str, what: &str) -> Secret {
        let secret = self.secret(name, what);
        let is_fine = |b: u8| b.is_ascii_graphic() && !b"\"'".contains(&b);
        if !secret.expose().bytes().all(is_fine) {
            let how = "has a space, a quote or another character that no token has";
            self.wrong::<()>(name, how, what);
        }
        secret
    }

    /// A required secret.
    fn secret(&mut self, name: &str, what: &str) -> Secret {
        self.secret_if_set(name, what).unwrap_or_else(|| {
            let what = format!("{what}, or set {name}_FILE to the path of a file with it");
            self.wrong::<()>(name, "is missing", &what);
            Secret::default()
        })
    }

    /// A secret: `NAME`, or the file that `NAME_FILE` names, or the file `name` among systemd's credentials
    /// (`LoadCredential=`). It is empty where there is a problem.
    fn secret_if_set(&mut self, name: &str, what: &str) -> Option<Secret> {
        let file_name = format!("{name}_FILE");
        let text = match ((self.lookup)(name), (self.lookup)(&file_name)) {
            (Some(_), Some(_)) => self.problem(format!(
                "{name} and {file_name} are both set: remove one of them"
            )),
            (Some(_), None) => self.text(name, what),
            (None, Some(_)) => {
                let path = self.path(&file_name, "the path of a file with the secret");
                path.and_then(|path| self.file(&file_name, &path))
            }
            (None, None) => {
                let directory = PathBuf::from((self.lookup)("CREDENTIALS_DIRECTORY")?);
                let path = directory.join(name.to_lowercase());
                // Where that is not certain, reading it tells why.
                let is_there = path.try_exists().unwrap_or(true);
                is_there.then(|| self.file(name, &path))?
            }
        };
        Some(Secret::new(text.unwrap_or_default()))
    }

    /// The text of a file, without the white space around it.
    fn file(&mut self, name: &str, path: &Path) -> Option<String> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
        let usable = |text: String| values::usable(&text).map_err(|how| format!("it {how}"));
        let why = match text.and_then(usable) {
            Ok(text) => return Some(text),
            Err(why) => why,
        };
        // The variable may hold the secret itself by mistake, which is not an absolute path.
        let shown = path.is_absolute().then(|| path.display().to_string());
        let shown = shown.unwrap_or("the file".to_string());
        let failed = format!("{name}: failed to read {shown}: {why}");
        self.problem(failed + "; put the secret into it and let echobot read it")
    }

    fn wrong<T>(&mut self, name: &str, how: &str, expected: &str) -> Option<T> {
        self.problem(format!("{name} {how}: set it to {expected}"))
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
