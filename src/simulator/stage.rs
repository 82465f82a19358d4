//! The platform put together: people who write, Messenger, the Graph API, and the bot.

use std::io::{self, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::graph_api::Manner;
use super::own_bot::OwnBot;
use super::story::Story;
use super::{Call, GraphApi, Messenger, Reply, SimulatorError, Trouble, TroubleMaker};
use super::{event, text_message, webhook};

/// Connections over which webhooks are delivered. Each person's go over the same one.
const CONNECTIONS: usize = 8;

/// The first port that the Graph API for another bot takes, if it is free.
const GRAPH_PORT: u16 = 8090;

/// The pause before a redelivery, and how many there are.
const REDELIVERY: Duration = Duration::from_secs(1);
const REDELIVERIES: u32 = 30;

/// What is to be simulated.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The bot of somebody else; none: echobot itself.
    pub other_bot: Option<OtherBot>,
    /// The trouble that the Graph API makes from the start.
    pub trouble: Trouble,
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
pub(super) struct Stage {
    pub(super) story: Arc<Story>,
    /// It runs until this is dropped.
    _graph_api: GraphApi,
    messenger: Arc<Messenger>,
    trouble: Arc<TroubleMaker>,
    own_bot: Option<OwnBot>,
    connections: Vec<Sender<Delivery>>,
    messages: AtomicU64,
    last: Mutex<Option<Delivery>>,
}

/// A webhook on its way, and the message in it.
#[derive(Clone)]
struct Delivery {
    body: Vec<u8>,
    message: Option<u64>,
    is_signed: bool,
}

impl Stage {
    /// Sets up everything, with the handshake done.
    ///
    /// # Errors
    /// When something cannot be started, or the bot does not pass the handshake; in words.
    pub(super) fn set_up(options: &Options) -> Result<Stage, SimulatorError> {
        let story = Arc::new(Story::new(options.other_bot.is_some()));
        let trouble = Arc::new(TroubleMaker::default());
        trouble.set(options.trouble);
        let any_bot = options.other_bot.is_some();
        let graph_api = graph_api(&story, &trouble, any_bot)
            .map_err(|error| SimulatorError::io("start the Graph API", &error))?;
        if any_bot {
            // Before the handshake: the bot may want to know it before it starts.
            let url = graph_api.url();
            let _ = writeln!(
                io::stderr(),
                "the Graph API for your bot, instead of https://graph.facebook.com: {url}"
            );
        }
        let (own_bot, messenger) = match &options.other_bot {
            Some(OtherBot {
                webhook,
                verify_token,
                app_secret,
            }) => (
                None,
                Messenger::with_secrets(webhook, verify_token, app_secret),
            ),
            None => {
                let own_bot = OwnBot::start(&graph_api.url())?;
                let messenger = Messenger::new(&own_bot.url());
                (Some(own_bot), messenger)
            }
        };
        messenger.handshake()?;
        let messenger = Arc::new(messenger);
        let connect = || {
            let (sender, deliveries) = mpsc::channel();
            let (messenger, story) = (Arc::clone(&messenger), Arc::clone(&story));
            thread::spawn(move || deliver_all(&deliveries, &messenger, &story));
            sender
        };
        Ok(Stage {
            connections: std::iter::repeat_with(connect).take(CONNECTIONS).collect(),
            story,
            _graph_api: graph_api,
            messenger,
            trouble,
            own_bot,
            messages: AtomicU64::new(0),
            last: Mutex::default(),
        })
    }

    /// A person writes a text.
    pub(super) fn say(&self, person: &str, text: &str) {
        let message = self.story.written(person, text, false);
        self.deliver(
            person,
            message,
            &text_message(person, &self.new_mid(), text),
        );
    }

    /// A person sends a picture.
    pub(super) fn attach(&self, person: &str) {
        let message = self.story.written(person, "🖼 picture.png", true);
        let attachment =
            json!({"type": "image", "payload": {"url": "https://cdn.example/picture.png"}});
        let what = json!({"message": {"mid": self.new_mid(), "attachments": [attachment]}});
        self.deliver(person, message, &event(person, what));
    }

    /// Messenger delivers the last webhook once more.
    pub(super) fn redeliver(&self) {
        let last = self
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(delivery) = last {
            self.send("", delivery);
        }
    }

    /// Somebody who does not know the app secret sends a webhook.
    pub(super) fn send_unsigned(&self, person: &str) {
        let body = webhook(
            "page",
            &[text_message(
                person,
                &self.new_mid(),
                "nobody has signed this",
            )],
        );
        self.send(
            person,
            Delivery {
                body,
                message: None,
                is_signed: false,
            },
        );
    }

    /// The Graph API makes this trouble from now on.
    pub(super) fn make_trouble(&self, trouble: Trouble) {
        self.trouble.set(trouble);
        self.story.touch();
    }

    /// The trouble that the Graph API makes.
    pub(super) fn trouble(&self) -> Trouble {
        self.trouble.get()
    }

    /// Whether the bot is one that can be killed here.
    pub(super) fn has_own_bot(&self) -> bool {
        self.own_bot.is_some()
    }

    /// The bot is killed without a warning, and started again.
    pub(super) fn kill_bot(&self) -> Result<(), SimulatorError> {
        let Some(own_bot) = &self.own_bot else {
            return Ok(());
        };
        let happening = self
            .story
            .requested("bot", None, "kill -9, and start again".to_string());
        let started = own_bot.restart();
        let told = match &started {
            Ok(url) => {
                self.messenger.move_to(url);
                format!("it listens at {url} and has its outbox back")
            }
            Err(error) => error.to_string(),
        };
        self.story.answered(happening, None, &told);
        started.map(|_| ())
    }

    /// Ends the bot, if it is our own, and removes what it has left.
    pub(super) fn tear_down(&self) {
        if let Some(own_bot) = &self.own_bot {
            own_bot.tear_down();
        }
    }

    /// What the bot has logged, if it is our own.
    pub(super) fn log(&self) -> String {
        self.own_bot.as_ref().map(OwnBot::log).unwrap_or_default()
    }

    fn deliver(&self, person: &str, message: u64, event: &Value) {
        let body = webhook("page", std::slice::from_ref(event));
        let delivery = Delivery {
            body,
            message: Some(message),
            is_signed: true,
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(delivery.clone());
        self.send(person, delivery);
    }

    fn send(&self, person: &str, delivery: Delivery) {
        let number = person.bytes().map(usize::from).sum::<usize>() % CONNECTIONS;
        // It fails only when the connection's thread has panicked.
        let _ = self.connections[number].send(delivery);
    }

    fn new_mid(&self) -> String {
        format!(
            "m_simulated_{}",
            self.messages.fetch_add(1, Ordering::Relaxed)
        )
    }
}

/// Delivers webhooks one after the other, each until it is answered 200. An unsigned one is
/// delivered once: who sends it has no patience.
fn deliver_all(deliveries: &Receiver<Delivery>, messenger: &Messenger, story: &Story) {
    for delivery in deliveries {
        let tries = if delivery.is_signed { REDELIVERIES } else { 1 };
        for n in 0..tries {
            if n > 0 {
                thread::sleep(REDELIVERY);
            }
            if deliver_one(&delivery, messenger, story) == Some(200) {
                break;
            }
        }
    }
}

fn deliver_one(delivery: &Delivery, messenger: &Messenger, story: &Story) -> Option<u16> {
    let mut headers = messenger.headers(&delivery.body);
    if !delivery.is_signed {
        headers.retain(|(name, _)| *name != "X-Hub-Signature-256");
    }
    let mut request = format!("POST {} HTTP/1.1\n", messenger.target());
    for (name, value) in &headers {
        request += &format!("{name}: {value}\n");
    }
    request = request + "\n" + &String::from_utf8_lossy(&delivery.body);
    let happening = story.requested("webhook", delivery.message, request);
    match messenger.post(&headers, &delivery.body) {
        Ok(answer) => {
            story.answered(happening, Some(answer.status), &answer.body);
            Some(answer.status)
        }
        Err(error) => {
            story.answered(happening, None, &error.to_string());
            None
        }
    }
}

/// Listens on the first free loopback port from this one on, or on any, when there is none near.
pub(super) fn listen_near(port: u16) -> io::Result<TcpListener> {
    let mut ports = port..port + 100;
    let near = ports.find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
    near.map_or_else(|| TcpListener::bind("127.0.0.1:0"), Ok)
}

/// A Graph API that makes trouble and tells the story of it.
fn graph_api(
    story: &Arc<Story>,
    trouble: &Arc<TroubleMaker>,
    any_bot: bool,
) -> io::Result<GraphApi> {
    let (story, trouble) = (Arc::clone(story), Arc::clone(trouble));
    let manner = Manner {
        any_bot,
        behave: Box::new(move |_| trouble.reply()),
        observe: Box::new(move |call, reply, body| observe(&story, call, reply, body)),
    };
    // A bot of somebody else is told the address by hand: the same one each time, if it is free.
    let listener = if any_bot {
        listen_near(GRAPH_PORT)?
    } else {
        TcpListener::bind("127.0.0.1:0")?
    };
    GraphApi::in_manner(listener, manner)
}

fn observe(story: &Arc<Story>, call: &Call, reply: &Reply, body: &str) {
    let message = story.answers(&call.recipient, &call.text);
    let happening = story.requested("call", message, call.request.clone());
    let (story, call, body) = (Arc::clone(story), call.clone(), body.to_string());
    let (status, after) = (reply.status, reply.after);
    let tell = move || {
        thread::sleep(after);
        story.answered(happening, Some(status), &body);
        if call.delivered {
            story.reached(&call.recipient, &call.text, message);
        }
    };
    if after.is_zero() {
        tell();
    } else if !reply.is_hanging() {
        thread::spawn(tell);
    }
}
