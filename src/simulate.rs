//! The command line of `echobot simulate`.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use echobot::simulator::{self, EVENTS, FAULTS, Fault, Options, OtherBot, Ports, Said};
use lexopt::prelude::{Long, Short, ValueExt as _};

use super::{Failure, other, print, serve, usage};

const HELP: &str = "\
echobot simulate: a Messenger on this machine, to try this bot or any other

  --port PORT            the page's port (default: 8080, or the next free one)
  --bind ADDRESS         where page and Graph API listen (default: 127.0.0.1; in a
                         container 0.0.0.0, for its own network only)
  --webhook URL --verify-token TOKEN --app-secret SECRET
                         play Messenger for another bot, written in anything
  --graph-port PORT      the Graph API's port for it (default: 8090, or the next free one)
  --proxy                for a bot that cannot be told where the Graph API is: a forward
                         proxy on loopback, and what to put into its environment
  --proxy-port PORT      the same on this port (default: 8091, or the next free one)
  --page-id ID           the id of the page

  --say TEXT             no page: say TEXT, and print what comes back, a line a message
  --send EVENT           the same with an event (both repeatable, in their order)
  --json                 with them: a line of JSON for each, with times
  --quiet MS             a bot that was silent for so long has said all (default: 500)

  --latency MS           the Graph API takes this many milliseconds
  --errors PERCENT       this share of its calls fails for the moment
  --hanging              the Graph API never answers
  --outage               the Graph API is down
  --fault FAULT          every call has it: a code such as 190 or 368/1346003,
                         delivered (and answered 500), gzip, or limited/MINUTES

Tests of other bots use its HTTP interface: src/simulator/README.md.
With REDIS_URL two bots of its own share that server.

Events:
";

pub(crate) fn simulate(arguments: &mut lexopt::Parser) -> Result<ExitCode, Failure> {
    let mut options = Options::default();
    let (mut said, mut json, mut ports) = (Vec::new(), false, Ports::default());
    let mut other_bot = [const { None }; 3];
    while let Some(argument) = arguments.next()? {
        let trouble = &mut options.trouble;
        match argument {
            Long("say") => said.push(Said::Text(arguments.value()?.string()?)),
            Long("send") => said.push(Said::Event(arguments.value()?.parse_with(event)?)),
            Long("json") => json = true,
            Long("quiet") => options.quiet = Duration::from_millis(arguments.value()?.parse()?),
            Long("port") => ports.page = Some(arguments.value()?.parse()?),
            Long("bind") => options.bind = arguments.value()?.parse()?,
            Long("graph-port") => options.graph_port = Some(arguments.value()?.parse()?),
            Long("proxy") => drop(ports.proxy.get_or_insert(None)),
            Long("proxy-port") => ports.proxy = Some(Some(arguments.value()?.parse()?)),
            Long("page-id") => options.page = arguments.value()?.parse_with(number)?,
            Long("latency") => trouble.latency = Duration::from_millis(arguments.value()?.parse()?),
            Long("errors") => trouble.transient = arguments.value()?.parse_with(percent)?,
            Long("hanging") => trouble.hanging = 1.0,
            Long("outage") => trouble.outage = true,
            Long("fault") => options.fault = arguments.value()?.parse_with(fault)?,
            Long("webhook") => other_bot[0] = Some(arguments.value()?.string()?),
            Long("verify-token") => other_bot[1] = Some(arguments.value()?.string()?),
            Long("app-secret") => other_bot[2] = Some(arguments.value()?.string()?),
            // It is the bot that a simulator has started.
            Long("own-bot") => {
                simulator::end_with_simulator();
                return serve();
            }
            Short('h') | Long("help") => return Ok(print(&help())),
            other => return Err(other.unexpected().into()),
        }
    }
    options.other_bot = match other_bot {
        [None, None, None] => None,
        [Some(webhook), Some(verify_token), Some(app_secret)] => Some(OtherBot {
            webhook,
            verify_token,
            app_secret,
        }),
        _ => return usage("--webhook, --verify-token and --app-secret go together"),
    };
    if options.other_bot.is_none() && ports.proxy.is_some() {
        return usage("--proxy is for another bot, and goes with --webhook");
    }
    if said.contains(&Said::Text(String::new())) {
        return usage("--say wants a text: Messenger sends no empty ones");
    }
    if json && said.is_empty() {
        return usage("--json goes with --say or --send");
    }
    if said.is_empty() {
        simulator::serve(&options, ports).map_err(other)?;
    } else {
        simulator::say(&options, ports, &said, json, &mut io::stdout()).map_err(other)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn help() -> String {
    let line = |(name, what): &(&str, &str)| format!("  {name:<22} {what}\n");
    HELP.to_string() + &EVENTS.iter().map(line).collect::<String>()
}

fn event(text: &str) -> Result<String, String> {
    let is_known = EVENTS.iter().any(|(name, _)| *name == text);
    let names = || EVENTS.map(|(name, _)| name).join(", ");
    is_known
        .then(|| text.to_string())
        .ok_or_else(|| format!("it is one of {}", names()))
}

fn number(text: &str) -> Result<String, &'static str> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.to_string()).ok_or("it is a number")
}

fn fault(text: &str) -> Result<Fault, String> {
    Fault::parse(text).ok_or_else(|| format!("it is {FAULTS}"))
}

fn percent(text: &str) -> Result<f64, &'static str> {
    match text.parse() {
        Ok(percent @ 0.0..=100.0) => Ok(percent / 100.0),
        _ => Err("it is a number from 0 to 100"),
    }
}
