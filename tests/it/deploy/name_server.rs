//! A name server (RFC 1035) for names that end in `.test`. The port is fixed, so each has an address of its own.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

/// It answers until the test process ends.
pub struct NameServer {
    address: Arc<Mutex<Option<Ipv4Addr>>>,
}

impl NameServer {
    /// All names lead to 127.0.0.1. None where the port cannot be had.
    pub fn start(at: &str) -> Option<NameServer> {
        let address = Arc::new(Mutex::new(Some(Ipv4Addr::LOCALHOST)));
        let socket = UdpSocket::bind((at, 53)).ok()?;
        let listener = TcpListener::bind((at, 53)).ok()?;
        let answer = Answer(Arc::clone(&address));
        thread::spawn(move || answer.by_udp(&socket));
        let answer = Answer(Arc::clone(&address));
        thread::spawn(move || answer.by_tcp(&listener));
        Some(NameServer { address })
    }

    /// From now on all names lead there, or the server says nothing.
    pub fn lead_to(&self, address: Option<Ipv4Addr>) {
        *self.address.lock().expect("nobody panics with it") = address;
    }
}

struct Answer(Arc<Mutex<Option<Ipv4Addr>>>);

impl Answer {
    fn by_udp(&self, socket: &UdpSocket) {
        let mut packet = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            if let Some(answer) = self.to(&packet[..length], true) {
                let _ = socket.send_to(&answer, from);
            }
        }
    }

    fn by_tcp(&self, listener: &TcpListener) {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut length = [0; 2];
            let mut packet = [0; 512];
            let read = stream.read_exact(&mut length);
            let length = usize::from(u16::from_be_bytes(length)).min(512);
            let read = read.and_then(|()| stream.read_exact(&mut packet[..length]));
            let answer = read.ok().and_then(|()| self.to(&packet[..length], false));
            if let Some(answer) = answer {
                let length = u16::try_from(answer.len()).expect("it is short");
                let _ = stream.write_all(&[&length.to_be_bytes(), &answer[..]].concat());
            }
        }
    }

    /// Names that begin with `graph.by-tcp` are too long for UDP; only names that end in `.test` exist, but for those in
    /// `nowhere.test`; they have an IPv4 address. For those that begin with `graph.no-aaaa` the question for IPv6 fails.
    fn to(&self, packet: &[u8], is_udp: bool) -> Option<Vec<u8>> {
        let address = (*self.0.lock().expect("nobody panics with it"))?;
        let (name, question_end) = question(packet)?;
        let is_for_ipv4 = packet.get(question_end - 4..question_end)? == [0, 1, 0, 1];
        let is_known = name.ends_with(".test") && !name.ends_with(".nowhere.test");
        let is_truncated = is_udp && name.starts_with("graph.by-tcp");
        let has_address = is_known && is_for_ipv4 && !is_truncated;
        let code = match is_known {
            true if !is_for_ipv4 && name.starts_with("graph.no-aaaa") => 0x82,
            true => 0x80,
            false => 0x83,
        };
        let flags = [0x81 | if is_truncated { 2 } else { 0 }, code];
        let mut answer = packet[..question_end].to_vec();
        // One question, one record or none, nothing else.
        answer[2..4].copy_from_slice(&flags);
        answer[4..12].copy_from_slice(&[0, 1, 0, u8::from(has_address), 0, 0, 0, 0]);
        if has_address {
            // The name of the question, an address, 60 s to live.
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            answer.extend(address.octets());
        }
        Some(answer)
    }
}

/// The name that is asked for, and where the question ends.
fn question(packet: &[u8]) -> Option<(String, usize)> {
    let mut name = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*packet.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        name.push(String::from_utf8_lossy(packet.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    Some((name.join("."), at + 4))
}
