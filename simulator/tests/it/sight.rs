//! What a person sees of trouble, of much, and on a phone.

use super::*;
use crate::browser::{Browser, open, say};
use crate::client::post;

pub fn is_true(browser: &Browser, script: &str) -> bool {
    browser.run(&format!("return Boolean({script})")) == true
}

#[test]
fn failures_reach_the_chat() {
    let world = World::start();
    let Some(browser) = open(&world.simulator) else {
        return;
    };
    world.bot.status.store(500, Ordering::SeqCst);
    say(&browser, "hello");
    browser.wait_until(
        "the bot's failures under the bubble",
        "return /the bot answered 500, [2-9] times/.test(document.querySelector('.row.me .failed')?.textContent)",
    );
    say(&browser, "again");
    let waits = "return [...document.querySelectorAll('.row.me .failed')].at(-1)?.textContent.startsWith('waits behind')";
    browser.wait_until("why the next one waits", waits);
    world.bot.status.store(200, Ordering::SeqCst);
    assert_eq!(world.send(json!({"text": "x".repeat(2001)})).0, 400);
    let refusal = "return document.querySelector('.refusal .failed')?.textContent.startsWith('Meta refuses the reply (400): (#100) Length')";
    browser.wait_until("Meta's refusal", refusal);
    browser.screenshot("failures.png", 1280, 860);
    browser.run("document.querySelector('.refusal .jump').click()");
    browser.wait_until(
        "its row",
        "return document.querySelector('details[open] pre')?.textContent.includes('xxx')",
    );

    let trouble = json!({"fault": "551", "person": PERSON});
    post(&world.simulator, "trouble", &trouble);
    let mark = "return document.querySelector('#trouble-mark').textContent.includes(\"551: this person isn't available, for Ada\")";
    browser.wait_until("the mark", mark);
    // It is Ada's after a reload, and when another knob is turned.
    browser.go(&world.simulator.url);
    browser.wait_until("whose it is", "return document.querySelector('#theirs').checked && document.querySelector('#fault-name').value === '551'");
    browser.run("document.querySelectorAll('#people button')[1].click(); const l = document.querySelector('#latency'); l.value = 7; l.dispatchEvent(new Event('change'))");
    let news = wait_for_news(&world.simulator, |news| news["trouble"]["latency"] == 7);
    assert_eq!(
        (&news["trouble"]["fault"], &news["trouble"]["person"]),
        (&json!("551"), &json!(PERSON))
    );
    browser.click("#end-trouble");
    browser.wait_until(
        "no mark",
        "return document.querySelector('#trouble-mark').hidden",
    );
    // The person stays over a reload.
    browser.run("location.reload()");
    browser.wait_until("the same person", "return document.querySelectorAll('#people button')[1]?.getAttribute('aria-selected') === 'true'");
}

#[test]
fn on_a_phone_the_composer_is_on_the_screen() {
    let world = World::start();
    let Some(browser) = open(&world.simulator) else {
        return;
    };
    browser.resize(360, 740);
    for n in 0..12 {
        world.send(json!({"text": format!("message {n}\nof two lines")}));
    }
    browser.wait_until(
        "them",
        "return document.querySelectorAll('.row').length === 12",
    );
    browser.run("window.scrollTo(0, 0)");
    let inside = "(b => b.top >= 0 && b.bottom <= innerHeight && b.right <= innerWidth)(document.querySelector('#send').getBoundingClientRect())";
    assert!(is_true(&browser, inside));
    assert!(is_true(
        &browser,
        "document.documentElement.scrollWidth <= innerWidth"
    ));
    browser.screenshot("phone-360.png", 360, 740);
}

#[test]
fn five_hundred_messages_are_less_than_a_second_of_work() {
    let world = World::start();
    let Some(browser) = open(&world.simulator) else {
        return;
    };
    browser.measure();
    let before = browser.work();
    post(&world.simulator, "burst", &json!({"count": 500}));
    // To look at the page is work too, so that it is done rarely.
    let deadline = Instant::now() + PATIENCE;
    while !is_true(&browser, "document.querySelectorAll('.row').length === 500") {
        assert!(Instant::now() < deadline, "they do not come");
        thread::sleep(std::time::Duration::from_millis(500));
    }
    let work = browser.work() - before;
    assert!(work < 1.0, "{work} s of work");
    assert!(
        is_true(
            &browser,
            "(c => c.scrollHeight - c.scrollTop - c.clientHeight < 80)(document.querySelector('#chat'))"
        ),
        "it follows"
    );
    post(&world.simulator, "burst", &json!({"count": 500}));
    browser.wait_until(
        "a thousand",
        "return document.querySelectorAll('#exchanges details').length === 1000",
    );
    for what in [
        "document.querySelector('#order').click()",
        "document.querySelectorAll('#people button')[1].click(); document.querySelectorAll('#people button')[0].click()",
    ] {
        let before = browser.work();
        browser.run(&format!("{what}; document.body.offsetHeight"));
        let work = browser.work() - before;
        assert!(work < 0.5, "{what}: {work} s of work");
    }
}

