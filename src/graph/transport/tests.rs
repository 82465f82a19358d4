mod tls;

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use ureq::unversioned::resolver::DefaultResolver;
use ureq::{Agent, Proxy, Timeout};

use super::super::agent;
use super::connector;

const DELIVERED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

/// Does this with each connection, one after the other. Returns the address.
fn serve(mut serve_one: impl FnMut(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the system has a port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        let connections = listener.incoming().map_while(Result::ok);
        connections.for_each(&mut serve_one);
    });
    format!("http://{address}/")
}

/// The next request: its first line and its body. None at the end of the connection.
fn read_request(stream: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let head = head.to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1);
    let length = length.and_then(|rest| rest.lines().next()?.parse().ok());
    let mut body = vec![0; length.unwrap_or_default()];
    stream.read_exact(&mut body).ok()?;
    Some((head.lines().next()?.to_string(), body))
}

fn call(agent: &Agent, url: &str, body: &[u8]) -> Result<String, ureq::Error> {
    agent.post(url).send(body)?.body_mut().read_to_string()
}

#[test]
fn head_and_body_of_a_request_come_together() {
    let url = serve(|mut stream| {
        let mut buffer = [0; 4096];
        while let Ok(len @ 1..) = stream.read(&mut buffer) {
            let is_whole = buffer[..len].ends_with(b"the body");
            let answer = if is_whole { DELIVERED } else { b"in pieces" };
            stream.write_all(answer).expect("the client reads");
        }
    });
    let agent = agent();
    for _ in 0..50 {
        assert_eq!(call(&agent, &url, b"the body").expect("one piece"), "{}");
    }
}

/// Closes each connection after one answer and these bytes more, without announcing it; tells
/// what it was asked.
fn serve_once_each(rest: &'static [u8]) -> (String, mpsc::Receiver<Vec<u8>>) {
    let (sender, asked) = mpsc::channel();
    let url = serve(move |mut stream| {
        let (_, body) = read_request(&mut BufReader::new(&stream)).expect("a request");
        stream.write_all(DELIVERED).expect("the client reads");
        // The rest comes when the answer was read.
        let _ = sender.send(body);
        stream.write_all(rest).expect("the client is there");
        drop(stream);
        let _ = sender.send(b"closed".to_vec());
    });
    (url, asked)
}

#[test]
fn a_connection_that_was_closed_meanwhile_is_not_used() {
    for rest in [&b""[..], b"HTTP/1.1 408 Request Timeout\r\n\r\n"] {
        let (url, asked) = serve_once_each(rest);
        let agent = agent();
        for body in ["first", "second", "third"] {
            assert_eq!(
                call(&agent, &url, body.as_bytes()).expect("an answer"),
                "{}"
            );
            assert_eq!(asked.recv().expect("it was asked"), body.as_bytes());
            assert_eq!(asked.recv().expect("it is closed"), b"closed");
        }
        assert!(asked.try_recv().is_err(), "it was asked once each");
    }
}

#[test]
fn a_connection_that_is_open_is_used_again() {
    let (sender, opened) = mpsc::channel();
    let url = serve(move |stream| {
        let _ = sender.send(());
        let mut reader = BufReader::new(&stream);
        while read_request(&mut reader).is_some() {
            (&stream).write_all(DELIVERED).expect("the client reads");
        }
    });
    let agent = agent();
    for _ in 0..10 {
        assert_eq!(call(&agent, &url, b"hello").expect("an answer"), "{}");
    }
    assert_eq!(opened.try_iter().count(), 1);
}

#[test]
fn a_server_that_does_not_answer_costs_the_timeout() {
    let url = serve(|_stream| thread::park());
    let begun = Instant::now();
    let call = agent().post(&url).config();
    let timeout = Duration::from_millis(300);
    let answer = call.timeout_global(Some(timeout)).build().send(b"hello");
    let took = begun.elapsed();
    assert!(matches!(answer, Err(ureq::Error::Timeout(Timeout::Global))));
    assert!(
        (timeout..Duration::from_secs(3)).contains(&took),
        "{took:?}"
    );
}

#[test]
fn an_answer_in_pieces_is_put_together() {
    let url = serve(|stream| {
        stream.set_nodelay(true).expect("it is a TCP socket");
        let mut reader = BufReader::new(&stream);
        while read_request(&mut reader).is_some() {
            for byte in DELIVERED {
                (&stream).write_all(&[*byte]).expect("the client reads");
            }
        }
    });
    let agent = agent();
    for _ in 0..3 {
        assert_eq!(call(&agent, &url, b"hello").expect("an answer"), "{}");
    }
}

#[test]
fn a_body_of_any_size_arrives_whole() {
    let (sender, bodies) = mpsc::channel();
    let url = serve(move |stream| {
        let mut reader = BufReader::new(&stream);
        while let Some((_, body)) = read_request(&mut reader) {
            let _ = sender.send(body);
            (&stream).write_all(DELIVERED).expect("the client reads");
        }
    });
    let agent = agent();
    let around_a_buffer = 16_000..16_500;
    for size in around_a_buffer
        .step_by(50)
        .chain([0, 1, 100_000, 3_000_000])
    {
        let body: Vec<u8> = (0..size).map(|i: u32| (i % 251) as u8).collect();
        assert_eq!(call(&agent, &url, &body).expect("an answer"), "{}");
        assert!(
            bodies.recv().expect("a body") == body,
            "of {size} bytes, others came"
        );
    }
}

#[test]
fn a_proxy_is_asked_for_a_tunnel() {
    let proxy = serve(|stream| {
        let mut reader = BufReader::new(&stream);
        let (first, _) = read_request(&mut reader).expect("a request for a tunnel");
        assert_eq!(first, "connect graph.example:80 http/1.1");
        let opened = b"HTTP/1.1 200 OK\r\n\r\n";
        (&stream).write_all(opened).expect("the client reads");
        while read_request(&mut reader).is_some() {
            (&stream).write_all(DELIVERED).expect("the client reads");
        }
    });
    let proxy = Proxy::new(&proxy).expect("it is an address");
    let config = Agent::config_builder().proxy(Some(proxy)).build();
    let agent = Agent::with_parts(config, connector(), DefaultResolver::default());
    for _ in 0..3 {
        let answer = call(&agent, "http://graph.example/", b"hello");
        assert_eq!(answer.expect("an answer"), "{}");
    }
}
