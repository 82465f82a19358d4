//! One question to one name server (RFC 1035), by UDP, and by TCP where the answer is too long for that.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom as _, SystemRandom};
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, Question, RCODE, TYPE};

/// A name server that does not answer within this time is passed over; so the next one has time left.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// The longest answer by UDP, as none longer is asked for.
const MAX_DATAGRAM: usize = 512;

/// The addresses of one family; none when there is no such name.
pub(super) fn ask(
    name: &str,
    family: TYPE,
    server: IpAddr,
    by_tcp: bool,
) -> io::Result<Vec<IpAddr>> {
    let server = SocketAddr::new(server, 53);
    let mut id = [0; 2];
    let random = SystemRandom::new().fill(&mut id);
    random.map_err(|_| io::Error::other("the system has no randomness"))?;
    let id = u16::from_ne_bytes(id);
    let name = Name::new(name.trim_end_matches('.')).map_err(io::Error::other)?;
    let question = Question::new(name, QTYPE::TYPE(family), CLASS::IN.into(), false);
    let mut query = Packet::new_query(id);
    query.set_flags(PacketFlag::RECURSION_DESIRED);
    query.questions.push(question.clone());
    let query = query.build_bytes_vec().map_err(io::Error::other)?;
    if !by_tcp {
        let answer = exchange_by_udp(&query, server, |answer| answers(answer, id, &question))?;
        if !parse(&answer)?.has_flags(PacketFlag::TRUNCATION) {
            return read(&parse(&answer)?);
        }
    }
    let answer = exchange_by_tcp(&query, server)?;
    read(&parse(&answer)?)
}

fn exchange_by_udp(
    query: &[u8],
    server: SocketAddr,
    is_it: impl Fn(&[u8]) -> bool,
) -> io::Result<Vec<u8>> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let deadline = Instant::now() + ANSWER_WITHIN;
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    socket.send(query)?;
    let mut answer = vec![0; MAX_DATAGRAM];
    // Others can send to this port too, but do not know the number.
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // No time left is an error.
        let set = socket.set_read_timeout(Some(left));
        let received = set.and_then(|()| socket.recv(&mut answer));
        let length = received.map_err(no_answer)?;
        if is_it(&answer[..length]) {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

fn exchange_by_tcp(query: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, ANSWER_WITHIN).map_err(no_answer)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), query].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).map_err(no_answer)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).map_err(no_answer)?;
    Ok(answer)
}

fn no_answer(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::InvalidInput => {
            io::Error::other("no answer in time")
        }
        _ => error,
    }
}

/// Whether these bytes are the answer to this question.
fn answers(bytes: &[u8], id: u16, question: &Question<'_>) -> bool {
    let is_it = |packet: Packet<'_>| {
        let asked = packet.questions.first();
        let is_ours =
            |asked: &Question<'_>| (&asked.qname, asked.qtype) == (&question.qname, question.qtype);
        packet.id() == id && asked.is_some_and(is_ours)
    };
    Packet::parse(bytes).is_ok_and(is_it)
}

fn parse(bytes: &[u8]) -> io::Result<Packet<'_>> {
    Packet::parse(bytes).map_err(|_| io::Error::other("its answer was not understood"))
}

fn read(answer: &Packet<'_>) -> io::Result<Vec<IpAddr>> {
    match answer.rcode() {
        RCODE::NoError | RCODE::NameError => {}
        code => return Err(io::Error::other(format!("it answers {code:?}"))),
    }
    let records = answer.answers.iter();
    let addresses = records.filter_map(|record| match &record.rdata {
        RData::A(record) => Some(Ipv4Addr::from(record.address).into()),
        RData::AAAA(record) => Some(Ipv6Addr::from(record.address).into()),
        _ => None,
    });
    Ok(addresses.collect())
}
