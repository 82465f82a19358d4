//! Messenger's side: connections over which requests are sent until they are answered 200.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};
use std::{io, io::Write as _};

use crate::http::Reader;

/// Messenger waits as long for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause before a request is sent again. Messenger's own is not documented.
const PAUSE: Duration = Duration::from_millis(20);
/// A program that does not answer 200 for so long never will.
const END: Duration = Duration::from_secs(60);

/// One connection, opened when it is needed.
pub(crate) struct Line {
    address: SocketAddr,
    stream: Option<TcpStream>,
    reader: Reader,
}

impl Line {
    pub(crate) fn new(address: SocketAddr) -> Line {
        Line {
            address,
            stream: None,
            reader: Reader::new(),
        }
    }

    /// Sends a request, again and again until it is answered 200. Returns how often it was sent again.
    pub(crate) fn deliver(&mut self, request: &[u8]) -> usize {
        let begun = Instant::now();
        let mut again = 0;
        while !matches!(self.exchange(request), Ok(200)) {
            assert!(begun.elapsed() < END, "a request is never answered 200");
            thread::sleep(PAUSE);
            again += 1;
        }
        again
    }

    fn exchange(&mut self, request: &[u8]) -> io::Result<u16> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(self.address)?,
        };
        stream.write_all(request)?;
        let answer = self.reader.next(&mut stream)?;
        let answer = answer.ok_or(io::ErrorKind::UnexpectedEof)?;
        if !answer.is_last() {
            self.stream = Some(stream);
        }
        Ok(answer.status())
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// So many connections to this address.
pub(crate) fn lines(address: SocketAddr, count: usize) -> Vec<Line> {
    (0..count).map(|_| Line::new(address)).collect()
}

/// Sends all requests: each connection takes its turns, and the next when the one before is answered.
/// Returns how often one was sent again.
pub(crate) fn closed_loop(lines: &mut [Line], requests: &[Vec<u8>]) -> usize {
    let count = lines.len();
    let again = AtomicUsize::new(0);
    thread::scope(|scope| {
        for (first, line) in lines.iter_mut().enumerate() {
            let mine = requests.iter().skip(first).step_by(count);
            let again = &again;
            scope.spawn(move || {
                again.fetch_add(mine.map(|request| line.deliver(request)).sum(), SeqCst)
            });
        }
    });
    again.into_inner()
}
