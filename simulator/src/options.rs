//! What is to be simulated, as the command line says it: that of `messenger-simulator`, or of a program that has it as a part.

use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::{Long, Short, ValueExt as _};
use serde_json::{Value, json};

use super::trouble::parse_fault;
use super::{OwnBots, PAGE, SimulatorError, Trouble, event_names, events, page, say};

/// What is to be simulated.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// A bot that runs somewhere: the address of its webhook, its verify token, its app secret.
    pub(crate) other_bot: Option<[String; 3]>,
    /// Bots that the simulator starts itself, where there is no other.
    pub(crate) own_bots: Option<OwnBots>,
    /// The trouble that the Graph API makes from the start.
    pub(crate) trouble: Trouble,
    /// Where page and Graph API listen; none: on loopback.
    pub(crate) bind: Option<IpAddr>,
    /// The page's port; none: 8080, or one near it.
    pub(crate) port: Option<u16>,
    /// The Graph API's; none: 8090 for another bot, or one near it, else any.
    pub(crate) graph_port: Option<u16>,
    /// Whether there is a proxy.
    pub(crate) has_proxy: bool,
    /// Its port; none: 8091, or one near it.
    pub(crate) proxy_port: Option<u16>,
    /// The Graph API's over TLS; none: there is none.
    pub(crate) tls_port: Option<u16>,
    /// Where key and certificate of the proxy's authority are kept; none: nowhere.
    pub(crate) certificates: Option<PathBuf>,
    /// The id of the page.
    pub(crate) page: String,
    /// A bot that has been silent for so long has said all that it has to say.
    pub(crate) quiet: Duration,
    /// So many messages are waited for instead.
    pub(crate) wait: Option<u64>,
    /// Events by their names, with what they are to have; none: the page is served.
    pub(crate) said: Vec<(String, Value)>,
    /// Only this is printed.
    pub(crate) help: Option<String>,
    /// What comes back is printed as JSON.
    pub(crate) as_json: bool,
}

impl Options {
    /// What the arguments say. `own_bots` are played with when no other bot is named; `program` is how `--help` calls it.
    ///
    /// # Errors
    /// When the command line is wrong.
    pub fn read(
        program: &str,
        arguments: &mut lexopt::Parser,
        own_bots: Option<OwnBots>,
    ) -> Result<Options, lexopt::Error> {
        let mut options = Options {
            page: PAGE.to_string(),
            quiet: Duration::from_millis(500),
            ..Options::default()
        };
        let mut other_bot = [const { None }; 3];
        while let Some(argument) = arguments.next()? {
            let (trouble, said) = (&mut options.trouble, &mut options.said);
            match argument {
                Long("say") => {
                    let text = arguments.value()?.string()?;
                    said.push(("text".to_string(), json!({ "text": text })));
                }
                Long("send") => said.push((arguments.value()?.parse_with(event)?, Value::Null)),
                Long("json") => options.as_json = true,
                Long("quiet") => options.quiet = Duration::from_millis(arguments.value()?.parse()?),
                Long("wait") => options.wait = Some(arguments.value()?.parse()?),
                Long("port") => options.port = Some(arguments.value()?.parse()?),
                Long("bind") => options.bind = Some(arguments.value()?.parse()?),
                Long("graph-port") => options.graph_port = Some(arguments.value()?.parse()?),
                Long("proxy") => options.has_proxy = true,
                Long("proxy-port") => options.proxy_port = Some(arguments.value()?.parse()?),
                Long("tls-port") => options.tls_port = Some(arguments.value()?.parse()?),
                Long("certificates") => options.certificates = Some(arguments.value()?.into()),
                Long("page-id") => options.page = arguments.value()?.parse::<u64>()?.to_string(),
                Long("latency") => trouble.latency = arguments.value()?.parse()?,
                Long("errors") => trouble.errors = arguments.value()?.parse_with(percent)?,
                Long("hanging") => trouble.hanging = true,
                Long("outage") => trouble.outage = true,
                Long("fault") => trouble.fault = arguments.value()?.parse_with(parse_fault)?,
                Long("webhook") => other_bot[0] = Some(arguments.value()?.string()?),
                Long("verify-token") => other_bot[1] = Some(arguments.value()?.string()?),
                Long("app-secret") => other_bot[2] = Some(arguments.value()?.string()?),
                Short('h') | Long("help") => {
                    options.help = Some(help(program));
                    return Ok(options);
                }
                other => return Err(other.unexpected()),
            }
        }
        match (other_bot, own_bots) {
            ([Some(webhook), Some(verify_token), Some(app_secret)], _) => {
                options.other_bot = Some([webhook, verify_token, app_secret]);
            }
            ([None, None, None], Some(own_bots)) => options.own_bots = Some(own_bots),
            _ => return Err("--webhook, --verify-token and --app-secret go together".into()),
        }
        options.has_proxy |= options.proxy_port.is_some();
        if options.other_bot.is_none() && (options.has_proxy || options.tls_port.is_some()) {
            return Err("--proxy is for another bot, and goes with --webhook".into());
        }
        if options.said.iter().any(|(_, with)| with["text"] == "") {
            return Err("--say wants a text: Messenger sends no empty ones".into());
        }
        if options.as_json && options.said.is_empty() {
            return Err("--json goes with --say or --send".into());
        }
        Ok(options)
    }

    /// Does what they say.
    ///
    /// # Errors
    /// When something cannot be started, or a bot does not do what Meta expects.
    pub fn run(&self) -> Result<(), SimulatorError> {
        if let Some(help) = &self.help {
            // A closed pipe (`| head`) is not a failure.
            let _ = io::stdout().write_all(help.as_bytes());
            Ok(())
        } else if self.said.is_empty() {
            page::serve(self)
        } else {
            say::say(self)
        }
    }
}

/// Listens on the port that was chosen, else on the first free one from the usual one on. 0 is any.
pub(crate) fn listen(
    bind: Option<IpAddr>,
    chosen: Option<u16>,
    usual: u16,
    flag: &str,
) -> Result<TcpListener, SimulatorError> {
    let ip = bind.unwrap_or(Ipv4Addr::LOCALHOST.into());
    let first = chosen.unwrap_or(usual);
    let last = chosen.unwrap_or(usual + 99);
    let addresses: Vec<SocketAddr> = (first..=last).map(|port| (ip, port).into()).collect();
    TcpListener::bind(&addresses[..]).map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::AddrInUse => "another program is there".to_string(),
            _ => error.to_string(),
        };
        SimulatorError(format!(
            "failed to listen on port {first}: {why}; {flag} chooses another"
        ))
    })
}

fn help(program: &str) -> String {
    let line = |(name, what)| format!("  {name:<22} {what}\n");
    let events: String = event_names().map(line).collect();
    include_str!("help.txt").replacen("PROGRAM", program, 1) + &events
}

fn event(name: &str) -> Result<String, String> {
    let found = events::find(name).map(|_| name.to_string());
    found.map_err(|names| format!("it is one of {names}"))
}

fn percent(text: &str) -> Result<f64, &'static str> {
    match text.parse() {
        Ok(percent @ 0.0..=100.0) => Ok(percent),
        _ => Err("it is a number from 0 to 100"),
    }
}
