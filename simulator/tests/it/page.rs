//! The page of another bot in a real browser: what bots send is drawn, and can be tapped.

use super::*;
use crate::browser::driver::Browser;
use crate::browser::{bubbles, open, say, wait_for_bubbles};
use crate::client::post;

const ENTER: &str = "\u{e007}";
const TAB: &str = "\u{e004}";

/// The messaging event of the nth webhook.
fn event(world: &World, n: usize) -> Value {
    world.bot.wait(n + 1)[n].json()["entry"][0]["messaging"][0].clone()
}

fn click_on(browser: &Browser, text: &str) {
    let script = format!(
        "const all = [...document.querySelectorAll('button, a, summary')].filter(b => b.textContent.includes('{text}') && b.offsetParent); \
         all.at(-1)?.click(); return all.length > 0"
    );
    browser.wait_until(&format!("a button {text}"), &script);
}

fn templates(world: &World) {
    let yes = json!({"type": "postback", "title": "Yes", "payload": "YES"});
    let web = json!({"type": "web_url", "title": "Look", "url": "https://example.org/"});
    let picture = format!("{}/files/picture.png", world.graph);
    let card = |n: u32| json!({"title": format!("Card {n}"), "subtitle": "with a subtitle", "image_url": picture, "buttons": [yes, web]});
    let template = |payload: Value| json!({"attachment": {"type": "template", "payload": payload}});
    for message in [
        template(json!({"template_type": "button", "text": "Do you like it?", "buttons": [yes]})),
        template(json!({"template_type": "generic", "elements": [card(1), card(2), card(3)]})),
        template(
            json!({"template_type": "media", "elements": [{"media_type": "image", "url": picture, "buttons": [web]}]}),
        ),
        json!({"attachment": {"type": "image", "payload": {"url": picture}}}),
        json!({"attachment": {"type": "audio", "payload": {"url": format!("{}/files/sound.wav", world.graph)}}}),
        json!({"attachment": {"type": "video", "payload": {"url": format!("{}/files/film.mp4", world.graph)}}}),
        json!({"attachment": {"type": "file", "payload": {"url": format!("{}/files/document.pdf", world.graph)}}}),
        json!({"text": "Which?", "quick_replies": [{"content_type": "text", "title": "Red", "payload": "RED"}, {"content_type": "text", "title": "Blue", "payload": "BLUE"}]}),
    ] {
        let (status, answer) = world.send(message);
        assert_eq!(status, 200, "{answer}");
    }
}

#[test]
fn what_bots_send_is_drawn_and_can_be_tapped_by_mouse_and_by_keyboard() {
    let world = World::start();
    let greeting = json!([{"locale": "default", "text": "Welcome, {{user_first_name}}!"}]);
    let start = json!({"get_started": {"payload": "START"}, "greeting": greeting});
    assert_eq!(world.post("/me/messenger_profile", &start).0, 200);
    let Some(browser) = open(&world.simulator) else {
        return;
    };
    assert_eq!(
        browser.run("return document.title"),
        "Messenger, simulated",
        "it is not echobot"
    );
    for address in [&world.bot.url, &world.graph] {
        let stands =
            format!("return document.querySelector('#where').textContent.includes('{address}')");
        browser.wait_until("the address", &stands);
    }
    browser.wait_until(
        "the greeting with a name",
        "return document.querySelector('#start').textContent.includes('Welcome, Ada!')",
    );
    click_on(&browser, "Get Started");
    assert_eq!(event(&world, 0)["postback"]["payload"], "START");
    let item = json!({"type": "postback", "title": "Help", "payload": "HELP"});
    let more = json!({
        "persistent_menu": [{"locale": "default", "call_to_actions": [{"type": "nested", "title": "More", "call_to_actions": [item]}]}],
        "ice_breakers": [{"question": "What is this?", "payload": "WHAT"}],
    });
    assert_eq!(world.post("/me/messenger_profile", &more).0, 200);
    browser.run("document.querySelectorAll('#people button')[1].click()");
    // Ice breakers win over Get Started.
    click_on(&browser, "What is this?");
    assert_eq!(event(&world, 1)["postback"]["payload"], "WHAT");
    let starts = "return [...document.querySelectorAll('#start button')].every(b => b.textContent !== 'Get Started')";
    browser.wait_until("no Get Started", starts);
    browser.run("document.querySelectorAll('#people button')[0].click()");

    templates(&world);
    let drawn = "const q = s => document.querySelectorAll('#chat ' + s).length; \
                 return q('.card') === 4 && q('.bubble img') === 1 && q('video') === 1 && q('audio') === 1 && q('a[href$=\"document.pdf\"]') === 1 && q('.taps button') >= 3";
    browser.wait_until("all that was sent", drawn);
    let loaded = "const all = [...document.querySelectorAll('#chat img')]; return all.length === 5 && all.every(i => i.complete && i.naturalWidth > 0)";
    browser.wait_until("the pictures", loaded);
    click_on(&browser, "Yes");
    let tapped = event(&world, 2);
    assert_eq!(
        (&tapped["postback"]["title"], &tapped["postback"]["payload"]),
        (&json!("Yes"), &json!("YES"))
    );
    // By keyboard: the first quick reply has the focus, and Enter taps it.
    browser.run(
        "[...document.querySelectorAll('.taps button')].find(b => b.textContent === 'Red').focus()",
    );
    browser.press(ENTER);
    let tapped = event(&world, 3);
    assert_eq!(tapped["message"]["quick_reply"]["payload"], "RED");
    let gone = "return ![...document.querySelectorAll('.taps button')].some(b => b.textContent === 'Blue')";
    browser.wait_until("the quick replies to be gone", gone);
    browser.click("#open-menu");
    click_on(&browser, "More");
    click_on(&browser, "Help");
    assert_eq!(event(&world, 4)["postback"]["payload"], "HELP");
    world.post(
        "/me/messages",
        &json!({"recipient": {"id": PERSON}, "sender_action": "typing_on"}),
    );
    browser.wait_until(
        "typing",
        "return document.querySelector('#typing').textContent.includes('typing')",
    );

    browser.screenshot("rich.png", 1280, 860);
    for width in [320, 390] {
        browser.resize(width, 720);
        let narrow =
            "return document.documentElement.scrollWidth <= document.documentElement.clientWidth";
        browser.wait_until("nothing wider than a phone", narrow);
    }
    browser.screenshot("rich-phone.png", 320, 720);
    browser.force_colors();
    browser.screenshot("forced.png", 1280, 860);
    assert_eq!(browser.console_errors(), [""; 0]);
}

