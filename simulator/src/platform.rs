//! The platform: people who write, Messenger, the Graph API and the bot, put together.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::bubble::{content, events, words};
use super::delivery::{Deliveries, Delivery, Route};
use super::event_log::{EventLog, message};
use super::events::Occasion;
use super::messenger::{NoHandshake, as_meta_writes};
use super::options::{Options, listen, listen_near};
use super::own_bot::OwnBot;
use super::proxy::Proxy;
use super::{APP_ID, failed_to, lock, random};
use super::{Call, Fault, GraphApi, Kind, Messenger, Reply, SimulatorError, Trouble};

/// A bot that is not up yet is asked this often.
const ASKED_EVERY: Duration = Duration::from_millis(300);

/// The first port that the Graph API for another bot takes, if it is free.
const GRAPH_PORT: u16 = 8090;

/// A Messenger Platform with a bot on it.
pub(crate) struct Platform {
    pub(crate) log: Arc<EventLog>,
    pub(crate) options: Options,
    trouble: Arc<Mutex<(Trouble, Fault)>>,
    messenger: Arc<Messenger>,
    own_bots: Vec<OwnBot>,
    deliveries: Deliveries,
    /// Mids of another run are others: a bot remembers those that it has answered.
    run: u64,
    messages: AtomicU64,
    last: Mutex<Option<Delivery>>,
    proxy: Option<Proxy>,
    /// It runs until this is dropped.
    graph_api: GraphApi,
}

impl Platform {
    /// Sets up everything; the handshake is still to be made.
    ///
    /// # Errors
    /// When something cannot be started; in words.
    pub(crate) fn set_up(options: &Options) -> Result<Arc<Platform>, SimulatorError> {
        let log = Arc::new(EventLog::new());
        let trouble = Arc::new(Mutex::new((options.trouble, options.fault.clone())));
        let is_other = options.other_bot.is_some();
        let listener = match is_other {
            // Another bot is told the address by hand: the same one each time, if it is free.
            true => listen_near(
                options.bind,
                options.ports.graph,
                GRAPH_PORT,
                "--graph-port",
            ),
            false => listen(
                options.bind,
                options.ports.graph.unwrap_or(0),
                "--graph-port",
            ),
        }?;
        let behave = {
            let (log, trouble) = (Arc::clone(&log), Arc::clone(&trouble));
            move |call: &Call| reply(&log, &mut lock(&trouble), call)
        };
        let graph_api = GraphApi::with_log(listener, Arc::clone(&log), behave);
        let graph_api = graph_api.map_err(failed_to("start the Graph API"))?;
        graph_api.page(|page| page.page.clone_from(&options.page));
        let url = graph_api.url();
        let mut own_bots = Vec::new();
        let messenger = match (&options.other_bot, &options.own_bots) {
            (Some(bot), _) => {
                check_address(&bot.webhook)?;
                // Before the handshake: the bot may want to know it before it starts.
                say(&format!(
                    "the Graph API for your bot, instead of https://graph.facebook.com: {url}"
                ));
                Messenger::with_secrets(&bot.webhook, &bot.verify_token, &bot.app_secret)
            }
            (None, own) => {
                if let Some(bots) = own {
                    let start = |_| OwnBot::start(bots, &url);
                    own_bots = (0..bots.count).map(start).collect::<Result<_, _>>()?;
                }
                Messenger::new("")
            }
        };
        if !is_other {
            messenger.take_turns(own_bots.iter().map(OwnBot::url).collect());
        }
        let proxy = Proxy::start(options, &graph_api)?;
        let messenger = Arc::new(messenger);
        let route = Route {
            messenger: Arc::clone(&messenger),
            log: Arc::clone(&log),
            graph_url: is_other.then_some(url),
        };
        Ok(Arc::new(Platform {
            deliveries: Deliveries::new(route),
            log,
            options: options.clone(),
            trouble,
            messenger,
            own_bots,
            run: random(),
            messages: AtomicU64::new(0),
            last: Mutex::default(),
            proxy,
            graph_api,
        }))
    }

