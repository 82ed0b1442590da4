//! A scripted HTTP/1.1 backend: reads each request whole and does what the test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// A request as the backend got it.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// Request line and headers, lower case names as sent.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Received {
    /// The target of the request line.
    pub(crate) fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        crate::client::field(&self.head, name)
    }
}

pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    pub(crate) received: Receiver<Received>,
}

/// Answers every request with 200 and this JSON.
pub(crate) fn answering(json: &'static str) -> Backend {
    scripted(move |stream| write_answer(stream, json))
}

/// Does `script` on the connection after each request; the connection stays open while it returns.
pub(crate) fn scripted(script: impl Fn(&mut TcpStream) + Send + Sync + Clone + 'static) -> Backend {
    replying(move |stream, _| script(stream))
}

/// As [`scripted`], by what was asked.
pub(crate) fn replying(
    script: impl Fn(&mut TcpStream, &Received) + Send + Sync + Clone + 'static,
) -> Backend {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, received) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (script, sender) = (script.clone(), sender.clone());
            thread::spawn(move || serve(stream.unwrap(), &script, &sender));
        }
    });
    Backend { address, received }
}

pub(crate) fn write_answer(stream: &mut TcpStream, json: &str) {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nServer-Timing: store;dur=12.5\r\nContent-Length: {}\r\n\r\n",
        json.len()
    );
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(json.as_bytes()));
}

fn serve(stream: TcpStream, script: &impl Fn(&mut TcpStream, &Received), received: &Sender<Received>) {
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream);
    while let Some(request) = request(&mut reader) {
        let _ = received.send(request.clone());
        script(reader.get_mut(), &request);
    }
}

fn request(reader: &mut impl BufRead) -> Option<Received> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        (reader.read_line(&mut head).ok()? > 0).then_some(())?;
    }
    let lower = head.to_ascii_lowercase();
    let body = match header(&lower, "content-length") {
        Some(length) => exactly(reader, length.parse().ok()?)?,
        None if lower.contains("transfer-encoding: chunked") => chunked(reader)?,
        None => Vec::new(),
    };
    Some(Received { head, body })
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn chunked(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut size = String::new();
        reader.read_line(&mut size).ok()?;
        let bytes = usize::from_str_radix(size.trim(), 16).ok()?;
        body.extend(exactly(reader, bytes)?);
        exactly(reader, 2)?;
        if bytes == 0 {
            return Some(body);
        }
    }
}

fn exactly(reader: &mut impl Read, bytes: usize) -> Option<Vec<u8>> {
    let mut body = vec![0; bytes];
    reader.read_exact(&mut body).ok()?;
    Some(body)
}
