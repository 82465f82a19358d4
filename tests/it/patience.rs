//! One call of the Send API takes 10 s at most, however slowly it is answered.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use echobot::simulator::text_message;

use crate::support::{PATIENCE, start_bot};

/// Longer than a call may take, on a busy machine.
const LONGEST: Duration = Duration::from_secs(12);

type Behave = fn(&mut TcpStream);

#[test]
fn a_call_ends_after_ten_seconds_however_slow_the_answer_is() {
    let trials: [(&str, Behave); 5] = [
        ("never reads", |_| {}),
        ("sends its head a byte a second", |stream| {
            drip(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
        }),
        ("sends a head and no body", |stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
        }),
        ("sends its body a byte a second", |stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
            drip(stream, &[b' '; 100]);
        }),
        ("sends chunks a byte a second", |stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            drip(stream, &b"1\r\n \r\n".repeat(20));
        }),
    ];
    thread::scope(|scope| {
        for (what, behave) in trials {
            scope.spawn(move || {
                let bot = start_bot(&slow_graph_api(behave), &[]);
                let start = Instant::now();
                let message = text_message("7", "m_1", "hello");
                let body = echobot::simulator::webhook("page", &[message]);
                let messenger = echobot::simulator::Messenger::new(&bot.url());
                let answer = messenger.deliver(&body).expect("the bot answers");
                assert_eq!(answer.status, 503, "{what}");
                let line = bot.wait_for_log("echo delayed: mid m_1", PATIENCE);
                let line = line.unwrap_or_else(|| panic!("{what}:\n{}", bot.log()));
                assert!(line.contains("no answer in time"), "{what}: {line}");
                let took = start.elapsed();
                assert!(took < LONGEST, "{what}: {took:?}");
            });
        }
    });
}

/// A Graph API that does this on each connection, and then holds it open. Returns its address.
fn slow_graph_api(behave: Behave) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the system has a port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                behave(&mut stream);
                thread::sleep(PATIENCE);
            });
        }
    });
    format!("http://{address}")
}

/// Writes a byte a second, until nobody listens.
fn drip(stream: &mut TcpStream, bytes: &[u8]) {
    for byte in bytes {
        if stream.write_all(&[*byte]).is_err() {
            return;
        }
        thread::sleep(Duration::from_secs(1));
    }
    let _ = stream.read(&mut [0]);
}