    /// Makes the handshake, and waits so long for a bot that is not up yet; without a limit for whatever bot.
    ///
    /// # Errors
    /// When the bot does not pass it; in words.
    pub(crate) fn shake_hands(&self, at_most: Option<Duration>) -> Result<(), SimulatorError> {
        let (begun, mut told) = (Instant::now(), String::new());
        loop {
            let Err(NoHandshake { is_for_now, error }) = self.messenger.try_handshake() else {
                return Ok(());
            };
            if at_most.is_some_and(|most| !is_for_now || begun.elapsed() >= most) {
                return Err(error);
            }
            let words = format!("{error}; waiting until it is");
            if words != told {
                say(&words);
                self.log.note(&words);
                told = words;
            }
            thread::sleep(if is_for_now {
                ASKED_EVERY
            } else {
                5 * ASKED_EVERY
            });
        }
    }

    pub(crate) fn graph_url(&self) -> String {
        self.graph_api.url()
    }

    /// Where the bot is.
    pub(crate) fn bot_url(&self) -> String {
        let own = || {
            self.own_bots
                .iter()
                .map(OwnBot::url)
                .collect::<Vec<_>>()
                .join(" ")
        };
        let other = self.options.other_bot.as_ref();
        other.map_or_else(own, |bot| bot.webhook.clone())
    }

    /// What bots have set for the page: menu, greeting, Get Started.
    pub(crate) fn profile(&self) -> Value {
        self.graph_api.page(|page| page.profile.clone().into())
    }

    /// A person does something: an event by its name, with what it is to have besides. Returns the id of the bubble, if
    /// it has one; none when there is no such event.
    pub(crate) fn send(&self, person: &str, name: &str, with: &Value) -> Option<Option<u64>> {
        let is_about_bot = ["read", "delivery", "reaction"].contains(&name);
        let about = with["mid"].as_str().map(str::to_string);
        let occasion = Occasion {
            page: self.options.page.clone(),
            person: person.to_string(),
            mid: self.new_mid(),
            about: about.or_else(|| self.log.last_mid(person, is_about_bot)),
            files: format!("{}/files", self.graph_url()),
            with: with.clone(),
        };
        let is_handed_over = self.graph_api.page(|page| page.is_handed_over(person));
        let name = if is_handed_over && name == "text" {
            "standby"
        } else {
            name
        };
        let mut webhook = occasion.webhook(name)?;
        if is_handed_over
            && webhook["entry"][0]["messaging"].is_array()
            && !name.ends_with("_control")
        {
            let messaging = webhook["entry"][0]["messaging"].take();
            webhook["entry"][0]["standby"] = messaging;
        }
        if ["pass_thread_control", "take_thread_control"].contains(&name) {
            let owner = if name == "take_thread_control" {
                "1"
            } else {
                APP_ID
            };
            self.graph_api.page(|page| page.hand_over(person, owner));
        }
        Some(self.send_webhook(person, &webhook))
    }

    /// The webhook is delivered as it is. Returns the id of its last bubble.
    pub(crate) fn send_webhook(&self, person: &str, webhook: &Value) -> Option<u64> {
        let mut last = None;
        for event in events(webhook) {
            if let Some(user_ref) = event["optin"]["user_ref"].as_str() {
                self.log.opted_in(user_ref, person);
            }
            let sender = event["sender"]["id"].as_str().unwrap_or(person);
            if let Some(text) = words(event).filter(|_| sender != self.options.page) {
                let content = content(event);
                let bubble = message(sender, false, &text, content, &content["mid"]);
                let owes = self.options.own_bots.as_ref().map(|bots| bots.owes);
                let alone = json!({
                    "object": webhook["object"], "entry": [{"id": self.options.page, "messaging": [event]}],
                });
                let owed = owes.map(|owes| owes(&alone).unwrap_or_default());
                last = Some(self.log.written(bubble, owed));
            }
        }
        let delivery = Delivery {
            body: as_meta_writes(webhook),
            person: person.to_string(),
            message: last,
            is_signed: true,
            group: None,
        };
        *lock(&self.last) = Some(delivery.clone());
        self.deliveries.send(delivery);
        last
    }