#[test]
fn the_log_follows_or_tells_how_many_are_new_and_can_be_filtered() {
    let world = World::start();
    let Some(browser) = open(&world.simulator) else {
        return;
    };
    post(&world.simulator, "burst", &json!({"count": 60}));
    world.bot.wait(60);
    let at_end = "(c => c.scrollHeight - c.scrollTop - c.clientHeight < 80)(document.querySelector('#exchanges'))";
    browser.wait_until(
        "the rows",
        "return document.querySelectorAll('#exchanges details').length >= 60",
    );
    browser.wait_until("it follows", &format!("return {at_end}"));
    browser.run("document.querySelector('#exchanges').scrollTop = 0");
    let template = json!({"attachment": {"type": "template", "payload": {
        "template_type": "button", "text": "Which?", "buttons": [{"type": "postback", "title": "A", "payload": "A"}],
    }}});
    world.send(template);
    world.post(
        "/me/messenger_profile",
        &json!({"get_started": {"payload": "START"}}),
    );
    post(
        &world.simulator,
        "send",
        &json!({"person": "7100200300400501", "event": "postback", "title": "Yes", "payload": "YES"}),
    );
    browser.wait_until(
        "how many",
        "return document.querySelector('#new').textContent === '3 new ↓'",
    );
    browser.click("#new");
    browser.wait_until(
        "the end",
        &format!("return {at_end} && document.querySelector('#new').hidden"),
    );
    let texts = browser.run("return [...document.querySelectorAll('summary .what')].slice(-3).map(one => one.textContent).join('\\n')");
    let texts = texts.as_str().unwrap_or_default();
    for words in [
        "template button: Which?",
        "messenger_profile: get_started",
        "postback “Yes” YES",
    ] {
        assert!(texts.contains(words), "{texts}");
    }
    let visible = |select: &str, value: &str| {
        browser.run(&format!(
            "const s = document.querySelector('{select}'); s.value = '{value}'; s.dispatchEvent(new Event('change')); \
             return [...document.querySelectorAll('#exchanges details')].filter(one => one.offsetParent).length"
        ))
    };
    assert_eq!(visible("#of-kind", "call"), 1);
    assert_eq!(visible("#of-kind", "webhook"), 61);
    assert_eq!(visible("#of-whom", "7100200300400501"), 1);
}

#[test]
fn a_text_that_cannot_be_sent_is_kept() {
    let world = World::start();
    let Some(browser) = open(&world.simulator) else {
        return;
    };
    let World {
        bot: _bot,
        simulator,
        ..
    } = world;
    drop(simulator);
    browser.wait_until(
        "nobody to be there",
        "return document.querySelector('#link').className === 'away'",
    );
    say(&browser, "for later");
    assert_eq!(
        browser.run("return document.querySelector('#text').value"),
        "for later"
    );
}

#[test]
fn links_receipts_coupons_and_products_look_like_what_they_are() {
    let world = World::start();
    let Some(browser) = open(&world.simulator) else {
        return;
    };
    let template = |payload: Value| json!({"attachment": {"type": "template", "payload": payload}});
    let picture = format!("{}/files/picture.png", world.graph);
    let receipt = json!({
        "template_type": "receipt", "recipient_name": "Ada Byron", "order_number": "1234", "currency": "EUR",
        "payment_method": "Visa 2345", "elements": [{"title": "Tea", "quantity": 2, "price": 3.5}, {"title": "Cake", "price": 4}],
        "summary": {"shipping_cost": 1, "total_tax": 0.5, "total_cost": 12.5}, "adjustments": [{"name": "Regular", "amount": 1}],
        "address": {"street_1": "1 Main Street", "city": "London", "postal_code": "N1", "state": "-", "country": "GB"},
    });
    for message in [
        json!({"text": "see https://example.org/a?b=c, and tell me"}),
        template(receipt),
        template(
            json!({"template_type": "coupon", "title": "10 % off", "coupon_code": "TEN", "coupon_url": "https://example.org/"}),
        ),
        template(json!({"template_type": "product", "elements": [{"id": "11"}, {"id": "12"}]})),
        template(
            json!({"template_type": "image_grid", "elements": [{"title": "Grid", "images": [{"url": picture}, {"url": picture}]}]}),
        ),
        json!({"text": "Your address?", "quick_replies": [{"content_type": "user_email"}]}),
    ] {
        let (status, answer) = world.send(message);
        assert_eq!(status, 200, "{answer}");
    }
    browser.wait_until(
        "all of it",
        "return document.querySelectorAll('.row').length === 6",
    );
    assert!(is_true(
        &browser,
        "document.querySelector('.bubble a').href === 'https://example.org/a?b=c'"
    ));
    assert!(is_true(
        &browser,
        "document.querySelector('.receipt .total').textContent === 'Total12.50 EUR'"
    ));
    assert!(is_true(
        &browser,
        "document.querySelectorAll('.grid img').length === 2"
    ));
    assert!(is_true(
        &browser,
        "[...document.querySelectorAll('.card')].filter(c => c.textContent.includes('from the catalogue')).length === 2"
    ));
    browser.screenshot("templates.png", 1280, 860);
    browser.run("[...document.querySelectorAll('.coupon button')][0].click()");
    assert!(is_true(
        &browser,
        "document.querySelector('.code').textContent === 'TEN'"
    ));
    browser.run("[...document.querySelectorAll('.taps button')].at(-1).click()");
    let webhooks = world.bot.wait(2);
    let tapped = webhooks[1].json()["entry"][0]["messaging"][0]["message"].clone();
    assert_eq!(tapped["text"], "ada@example.org");
    assert_eq!(tapped["quick_reply"]["payload"], "ada@example.org");
    // A payload can be given to an event.
    browser.click("#more");
    browser.run("document.querySelector('#with-payload').value = 'MINE'; [...document.querySelectorAll('#events button')].find(b => b.textContent.startsWith('postback')).click()");
    assert_eq!(
        world.bot.wait(3)[2].json()["entry"][0]["messaging"][0]["postback"]["payload"],
        "MINE"
    );
}
