//! Requests out of bytes: whole, with their bodies, chunked ones too.

use std::io::{self, Read, Write};

use super::Request;

const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 100;
/// Meta takes uploads of 25 MB.
const MAX_BODY: usize = 32 * 1024 * 1024;

/// The next request; none at the end. `received` is what has come of it already, and holds afterwards what came behind
/// it.
pub(crate) fn read(
    stream: &mut (impl Read + Write),
    received: &mut Vec<u8>,
) -> io::Result<Option<Request>> {
    let (mut request, head_len) = loop {
        if let Some(head) = read_head(received)? {
            break head;
        }
        if received.len() > MAX_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if read_more(stream, received)? == 0 {
            return Ok(None);
        }
    };
    received.drain(..head_len);
    if request
        .header("Expect")
        .eq_ignore_ascii_case("100-continue")
    {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    request.body = match request.header("Transfer-Encoding") {
        "" => {
            let length = request.header("Content-Length").parse().unwrap_or(0);
            take(stream, received, length)?
        }
        _ => read_chunks(stream, received)?,
    };
    Ok(Some(request))
}

/// The head with its length, if all of it has come.
fn read_head(received: &[u8]) -> io::Result<Option<(Request, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let status = parsed.parse(received).map_err(io::Error::other)?;
    let httparse::Status::Complete(len) = status else {
        return Ok(None);
    };
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let headers = parsed.headers.iter();
    let headers = headers.map(|header| (header.name.to_string(), text(header.value)));
    let request = Request {
        method: parsed.method.unwrap_or_default().to_string(),
        target: parsed.path.unwrap_or_default().to_string(),
        headers: headers.collect(),
        body: Vec::new(),
    };
    Ok(Some((request, len)))
}

fn read_chunks(stream: &mut impl Read, received: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let (line, size) = loop {
            match httparse::parse_chunk_size(received) {
                Ok(httparse::Status::Complete(found)) => break found,
                Ok(httparse::Status::Partial) if read_more(stream, received)? > 0 => {}
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        };
        received.drain(..line);
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        body.extend(take(stream, received, size)?);
        if body.len() > MAX_BODY {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // Behind each chunk, and at the end, stands an empty line. Nobody sends trailers.
        take(stream, received, 2)?;
        if size == 0 {
            return Ok(body);
        }
    }
}

fn take(stream: &mut impl Read, received: &mut Vec<u8>, count: usize) -> io::Result<Vec<u8>> {
    if count > MAX_BODY {
        return Err(io::ErrorKind::InvalidData.into());
    }
    while received.len() < count {
        if read_more(stream, received)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let rest = received.split_off(count);
    Ok(std::mem::replace(received, rest))
}

fn read_more(stream: &mut impl Read, received: &mut Vec<u8>) -> io::Result<usize> {
    let mut chunk = [0; 16 * 1024];
    let count = stream.read(&mut chunk)?;
    received.extend_from_slice(&chunk[..count]);
    Ok(count)
}
