//! The command line, of `messenger-simulator` and of programs that have it as a part.

use std::io::{self, Write as _};
use std::time::Duration;

use lexopt::prelude::{Long, Short, ValueExt as _};
use serde_json::{Value, json};

use super::options::Options;
use super::trouble::parse_fault;
use super::{OwnBots, PAGE, SimulatorError, event_names, events, page, say};

/// Why it did not work.
#[derive(Debug)]
pub enum CommandError {
    /// The command line is wrong.
    Usage(lexopt::Error),
    /// Something failed, or is not as Meta would have it.
    Failed(SimulatorError),
}

impl From<lexopt::Error> for CommandError {
    fn from(error: lexopt::Error) -> CommandError {
        CommandError::Usage(error)
    }
}

/// Does what the arguments say. `own_bots` are played with when they name no other bot; `program` is how `--help` calls it.
///
/// # Errors
/// When the command line is wrong, something cannot be started, or a bot does not do what Meta expects.
pub fn run(
    program: &str,
    arguments: &mut lexopt::Parser,
    own_bots: Option<OwnBots>,
) -> Result<(), CommandError> {
    let mut options = Options {
        page: PAGE.to_string(),
        quiet: Duration::from_millis(500),
        ..Options::default()
    };
    let (mut said, mut json, mut other_bot) = (Vec::new(), false, [const { None }; 3]);
    while let Some(argument) = arguments.next()? {
        let trouble = &mut options.trouble;
        match argument {
            Long("say") => {
                let text = arguments.value()?.string()?;
                said.push(("text".to_string(), json!({ "text": text })));
            }
            Long("send") => said.push((arguments.value()?.parse_with(event)?, Value::Null)),
            Long("json") => json = true,
            Long("quiet") => options.quiet = Duration::from_millis(arguments.value()?.parse()?),
            Long("wait") => options.wait = Some(arguments.value()?.parse()?),
            Long("port") => options.port = Some(arguments.value()?.parse()?),
            Long("bind") => options.bind = Some(arguments.value()?.parse()?),
            Long("graph-port") => options.graph_port = Some(arguments.value()?.parse()?),
            Long("proxy") => options.has_proxy = true,
            Long("proxy-port") => options.proxy_port = Some(arguments.value()?.parse()?),
            Long("tls-port") => options.tls_port = Some(arguments.value()?.parse()?),
            Long("certificates") => options.certificates = Some(arguments.value()?.into()),
            Long("page-id") => options.page = arguments.value()?.parse_with(number)?,
            Long("latency") => trouble.latency = arguments.value()?.parse()?,
            Long("errors") => trouble.errors = arguments.value()?.parse_with(percent)?,
            Long("hanging") => trouble.hanging = true,
            Long("outage") => trouble.outage = true,
            Long("fault") => trouble.fault = arguments.value()?.parse_with(parse_fault)?,
            Long("webhook") => other_bot[0] = Some(arguments.value()?.string()?),
            Long("verify-token") => other_bot[1] = Some(arguments.value()?.string()?),
            Long("app-secret") => other_bot[2] = Some(arguments.value()?.string()?),
            Short('h') | Long("help") => {
                // A closed pipe (`| head`) is not a failure.
                let _ = io::stdout().write_all(help(program).as_bytes());
                return Ok(());
            }
            other => return Err(other.unexpected().into()),
        }
    }
    match (other_bot, own_bots) {
        ([Some(webhook), Some(verify_token), Some(app_secret)], _) => {
            options.other_bot = Some([webhook, verify_token, app_secret]);
        }
        ([None, None, None], Some(own_bots)) => options.own_bots = Some(own_bots),
        _ => return usage("--webhook, --verify-token and --app-secret go together"),
    }
    options.has_proxy |= options.proxy_port.is_some();
    if options.other_bot.is_none() && (options.has_proxy || options.tls_port.is_some()) {
        return usage("--proxy is for another bot, and goes with --webhook");
    }
    if said.iter().any(|(_, with)| with["text"] == "") {
        return usage("--say wants a text: Messenger sends no empty ones");
    }
    if json && said.is_empty() {
        return usage("--json goes with --say or --send");
    }
    let done = match said.as_slice() {
        [] => page::serve(&options),
        said => say::say(&options, said, json, &mut io::stdout()),
    };
    done.map_err(CommandError::Failed)
}

fn usage(words: &str) -> Result<(), CommandError> {
    Err(lexopt::Error::from(words).into())
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

fn number(text: &str) -> Result<String, &'static str> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.to_string()).ok_or("it is a number")
}

fn percent(text: &str) -> Result<f64, &'static str> {
    match text.parse() {
        Ok(percent @ 0.0..=100.0) => Ok(percent),
        _ => Err("it is a number from 0 to 100"),
    }
}
