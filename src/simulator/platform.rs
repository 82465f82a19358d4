//! The platform: people who write, Messenger, the Graph API and the bot, put together.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::bubble::{content, events, words};
use super::calls::{log_call, reply};
use super::delivery::{Connections, Delivery, Route};
use super::event_log::{Bubble, EventLog};
use super::events::Occasion;
use super::http::{Request, Response};
use super::messenger::{NoHandshake, as_meta_writes};
use super::options::{Options, check_address, graph_listener};
use super::own_bot::OwnBot;
use super::{Call, Fault, GraphApi, Messenger, SimulatorError, Trouble};
use super::{failed_to, lock, random};
use crate::echo::{self, Echo};
use crate::event;

/// A bot that is not up yet is asked this often.
const ASKED_EVERY: Duration = Duration::from_millis(200);

/// A Messenger Platform with a bot on it.
pub(super) struct Platform {
    pub(super) log: Arc<EventLog>,
    pub(super) options: Options,
    trouble: Arc<Mutex<Trouble>>,
    fault: Arc<Mutex<Fault>>,
    messenger: Arc<Messenger>,
    own_bots: Vec<OwnBot>,
    connections: Connections,
    /// Mids of another run are others: a bot remembers those that it has answered.
    run: u64,
    messages: AtomicU64,
    last: Mutex<Option<Delivery>>,
    is_called: Arc<AtomicBool>,
    /// It runs until this is dropped.
    graph_api: GraphApi,
}

impl Platform {
    /// Sets up everything; the handshake is still to be made.
    ///
    /// # Errors
    /// When something cannot be started; in words.
    pub(super) fn set_up(options: &Options) -> Result<Arc<Platform>, SimulatorError> {
        let any_bot = options.other_bot.is_some();
        let log = Arc::new(EventLog::new(any_bot));
        let trouble = Arc::new(Mutex::new(options.trouble));
        let fault = Arc::new(Mutex::new(options.fault.clone()));
        let is_called = Arc::new(AtomicBool::new(false));
        let behave = {
            let (log, trouble, fault) =
                (Arc::clone(&log), Arc::clone(&trouble), Arc::clone(&fault));
            let is_called = Arc::clone(&is_called);
            move |call: &Call| {
                is_called.store(true, Ordering::Relaxed);
                let reply = reply(&log, &mut lock(&fault), *lock(&trouble), call);
                log_call(&log, call, reply)
            }
        };
        let listener = graph_listener(options)?;
        let graph_api = GraphApi::start(listener, behave);
        let graph_api = graph_api.map_err(failed_to("start the Graph API"))?;
        graph_api.page(|page| page.page.clone_from(&options.page));
        let url = graph_api.url();
        let (own_bots, messenger) = if let Some(bot) = &options.other_bot {
            // Before the handshake: the bot may want to know it before it starts.
            say(&format!(
                "the Graph API for your bot, instead of https://graph.facebook.com: {url}"
            ));
            let (token, secret) = (&bot.verify_token, &bot.app_secret);
            (
                Vec::new(),
                Messenger::with_secrets(&bot.webhook, token, secret),
            )
        } else {
            let own_bots = OwnBot::start_all(&url)?;
            let messenger = Messenger::new("");
            messenger.take_turns(own_bots.iter().map(OwnBot::url).collect());
            (own_bots, messenger)
        };
        let messenger = Arc::new(messenger);
        let route = Arc::new(Route {
            messenger: Arc::clone(&messenger),
            log: Arc::clone(&log),
            graph_url: any_bot.then_some(url),
            is_called: Arc::clone(&is_called),
        });
        Ok(Arc::new(Platform {
            connections: Connections::open(&route),
            log,
            options: options.clone(),
            trouble,
            fault,
            messenger,
            own_bots,
            run: random(),
            messages: AtomicU64::new(0),
            last: Mutex::default(),
            is_called,
            graph_api,
        }))
    }

    /// Makes the handshake, and waits so long for a bot that is not up yet.
    ///
    /// # Errors
    /// When the bot does not pass it; in words.
    pub(super) fn shake_hands(&self, at_most: Duration) -> Result<(), SimulatorError> {
        if let Some(bot) = &self.options.other_bot {
            check_address(&bot.webhook)?;
        }
        let (begun, mut is_told) = (Instant::now(), false);
        loop {
            match self.messenger.try_handshake() {
                Ok(()) => return Ok(()),
                Err(NoHandshake {
                    is_down: true,
                    error,
                }) if begun.elapsed() < at_most => {
                    if !is_told {
                        say(&format!("{error}; waiting until it is"));
                    }
                    is_told = true;
                    thread::sleep(ASKED_EVERY);
                }
                Err(NoHandshake { error, .. }) => return Err(error),
            }
        }
    }

    pub(super) fn graph_url(&self) -> String {
        self.graph_api.url()
    }

    /// Where the bot is.
    pub(super) fn bot_url(&self) -> String {
        match &self.options.other_bot {
            Some(bot) => bot.webhook.clone(),
            None => self
                .own_bots
                .iter()
                .map(OwnBot::url)
                .collect::<Vec<_>>()
                .join(" "),
        }
    }

    /// What answers calls of the Graph API that come in another way.
    pub(super) fn graph_handler(&self) -> impl Fn(Request) -> Response + Send + Sync + use<> {
        self.graph_api.handler()
    }

    /// Whether the bot has called the Graph API.
    pub(super) fn is_called(&self) -> bool {
        self.is_called.load(Ordering::Relaxed)
    }

    /// What bots have set for the page: menu, greeting, Get Started.
    pub(super) fn profile(&self) -> Value {
        self.graph_api.page(|page| page.profile.all())
    }