#[test]
fn events_are_sent_from_the_menu_and_rows_once_more() {
    let world = World::start();
    let Some(browser) = open(&world.simulator) else {
        return;
    };
    browser.click("#more");
    click_on(&browser, "a reaction to a message");
    assert!(event(&world, 0)["reaction"]["emoji"].is_string());
    browser.click("#more");
    browser.run("const raw = document.querySelector('#raw'); raw.value = '{'; ");
    browser.click("#send-raw");
    assert_eq!(
        browser.run("return document.querySelector('#deeds').open"),
        true,
        "it is no JSON"
    );
    browser.run("document.querySelector('#raw').value = JSON.stringify({object: 'page', entry: [{id: '1', messaging: [{odd: 1}]}]})");
    browser.click("#send-raw");
    assert_eq!(event(&world, 1)["odd"], 1);
    let row = "const last = document.querySelector('#exchanges details:last-child summary'); \
               if (!last?.textContent.includes('odd')) return false; last.click(); return true";
    browser.wait_until("its row", row);
    click_on(&browser, "send again");
    assert_eq!(event(&world, 2)["odd"], 1);
    browser.wait_until(
        "one row for both",
        "return [...document.querySelectorAll('summary')].some(s => s.textContent.includes('×2'))",
    );
}

#[test]
fn the_focus_survives_news_and_bubbles_and_rows_find_each_other() {
    let world = World::start();
    let Some(browser) = open(&world.simulator) else {
        return;
    };
    say(&browser, "hello");
    world.send(json!({"text": "hello to you"}));
    wait_for_bubbles(&browser, 1);
    browser.run("document.querySelectorAll('#people button')[0].focus()");
    for n in 0..3 {
        post(
            &world.simulator,
            "say",
            &json!({"person": "7100200300400501", "text": n.to_string()}),
        );
        world.bot.wait(n + 2);
        world.send(json!({"text": format!("news {n}")}));
    }
    assert_eq!(wait_for_bubbles(&browser, 4).len(), 4);
    assert_eq!(
        browser.run(
            "return document.activeElement === document.querySelectorAll('#people button')[0]"
        ),
        true
    );
    browser.press(TAB);
    // The bubble of the bot leads to the call that brought it, and back.
    browser.run("[...document.querySelectorAll('.row:not(.me) .jump')][0].click()");
    browser.wait_until("the row", "return document.querySelector('details.found, details[open]')?.textContent.includes('hello to you')");
    browser.run("[...document.querySelectorAll('details[open] .acts button')].find(b => b.textContent === 'to the bubble').click()");
    browser.wait_until(
        "the bubble",
        "return document.querySelector('.row.found')?.textContent.includes('hello to you')",
    );
    let wire = browser.run("return document.querySelector('details[open] .wire').textContent");
    assert!(
        wire.as_str()
            .is_some_and(|wire| wire.contains("recipient_id")),
        "{wire}"
    );
    // Newest first, on both sides.
    browser.click("#order");
    assert_eq!(bubbles(&browser, true)[0], "news 2");
    let first =
        browser.run("return document.querySelector('#exchanges details summary').textContent");
    assert!(
        first.as_str().is_some_and(|first| first.contains("news 2")),
        "{first}"
    );
    let phantom = browser.run(
        "return document.documentElement.scrollHeight <= document.documentElement.clientHeight",
    );
    assert_eq!(phantom, true, "nothing scrolls where there is nothing");
    let clock = browser.run("return document.querySelector('.when').textContent");
    assert!(
        clock
            .as_str()
            .is_some_and(|clock| clock.split(':').count() == 3),
        "{clock}"
    );
}

#[test]
fn errors_are_chosen_by_name() {
    let world = World::start();
    let Some(browser) = open(&world.simulator) else {
        return;
    };
    browser.run("const f = document.querySelector('#fault-name'); f.value = '190'; document.querySelector('#calls').value = 1; f.dispatchEvent(new Event('change'))");
    wait_for_news(&world.simulator, |news| news["trouble"]["fault"] == "190");
    let (status, answer) = world.send(json!({"text": "a"}));
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(190)));
    assert_eq!(world.send(json!({"text": "b"})).0, 200);
    browser.wait_until(
        "the refusal",
        "return [...document.querySelectorAll('.status.bad')].some(s => s.textContent === '400')",
    );
    // It was for one call, and does not come back with another knob.
    browser.wait_until(
        "the end of the fault",
        "return document.querySelector('#fault-name').value === ''",
    );
    browser.run("const l = document.querySelector('#latency'); l.value = 5; l.dispatchEvent(new Event('change'))");
    let news = wait_for_news(&world.simulator, |news| news["trouble"]["latency"] == 5);
    assert_eq!(news["trouble"]["fault"], "");
}
