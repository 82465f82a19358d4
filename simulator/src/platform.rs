//! The platform: people who write, Messenger, the Graph API and the bot, put together.

use std::io::{self, Write as _};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::bot::{Bot, OwnBot};
use super::bubble;
use super::delivery::{Deliveries, Delivery};
use super::event_log::{EventLog, message};
use super::messenger::as_meta_writes;
use super::options::{Options, listen};
use super::proxy::{Proxy, start_proxy};
use super::{APP_ID, events, failed_to, lock, random};
use super::{Call, GraphApi, Kind, Messenger, Reply, SimulatorError, Trouble};

/// A bot that is not up yet is asked this often.
const ASKED_EVERY: Duration = Duration::from_millis(300);

/// The first port that the Graph API for another bot takes, if it is free.
const GRAPH_PORT: u16 = 8090;

/// Why something is not done: an HTTP status and the reason.
pub(crate) type Refusal = (u16, String);

/// A Messenger Platform with a bot on it.
pub(crate) struct Platform {
    pub(crate) log: Arc<EventLog>,
    pub(crate) options: Options,
    pub(crate) trouble: Arc<Mutex<Trouble>>,
    pub(crate) own_bots: Mutex<Vec<OwnBot>>,
    deliveries: Deliveries,
    proxy: Mutex<Proxy>,
    /// It runs until this is dropped.
    pub(crate) graph_api: GraphApi,
}

impl Platform {
    /// Sets up everything; the handshake is still to be made.
    ///
    /// # Errors
    /// When something cannot be started; in words.
    pub(crate) fn set_up(options: &Options) -> Result<Arc<Platform>, SimulatorError> {
        let trouble = Arc::new(Mutex::new(options.trouble.clone()));
        // Another bot is told the address by hand: the same one each time, if it is free.
        let usual = options.other_bot.as_ref().map_or(0, |_| GRAPH_PORT);
        let listener = listen(options.bind, options.graph_port, usual, "--graph-port")?;
        let makes = Arc::clone(&trouble);
        let graph_api = GraphApi::start(listener, move |call| reply(&mut lock(&makes), call));
        let graph_api = graph_api.map_err(failed_to("start the Graph API"))?;
        lock(&graph_api.calls.page).page.clone_from(&options.page);
        let url = graph_api.url();
        let mut own_bots = Vec::new();
        if let Some(bots) = &options.own_bots {
            for _ in 0..bots.count {
                own_bots.push(OwnBot::start(bots, &url)?);
            }
        }
        let messenger = match &options.other_bot {
            Some([webhook, verify_token, app_secret]) => {
                if !webhook.starts_with("http") {
                    let words = "is no address of a webhook; it begins with http:// or https://";
                    return Err(SimulatorError(format!("{webhook} {words}")));
                }
                // Before the handshake: the bot may want to know it before it starts.
                let words = "the Graph API for your bot, instead of https://graph.facebook.com";
                say(&format!("{words}: {url}"));
                Messenger::with_secrets(webhook, verify_token, app_secret)
            }
            None => Messenger::new(""),
        };
        let log = Arc::clone(&graph_api.calls.log);
        let deliveries = Deliveries {
            messenger: Arc::new(messenger),
            log: Arc::clone(&log),
            graph_url: options.other_bot.is_some().then_some(url),
            queues: Arc::default(),
        };
        let platform = Platform {
            deliveries,
            log,
            options: options.clone(),
            trouble,
            own_bots: Mutex::new(own_bots),
            proxy: Mutex::new(start_proxy(options, &graph_api)?),
            graph_api,
        };
        platform.find_bots();
        Ok(Arc::new(platform))
    }

    /// Tells Messenger and the page where the bots are.
    fn find_bots(&self) {
        let urls = self.bot_urls();
        let first = urls.first().cloned().unwrap_or_default();
        lock(&self.graph_api.calls.page).webhook = first;
        self.deliveries.messenger.move_to(urls);
    }

