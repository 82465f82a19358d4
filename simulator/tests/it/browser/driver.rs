//! A browser, as far as these tests need one (W3C WebDriver, and Chromium's own commands).

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::PATIENCE;

/// The key under which WebDriver names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Without a sandbox because tests run as root in containers; without what asks the network.
const ARGUMENTS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
];

pub struct Browser {
    driver: Child,
    session: String,
}

impl Browser {
    /// None where there is no ChromeDriver.
    pub fn start() -> Option<Browser> {
        // The port that it has chosen may be taken before it listens; then it ends.
        let mut tries = 0;
        let (driver, lines, started) = loop {
            let mut driver = Command::new("chromedriver")
                .arg("--port=0")
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .ok()?;
            let output = BufReader::new(driver.stdout.take().expect("it is piped"));
            let mut lines = output.lines().map_while(Result::ok);
            let started = lines.find(|line| line.contains("started successfully on port"));
            if let Some(started) = started {
                break (driver, lines, started);
            }
            let _ = driver.wait();
            tries += 1;
            assert!(tries < 5, "ChromeDriver does not start");
        };
        let port: String = started.chars().filter(char::is_ascii_digit).collect();
        // It goes on writing; nobody need read it, but somebody must.
        std::thread::spawn(move || lines.count());
        let mut browser = Browser {
            driver,
            session: format!("http://127.0.0.1:{port}/session"),
        };
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": ARGUMENTS},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let session = browser.post("", &capabilities);
        let id = session["sessionId"].as_str().expect("a session has an id");
        browser.session = format!("{}/{id}", browser.session);
        browser.command("Emulation.setDeviceMetricsOverride", &metrics(1280, 860));
        Some(browser)
    }

    pub fn go(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    /// Runs a script in the page, and returns what it returns.
    pub fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until a script returns true.
    pub fn wait_until(&self, what: &str, script: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.run(script) != true {
            let page = self.run("return document.body.innerText");
            assert!(
                Instant::now() < deadline,
                "waited in vain for {what}; the page says:\n{page:#}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn click(&self, selector: &str) {
        let element = self.element(selector);
        self.post(&format!("/element/{element}/click"), &json!({}));
    }

    /// Types a text where the cursor is; ChromeDriver's own typing knows no emoji.
    pub fn insert(&self, text: &str) {
        self.command("Input.insertText", &json!({ "text": text }));
    }

    pub fn press_enter(&self, selector: &str) {
        let element = self.element(selector);
        self.post(
            &format!("/element/{element}/value"),
            &json!({"text": "\u{e007}"}),
        );
    }

    /// Takes a picture of this size, and leaves the page so.
    pub fn screenshot(&self, name: &str, width: u32, height: u32) {
        self.resize(width, height);
        // The page is laid out anew when the next frame has been drawn.
        self.post("/execute/async", &json!({
            "script": "const done = arguments[0]; const chat = document.querySelector('#chat'); \
                       chat.scrollTop = chat.scrollHeight; requestAnimationFrame(() => setTimeout(done, 200))",
            "args": [],
        }));
        let picture = self.command("Page.captureScreenshot", &json!({"format": "png"}));
        let picture = BASE64_STANDARD.decode(picture["data"].as_str().expect("it is base64"));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        std::fs::write(folder.join(name), picture.expect("it is base64"))
            .expect("it can be written");
    }

    /// A window of this size.
    pub fn resize(&self, width: u32, height: u32) {
        self.command(
            "Emulation.setDeviceMetricsOverride",
            &metrics(width, height),
        );
    }

    /// From now on this is somebody whose system has colours of its own.
    pub fn force_colors(&self) {
        let forced = json!({"features": [{"name": "forced-colors", "value": "active"}]});
        self.command("Emulation.setEmulatedMedia", &forced);
    }

    /// Presses a key wherever the focus is.
    pub fn press(&self, key: &str) {
        let actions = json!([{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]);
        self.post(
            "/actions",
            &json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]}),
        );
    }

    /// From now on the work of the page is measured.
    pub fn measure(&self) {
        let threads = json!({"timeDomain": "threadTicks"});
        self.command("Performance.enable", &threads);
    }

    /// How much processor time the page has used since then, in seconds.
    pub fn work(&self) -> f64 {
        let metrics = self.command("Performance.getMetrics", &json!({}));
        let metrics = metrics["metrics"].as_array().expect("a list").iter();
        let mut tasks = metrics.filter(|one| one["name"] == "TaskDuration");
        let tasks = tasks.next().expect("it is measured");
        tasks["value"].as_f64().expect("a number")
    }

    /// From now on this is somebody who likes it dark.
    pub fn dark(&self) {
        let dark = json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]});
        self.command("Emulation.setEmulatedMedia", &dark);
    }

    /// What the page has complained about.
    pub fn console_errors(&self) -> Vec<String> {
        let entries = self.post("/se/log", &json!({"type": "browser"}));
        let entries = entries.as_array().expect("a log has entries").clone();
        let errors = entries
            .into_iter()
            .filter(|entry| entry["level"] == "SEVERE");
        errors.map(|entry| entry["message"].to_string()).collect()
    }

    fn element(&self, selector: &str) -> String {
        let found = self.post(
            "/element",
            &json!({"using": "css selector", "value": selector}),
        );
        found[ELEMENT]
            .as_str()
            .expect("an element has an id")
            .to_string()
    }

    fn command(&self, name: &str, parameters: &Value) -> Value {
        self.post(
            "/goog/cdp/execute",
            &json!({"cmd": name, "params": parameters}),
        )
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.session);
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .build();
        let agent: ureq::Agent = config.into();
        let mut answer = agent
            .post(&url)
            .send(body.to_string())
            .expect("ChromeDriver answers");
        let answer = answer
            .body_mut()
            .read_to_vec()
            .expect("ChromeDriver answers");
        let answer: Value = serde_json::from_slice(&answer).expect("it is JSON");
        assert!(answer["value"]["error"].is_null(), "{path}: {answer:#}");
        answer["value"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = ureq::delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn metrics(width: u32, height: u32) -> Value {
    json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500})
}
