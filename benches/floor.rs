//! The floor: the barest synchronous echo bot that can be written on sockets. It checks nothing and
//! keeps nothing: below it there is only the moving of bytes.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::http::{Reader, find};

/// Echoes through the Graph API at this address until it is killed.
pub(crate) fn run(graph: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("listening on http://{}/", listener.local_addr()?);
    loop {
        let (client, _) = listener.accept()?;
        thread::spawn(move || serve(client, graph));
    }
}

fn serve(mut client: TcpStream, graph: SocketAddr) -> io::Result<()> {
    let mut upstream = TcpStream::connect(graph)?;
    client.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    let (mut webhooks, mut answers) = (Reader::new(), Reader::new());
    while let Some(webhook) = webhooks.next(&mut client)? {
        let sender = string(webhook.body, b"\"sender\":{\"id\":\"");
        let text = string(webhook.body, b"\"text\":\"");
        upstream.write_all(&call(sender, text))?;
        answers.next(&mut upstream)?;
        client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
    }
    Ok(())
}

/// The string that begins behind this.
fn string<'a>(body: &'a [u8], opening: &[u8]) -> &'a [u8] {
    let string = find(body, opening).map_or(&[][..], |at| &body[at + opening.len()..]);
    let end = string.iter().position(|byte| *byte == b'"');
    &string[..end.unwrap_or_default()]
}

fn call(recipient: &[u8], text: &[u8]) -> Vec<u8> {
    let body = [
        br#"{"recipient":{"id":""#,
        recipient,
        br#""},"messaging_type":"RESPONSE","message":{"text":""#,
        text,
        br#""}}"#,
    ]
    .concat();
    let mut call = format!(
        "POST /v26.0/me/messages HTTP/1.1\r\nHost: graph\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    call.extend_from_slice(&body);
    call
}
