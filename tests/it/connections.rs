//! Connections to the Graph API: used again while they are open, not when they are closed, and
//! through a proxy. And what becomes of connections while the process is frozen.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use echobot::simulator::{Bot, Messenger, Reply, text_message, webhook};

use crate::support::{PATIENCE, World, signal, start_bot, wait_for_end};

const DELIVERED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{\"message_id\":\"m\"}";

#[test]
fn an_open_connection_is_used_again() {
    let (url, opened) = serve(|mut stream| while answer(&mut stream) {});
    let bot = start_bot(&url, &[]);
    for n in 0..10 {
        deliver(&bot, &format!("m_{n}"));
    }
    assert_eq!(opened.try_iter().count(), 1);
}

#[test]
fn a_connection_that_the_graph_api_has_closed_is_not_used() {
    let (sender, closed) = mpsc::channel();
    let (url, opened) = serve(move |mut stream| {
        answer(&mut stream);
        drop(stream);
        let _ = sender.send(());
    });
    let bot = start_bot(&url, &[]);
    for mid in ["m_1", "m_2", "m_3"] {
        deliver(&bot, mid);
        closed.recv().expect("the connection is closed");
    }
    assert_eq!(opened.try_iter().count(), 3);
    assert!(!bot.log().contains("echo delayed"), "{}", bot.log());
}

#[test]
fn calls_go_through_the_proxy_that_the_environment_names() {
    let (sender, asked) = mpsc::channel();
    let (proxy, _) = serve(move |client| {
        let _ = sender.send(tunnel(client).expect("the tunnel opens"));
    });
    let world = World::started_with(|command| {
        command.env("ALL_PROXY", &proxy);
        command.env_remove("NO_PROXY").env_remove("no_proxy");
    });
    let events = [text_message("7", "m_1", "hello")];
    assert_eq!(world.deliver(&events).status, 200, "{}", world.bot.log());
    let graph_api = world.graph_api.url().replace("http://", "");
    assert_eq!(asked.recv().expect("it is asked"), graph_api);
}

fn deliver(bot: &Bot, mid: &str) {
    let body = webhook("page", &[text_message("7", mid, "hello")]);
    let answer = Messenger::new(&bot.url()).deliver(&body);
    let status = answer.expect("the bot answers").status;
    assert_eq!(status, 200, "{}", bot.log());
}

/// A server that does this with each connection, one after the other, but for those on which the bot
/// asks for its page; its address, and a message for each connection.
fn serve(serve_one: impl Fn(TcpStream) + Send + 'static) -> (String, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the system has a port");
    let address = listener.local_addr().expect("it is bound");
    let (sender, opened) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut first = [0];
            if stream.peek(&mut first).is_ok() && first != *b"G" {
                let _ = sender.send(());
                serve_one(stream);
            }
        }
    });
    (format!("http://{address}"), opened)
}

/// Answers one call, whose body ends with two braces. Returns whether there was one.
fn answer(stream: &mut TcpStream) -> bool {
    let (mut call, mut buffer) = (Vec::new(), [0; 4096]);
    while !call.ends_with(b"}}") {
        match stream.read(&mut buffer) {
            Ok(n @ 1..) => call.extend_from_slice(&buffer[..n]),
            _ => return false,
        }
    }
    stream.write_all(DELIVERED).is_ok()
}

/// Connects the client with the host that it asks for, whose name is returned.
fn tunnel(mut client: TcpStream) -> io::Result<String> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        reader.read_line(&mut head)?;
    }
    let host = head.strip_prefix("CONNECT ").unwrap_or_default();
    let host = host.split(' ').next().unwrap_or_default().to_string();
    let mut server = TcpStream::connect(&host)?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let mut upstream = server.try_clone()?;
    thread::spawn(move || io::copy(&mut reader, &mut upstream));
    thread::spawn(move || io::copy(&mut server, &mut client));
    Ok(host)
}

#[test]
fn a_bot_that_was_frozen_for_a_moment_answers_what_it_has_begun_and_nothing_else() {
    let mut world = World::with(&[], |_| Reply::deliver().after(Duration::from_millis(500)));
    let mut idle = TcpStream::connect(world.bot.address()).expect("the bot listens");
    let asked = idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: bot\r\n\r\n");
    asked.expect("the bot reads");
    while !read_some(&mut idle).ends_with(b"ok") {}
    thread::scope(|scope| {
        let answer = scope.spawn(|| world.deliver(&[text_message("7", "m_1", "hello")]).status);
        world.graph_api.wait_for_calls(1, PATIENCE);
        // Reads with a deadline end with EINTR then (signal(7)).
        for name in ["STOP", "CONT"] {
            signal(&world.bot, name);
        }
        assert_eq!(answer.join().expect("the thread ends"), 200);
    });
    signal(&world.bot, "TERM");
    assert_eq!(read_some(&mut idle), b"", "nothing was asked");
    let status = wait_for_end(&mut world.bot, PATIENCE);
    let log = world.bot.log();
    assert!(status.is_some_and(|status| status.success()), "{log}");
    assert!(!log.contains("not answered in time"), "{log}");
}

#[test]
fn a_bot_that_was_frozen_for_longer_than_its_deadlines_answers_what_has_arrived_meanwhile() {
    let world = World::new();
    let request = b"GET /healthz HTTP/1.1\r\nHost: bot\r\n\r\n";
    let (beginning, rest) = request.split_at(20);
    let connect = || TcpStream::connect(world.bot.address()).expect("the bot listens");
    let (mut silent, mut begun) = (connect(), connect());
    begun.write_all(beginning).expect("the bot reads");
    thread::sleep(Duration::from_millis(500));
    signal(&world.bot, "STOP");
    silent.write_all(request).expect("the system takes it");
    begun.write_all(rest).expect("the system takes it");
    thread::sleep(Duration::from_secs(11));
    signal(&world.bot, "CONT");
    for mut stream in [silent, begun] {
        let answer = read_some(&mut stream);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
}

fn read_some(stream: &mut TcpStream) -> Vec<u8> {
    let mut buffer = [0; 4096];
    let count = stream.read(&mut buffer).expect("an answer or the end");
    buffer[..count].to_vec()
}