    /// Makes the handshake, and waits so long for a bot that is not up yet; without a limit for whatever bot.
    ///
    /// # Errors
    /// When the bot does not pass it; in words.
    pub(crate) fn shake_hands(&self, at_most: Option<Duration>) -> Result<(), SimulatorError> {
        let (begun, mut told) = (Instant::now(), String::new());
        loop {
            let Err((error, is_for_now)) = self.deliveries.messenger.try_handshake() else {
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
            thread::sleep(ASKED_EVERY);
        }
    }

    /// Where the bots are.
    pub(crate) fn bot_urls(&self) -> Vec<String> {
        match &self.options.other_bot {
            Some([webhook, ..]) => vec![webhook.clone()],
            None => {
                let own_bots = lock(&self.own_bots);
                own_bots.iter().map(|own| own.bot.url()).collect()
            }
        }
    }

    /// A person does something: an event by its name, with what it is to have besides; or a whole webhook. Returns the id
    /// of the bubble, if it has one.
    ///
    /// # Errors
    /// When there is no such event; with all there are.
    pub(crate) fn send(
        &self,
        person: &str,
        name: &str,
        with: &Value,
    ) -> Result<Option<u64>, Refusal> {
        if with["webhook"].is_object() {
            return Ok(self.send_webhook(person, &with["webhook"]));
        }
        let mut webhook = self.webhook(person, name, with)?;
        let mut page = lock(&self.graph_api.calls.page);
        let entry = &mut webhook["entry"][0];
        match name {
            "take_thread_control" => page.hand_over(person, "1"),
            "pass_thread_control" => page.hand_over(person, APP_ID),
            "request_thread_control" => {}
            // Another app answers, and ours is only told.
            _ if page.is_handed_over(person) && entry["messaging"].is_array() => {
                let events = entry["messaging"].take();
                *entry = json!({"id": entry["id"], "time": entry["time"], "standby": events});
            }
            _ => {}
        }
        drop(page);
        Ok(self.send_webhook(person, &webhook))
    }

    fn webhook(&self, person: &str, name: &str, with: &Value) -> Result<Value, Refusal> {
        let is_about_bot = ["read", "delivery", "reaction"].contains(&name);
        let is_about = |one: &Value| one["person"] == person && one["bot"] == is_about_bot;
        // Mids of another run are others: a bot remembers those that it has answered.
        let mid = format!("m_{:016x}", random());
        let last = || Some(self.log.last(is_about)?["mid"].as_str()?.to_string());
        let about = with["mid"].as_str().map(str::to_string).or_else(last);
        let mut values = with.clone();
        for (name, value) in [
            ("page", self.options.page.clone()),
            ("person", person.to_string()),
            ("app", APP_ID.to_string()),
            ("about", about.unwrap_or(format!("{mid}_about"))),
            ("mid", mid),
            ("files", format!("{}/files", self.graph_api.url())),
        ] {
            values[name] = value.into();
        }
        let event = events::find(name);
        let event = event.map_err(|names| (400, format!("event is one of {names}")))?;
        Ok(events::webhook(event, &values))
    }

    /// The webhook is delivered as it is. Returns the id of its last bubble.
    fn send_webhook(&self, person: &str, webhook: &Value) -> Option<u64> {
        let (mut last, page) = (None, &self.options.page);
        for event in bubble::events(webhook) {
            if let Some(user_ref) = event["optin"]["user_ref"].as_str() {
                self.log.know(person, person);
                self.log.know(user_ref, person);
            }
            let sender = event["sender"]["id"].as_str().unwrap_or(person);
            if let Some((text, content)) = bubble::words(event).filter(|_| sender != page) {
                let mut bubble = message(sender, false, &text, content);
                if let Some(bots) = &self.options.own_bots {
                    let is_standby = webhook["entry"][0]["standby"].is_array();
                    let name = if is_standby { "standby" } else { "messaging" };
                    let entry = json!({"id": page, name: [event]});
                    let alone = json!({"object": webhook["object"], "entry": [entry]});
                    bubble["rest"] = (bots.owes)(&alone).unwrap_or_default().into();
                }
                last = Some(self.log.written(bubble));
            }
        }
        self.deliveries.send(Delivery {
            body: as_meta_writes(webhook),
            person: person.to_string(),
            message: last,
            is_signed: true,
            group: None,
        });
        last
    }

    /// Messenger delivers a webhook once more: this one, or the last. None when there is no such webhook.
    pub(crate) fn redeliver(&self, exchange: Option<u64>) -> Option<()> {
        let is_it =
            |one: &Value| one["what"] == "webhook" && exchange.is_none_or(|id| one["id"] == id);
        let webhook = self.log.last(is_it)?;
        let (head, body) = webhook["request"].as_str()?.split_once("\n\n")?;
        self.deliveries.send(Delivery {
            body: body.into(),
            person: webhook["person"].as_str()?.to_string(),
            message: webhook["message"].as_u64(),
            is_signed: head.contains("\nX-Hub-Signature"),
            group: webhook["group"].as_u64().or(webhook["id"].as_u64()),
        });
        Some(())
    }

    /// Somebody who does not know the app secret sends a webhook.
    pub(crate) fn send_unsigned(&self, person: &str) {
        let with = json!({"text": "nobody has signed this"});
        let webhook = self.webhook(person, "text", &with);
        self.deliveries.send(Delivery {
            body: as_meta_writes(&webhook.unwrap_or_default()),
            person: person.to_string(),
            ..Delivery::default()
        });
    }

    /// This one of our own bots, if there is one, is killed without a warning, and started again.
    pub(crate) fn kill_bot(&self, number: usize) -> bool {
        let mut own_bots = lock(&self.own_bots);
        let Some(OwnBot { command, bot, .. }) = own_bots.get_mut(number) else {
            return false;
        };
        let what = format!("kill -9 of the bot at {}, and start again", bot.url());
        let exchange = self.log.requested("bot", "", &what, None, None);
        bot.kill();
        let answer = match Bot::run(command) {
            Ok(started) => {
                *bot = started;
                format!("it listens at {} and has its outbox back", bot.url())
            }
            Err(error) => error.to_string(),
        };
        drop(own_bots);
        self.find_bots();
        self.log.answered(exchange, None, &answer);
        true
    }

    /// Ends the bots that are our own, and removes what has been left.
    pub(crate) fn tear_down(&self) {
        lock(&self.own_bots).clear();
        *lock(&self.proxy) = None;
    }

    /// What the bots have logged that are our own.
    pub(crate) fn bot_log(&self) -> String {
        let own_bots = lock(&self.own_bots);
        let logs = own_bots.iter().map(|own| own.bot.log());
        logs.collect::<Vec<_>>().join("\n")
    }
}

/// What the Graph API replies: a mistake is refused first, then trouble has its turn.
fn reply(trouble: &mut Trouble, call: &Call) -> Reply {
    if let Some(refusal) = &call.refusal {
        return refusal.clone();
    }
    if call.kind != Kind::Other && call.person.is_none() {
        return Reply::error(400, 100, Some(2018001));
    }
    trouble.reply(call.person.as_deref().unwrap_or_default())
}

/// Tells the person at the terminal.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
