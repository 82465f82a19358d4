//! Requests out of bytes: whole, with their bodies, chunked ones too.

use std::io::{self, BufRead as _, BufReader, Read, Write};

use super::Request;

const MAX_HEAD: u64 = 64 * 1024;
const MAX_HEADERS: usize = 100;
/// Meta takes uploads of 25 MB.
const MAX_BODY: usize = 32 * 1024 * 1024;

/// The next request; an error at the end.
pub(crate) fn read(stream: &mut BufReader<impl Read + Write>) -> io::Result<Request> {
    let (mut head, mut lines) = (Vec::new(), stream.by_ref().take(MAX_HEAD));
    while !head.ends_with(b"\r\n\r\n") && !head.ends_with(b"\n\n") {
        if lines.read_until(b'\n', &mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    parsed.parse(&head).map_err(io::Error::other)?;
    let headers = parsed.headers.iter().map(|header| {
        let value = String::from_utf8_lossy(header.value);
        format!("{}: {value}\n", header.name)
    });
    // `http://host/path` -> `host`, `/path`; `host:443` -> `host:443`, `/`; `/path` -> nothing, `/path`.
    let target = parsed.path.unwrap_or_default();
    let target = target.trim_start_matches("http://");
    let target = target.trim_start_matches("https://");
    let path = target.find('/');
    let (authority, target) = path.map_or((target, "/"), |at| target.split_at(at));
    let mut request = Request {
        method: parsed.method.unwrap_or_default().to_string(),
        authority: authority.to_string(),
        target: target.to_string(),
        headers: headers.collect(),
        body: Vec::new(),
    };
    let expects = request.header("Expect");
    if expects.eq_ignore_ascii_case("100-continue") {
        let stream = stream.get_mut();
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let length = request.header("Content-Length").parse().unwrap_or(0);
    request.body = match request.header("Transfer-Encoding") {
        "" => take(stream, length)?,
        _ => read_chunks(stream)?,
    };
    Ok(request)
}

fn read_chunks(stream: &mut BufReader<impl Read>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        stream.by_ref().take(MAX_HEAD).read_line(&mut line)?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(digits, 16).map_err(io::Error::other)?;
        body.extend(take(stream, size)?);
        if body.len() > MAX_BODY {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // Behind each chunk, and at the end, stands an empty line. Nobody sends trailers.
        take(stream, 2)?;
        if size == 0 {
            return Ok(body);
        }
    }
}

fn take(stream: &mut impl Read, count: usize) -> io::Result<Vec<u8>> {
    if count > MAX_BODY {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}
