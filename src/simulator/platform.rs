//! The platform: people who write, Messenger, the Graph API and the bot, put together.

use std::io::{self, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::delivery::{Connections, Delivery};
use super::event_log::EventLog;
use super::own_bot::OwnBot;
use super::{Answered, Call, Fault, GraphApi, Messenger, Reply, SimulatorError, Trouble};
use super::{event, failed_to, lock, text_message, webhook};

/// The first port that the Graph API for another bot takes, if it is free.
const GRAPH_PORT: u16 = 8090;

/// What is to be simulated.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Another bot; none: echobot itself.
    pub other_bot: Option<OtherBot>,
    /// The trouble that the Graph API makes from the start.
    pub trouble: Trouble,
    /// The fault that it has besides.
    pub fault: Fault,
}

/// A bot that is running somewhere.
#[derive(Debug, Clone, Default)]
pub struct OtherBot {
    /// The address of its webhook.
    pub webhook: String,
    /// What it expects in the handshake.
    pub verify_token: String,
    /// What it checks signatures with.
    pub app_secret: String,
}

/// A Messenger Platform with a bot on it.
pub(super) struct Platform {
    pub(super) log: Arc<EventLog>,
    trouble: Arc<Mutex<Trouble>>,
    fault: Arc<Mutex<Fault>>,
    messenger: Arc<Messenger>,
    own_bots: Vec<OwnBot>,
    connections: Connections,
    messages: AtomicU64,
    last: Mutex<Option<Delivery>>,
    /// It runs until this is dropped.
    _graph_api: GraphApi,
}

impl Platform {
    /// Sets up everything, with the handshake done.
    ///
    /// # Errors
    /// When something cannot be started, or the bot does not pass the handshake; in words.
    pub(super) fn set_up(options: &Options) -> Result<Platform, SimulatorError> {
        let any_bot = options.other_bot.is_some();
        let log = Arc::new(EventLog::new(any_bot));
        let trouble = Arc::new(Mutex::new(options.trouble));
        let fault = Arc::new(Mutex::new(options.fault.clone()));
        let graph_api = graph_api(&log, &trouble, &fault, any_bot);
        let graph_api = graph_api.map_err(failed_to("start the Graph API"))?;
        let url = graph_api.url();
        let (own_bots, messenger) = if let Some(bot) = &options.other_bot {
            // Before the handshake: the bot may want to know it before it starts.
            let _ = writeln!(
                io::stderr(),
                "the Graph API for your bot, instead of https://graph.facebook.com: {url}"
            );
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
        messenger.handshake()?;
        let messenger = Arc::new(messenger);
        Ok(Platform {
            connections: Connections::open(&messenger, &log),
            log,
            trouble,
            fault,
            messenger,
            own_bots,
            messages: AtomicU64::new(0),
            last: Mutex::default(),
            _graph_api: graph_api,
        })
    }

    /// A person writes a text.
    pub(super) fn say(&self, person: &str, text: &str) {
        let message = self.log.written(person, text, false);
        let event = text_message(person, &self.new_mid(), text);
        self.deliver(person, message, &event);
    }

    /// A person sends a picture.
    pub(super) fn attach(&self, person: &str) {
        let message = self.log.written(person, "🖼 picture.png", true);
        let picture =
            json!({"type": "image", "payload": {"url": "https://cdn.example/picture.png"}});
        let what = json!({"message": {"mid": self.new_mid(), "attachments": [picture]}});
        self.deliver(person, message, &event(person, what));
    }

    /// Messenger delivers the last webhook once more.
    pub(super) fn redeliver(&self) {
        if let Some(delivery) = lock(&self.last).clone() {
            self.connections.send("", delivery);
        }
    }

    /// Somebody who does not know the app secret sends a webhook.
    pub(super) fn send_unsigned(&self, person: &str) {
        let event = text_message(person, &self.new_mid(), "nobody has signed this");
        let delivery = Delivery {
            body: webhook("page", &[event]),
            message: None,
            is_signed: false,
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
        let exchange = self.log.requested("bot", None, &what);
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

    fn deliver(&self, person: &str, message: u64, event: &Value) {
        let delivery = Delivery {
            body: webhook("page", std::slice::from_ref(event)),
            message: Some(message),
            is_signed: true,
        };
        *lock(&self.last) = Some(delivery.clone());
        self.connections.send(person, delivery);
    }

    fn new_mid(&self) -> String {
        let number = self.messages.fetch_add(1, Ordering::Relaxed);
        format!("m_simulated_{number}")
    }
}

/// Listens on the first free loopback port from this one on, or on any, when there is none near.
pub(super) fn listen_near(port: u16) -> io::Result<TcpListener> {
    let mut ports = port..port + 100;
    let near = ports.find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
    near.map_or_else(|| TcpListener::bind("127.0.0.1:0"), Ok)
}

/// A Graph API that makes trouble, and whose calls are in the log.
fn graph_api(
    log: &Arc<EventLog>,
    trouble: &Arc<Mutex<Trouble>>,
    fault: &Arc<Mutex<Fault>>,
    any_bot: bool,
) -> io::Result<GraphApi> {
    let (log, trouble, fault) = (Arc::clone(log), Arc::clone(trouble), Arc::clone(fault));
    let behave = move |call: &Call| {
        let refused = call
            .refusal()
            .or_else(|| lock(&fault).take(&call.recipient));
        let reply = refused.unwrap_or_else(|| lock(&trouble).reply());
        let answered = log_call(&log, call, &reply);
        (reply, answered)
    };
    // Another bot is told the address by hand: the same one each time, if it is free.
    let listener = match any_bot {
        true => listen_near(GRAPH_PORT)?,
        false => TcpListener::bind("127.0.0.1:0")?,
    };
    GraphApi::start(listener, any_bot, behave)
}

/// Logs a call when it comes, and when it is answered.
fn log_call(log: &Arc<EventLog>, call: &Call, reply: &Reply) -> Answered {
    let message = log.answers(&call.recipient, &call.text);
    let exchange = log.requested("call", message, &call.request);
    let (log, call, reply) = (Arc::clone(log), call.clone(), reply.clone());
    Box::new(move |answer| {
        log.answered(exchange, Some(reply.status), answer);
        if reply.is_shown {
            log.reached(&call.recipient, &call.text, message);
        }
    })
}