    /// Messenger delivers a webhook once more: this one, or the last. Whether there is one.
    pub(crate) fn redeliver(&self, exchange: Option<u64>) -> bool {
        let again = match exchange {
            None => lock(&self.last).clone(),
            Some(id) => self.log.webhook(id).and_then(|(request, person, message)| {
                let (head, body) = request.split_once("\n\n")?;
                Some(Delivery {
                    body: body.into(),
                    person,
                    message,
                    is_signed: head.contains("\nX-Hub-Signature"),
                    group: Some(id),
                })
            }),
        };
        let is_known = again.is_some();
        again
            .into_iter()
            .for_each(|delivery| self.deliveries.send(delivery));
        is_known
    }

    /// Somebody who does not know the app secret sends a webhook.
    pub(crate) fn send_unsigned(&self, person: &str) {
        let occasion = Occasion {
            page: self.options.page.clone(),
            person: person.to_string(),
            mid: self.new_mid(),
            with: json!({"text": "nobody has signed this"}),
            ..Occasion::default()
        };
        let webhook = occasion.webhook("text").unwrap_or_default();
        self.deliveries.send(Delivery {
            body: as_meta_writes(&webhook),
            person: person.to_string(),
            ..Delivery::default()
        });
    }

    /// The Graph API makes this trouble, and has this fault, from now on.
    pub(crate) fn make_trouble(&self, trouble: Trouble, fault: Fault) {
        *lock(&self.trouble) = (trouble, fault);
        self.log.touch();
    }

    pub(crate) fn trouble(&self) -> (Trouble, Fault) {
        lock(&self.trouble).clone()
    }

    /// How many bots can be killed here.
    pub(crate) fn own_bots(&self) -> usize {
        self.own_bots.len()
    }

    /// This bot is killed without a warning, and started again.
    pub(crate) fn kill_bot(&self, number: usize) {
        let Some(own_bot) = self.own_bots.get(number) else {
            return;
        };
        let what = format!("kill -9 of the bot at {}, and start again", own_bot.url());
        let exchange = self.log.requested("bot", "", None, None, &what);
        let answer = match own_bot.restart() {
            Ok(url) => {
                self.messenger
                    .take_turns(self.own_bots.iter().map(OwnBot::url).collect());
                format!("it listens at {url} and has its outbox back")
            }
            Err(error) => error.to_string(),
        };
        self.log.answered(exchange, None, &answer);
    }

    /// Ends the bots that are our own, and removes what has been left.
    pub(crate) fn tear_down(&self) {
        self.own_bots.iter().for_each(OwnBot::tear_down);
        self.proxy.iter().for_each(Proxy::tear_down);
    }

    /// What the bots have logged that are our own.
    pub(crate) fn bot_log(&self) -> String {
        let logs: Vec<String> = self.own_bots.iter().map(OwnBot::log).collect();
        logs.join("\n")
    }

    fn new_mid(&self) -> String {
        format!(
            "m_{:016x}_{}",
            self.run,
            self.messages.fetch_add(1, Ordering::Relaxed)
        )
    }
}

/// What the Graph API replies: a mistake is refused first, then fault and trouble have their turn.
fn reply(log: &EventLog, (trouble, fault): &mut (Trouble, Fault), call: &Call) -> Reply {
    let person = log.person(&call.recipient);
    if let Some(refusal) = call.refusal() {
        return refusal;
    }
    if call.kind != Kind::Other && person.is_none() {
        return Reply::error(400, 100, Some(2018001));
    }
    let has_fault = fault.take(&person.unwrap_or_default());
    has_fault.unwrap_or_else(|| trouble.reply())
}

fn check_address(url: &str) -> Result<(), SimulatorError> {
    let is_url = url.starts_with("http://") || url.starts_with("https://");
    let why = format!("{url} is no address of a webhook; it begins with http:// or https://");
    is_url.then_some(()).ok_or(SimulatorError(why))
}

/// Tells the person at the terminal.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