    /// A person does something: an event by its name, with what it is to have besides. Returns the id of the bubble, if
    /// it has one; none when there is no such event.
    pub(super) fn send(&self, person: &str, name: &str, with: &Value) -> Option<Option<u64>> {
        let is_about_bot = ["read", "delivery", "reaction"].contains(&name);
        let about = with["mid"].as_str().map(str::to_string);
        let occasion = Occasion {
            page: self.options.page.clone(),
            person: person.to_string(),
            mid: self.new_mid(),
            about: about.or_else(|| self.log.last_mid(person, is_about_bot)),
            files: self.graph_url(),
            with: with.clone(),
        };
        let is_handed_over = self.graph_api.page(|page| page.is_handed_over(person));
        let name = if is_handed_over && name == "text" {
            "standby"
        } else {
            name
        };
        let webhook = occasion.webhook(name)?;
        if ["pass_thread_control", "take_thread_control"].contains(&name) {
            let owner = (name == "take_thread_control").then_some("1");
            self.graph_api.page(|page| page.hand_over(person, owner));
        }
        Some(self.send_webhook(person, &webhook))
    }

    /// The webhook is delivered as it is. Returns the id of its last bubble.
    pub(super) fn send_webhook(&self, person: &str, webhook: &Value) -> Option<u64> {
        let mut message = None;
        for event in events(webhook) {
            let sender = event["sender"]["id"].as_str().unwrap_or(person);
            if let Some(text) = words(event).filter(|_| sender != self.options.page) {
                message = Some(self.log.written(&Bubble {
                    person: sender,
                    text: &text,
                    content: content(event).clone(),
                    mid: content(event)["mid"].as_str().unwrap_or_default(),
                    reply: &self.expected(webhook, event),
                }));
            }
        }
        let delivery = Delivery {
            body: as_meta_writes(webhook),
            message,
            is_signed: true,
            group: None,
        };
        *lock(&self.last) = Some(delivery.clone());
        self.connections.send(person, delivery);
        message
    }

    /// What the bot is to reply to an event; of another bot nobody knows what, only whether.
    fn expected(&self, webhook: &Value, event: &Value) -> String {
        let alone = json!({"object": webhook["object"], "entry": [{"id": self.options.page, "messaging": [event]}]});
        let read = event::read(alone.to_string().as_bytes()).unwrap_or_default();
        let echoes = read
            .iter()
            .filter_map(|event| Echo::answering(event, echo::reply));
        echoes.map(|echo| echo.text).next().unwrap_or_default()
    }

    /// Messenger delivers a webhook once more: this one, or the last.
    pub(super) fn redeliver(&self, exchange: Option<u64>) -> bool {
        let again = match exchange {
            None => lock(&self.last).clone(),
            Some(id) => self.log.webhook(id).map(|(body, message)| Delivery {
                body,
                message,
                is_signed: true,
                group: Some(id),
            }),
        };
        let is_known = again.is_some();
        if let Some(delivery) = again {
            self.connections.send("", delivery);
        }
        is_known
    }

    /// Somebody who does not know the app secret sends a webhook.
    pub(super) fn send_unsigned(&self, person: &str) {
        let occasion = Occasion {
            page: self.options.page.clone(),
            person: person.to_string(),
            mid: self.new_mid(),
            with: json!({"text": "nobody has signed this"}),
            ..Occasion::default()
        };
        let webhook = occasion.webhook("text").unwrap_or_default();
        let delivery = Delivery {
            body: as_meta_writes(&webhook),
            message: None,
            is_signed: false,
            group: None,
        };
        self.connections.send(person, delivery);
    }

    /// The Graph API makes this trouble from now on.
    pub(super) fn make_trouble(&self, trouble: Trouble) {
        *lock(&self.trouble) = trouble;
        self.log.touch();
    }

    /// The trouble that the Graph API makes.
    pub(super) fn trouble(&self) -> Trouble {
        *lock(&self.trouble)
    }

    /// The Graph API has this fault from now on.
    pub(super) fn set_fault(&self, fault: Fault) {
        *lock(&self.fault) = fault;
        self.log.touch();
    }

    /// The fault that it has.
    pub(super) fn fault(&self) -> Fault {
        lock(&self.fault).clone()
    }

    /// How many bots can be killed here.
    pub(super) fn own_bots(&self) -> usize {
        self.own_bots.len()
    }

    /// This bot of our own is killed without a warning, and started again.
    pub(super) fn kill_bot(&self, number: usize) {
        let Some(own_bot) = self.own_bots.get(number) else {
            return;
        };
        let url = own_bot.url();
        let what = format!("kill -9 of the bot at {url}, and start again");
        let exchange = self.log.requested("bot", None, None, &what);
        let answer = match own_bot.restart() {
            Ok(url) => {
                let urls = self.own_bots.iter().map(OwnBot::url);
                self.messenger.take_turns(urls.collect());
                format!("it listens at {url} and has its outbox back")
            }
            Err(error) => error.to_string(),
        };
        self.log.answered(exchange, None, &answer);
    }

    /// Ends the bots that are our own, and removes what they have left.
    pub(super) fn tear_down(&self) {
        self.own_bots.iter().for_each(OwnBot::tear_down);
    }

    /// What the bots have logged that are our own.
    pub(super) fn bot_log(&self) -> String {
        let logs: Vec<String> = self.own_bots.iter().map(OwnBot::log).collect();
        logs.join("\n")
    }

    fn new_mid(&self) -> String {
        let number = self.messages.fetch_add(1, Ordering::Relaxed);
        format!("m_{:016x}_{number}", self.run)
    }
}

/// Tells the person at the terminal.
pub(super) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
