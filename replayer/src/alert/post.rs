//! One POST on a connection of its own, within a time.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};
use url::{Position, Url};

use crate::drive::public_tls;

/// To connect, and for each read and write.
const PATIENCE: Duration = Duration::from_secs(5);
/// For the answer in all: one that drips is no answer.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// An answer's first line is shorter.
const HEAD_BYTES_MAX: u64 = 8 << 10;

/// Sends JSON; an answer but 2xx is an error.
pub(super) fn post(url: &Url, json: &str) -> io::Result<()> {
    let host = url.host_str().unwrap_or_default();
    let stream = connect(url, host)?;
    let request = request(url, host, json);
    let status = if url.scheme() == "https" {
        let (config, name) = public_tls(host).map_err(io::Error::other)?;
        let client = ClientConnection::new(Arc::clone(&config), name).map_err(io::Error::other)?;
        exchange(StreamOwned::new(client, stream), &request)?
    } else {
        exchange(stream, &request)?
    };
    if (200..300).contains(&status) { Ok(()) } else { Err(io::Error::other(format!("it answered {status}"))) }
}

fn connect(url: &Url, host: &str) -> io::Result<TcpStream> {
    let port = url.port_or_known_default().unwrap_or(443);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let mut last = io::Error::other("its name has no address");
    for address in (bare, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn request(url: &Url, host: &str, json: &str) -> String {
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    format!(
        "POST {} HTTP/1.1\r\nHost: {host}{port}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         User-Agent: kingtide/{}\r\nConnection: close\r\n\r\n{json}",
        &url[Position::BeforePath..Position::AfterQuery],
        json.len(),
        env!("CARGO_PKG_VERSION")
    )
}

/// The status that is answered.
fn exchange(mut stream: impl Read + Write, request: &str) -> io::Result<u16> {
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut head = Vec::new();
    let mut limited = stream.take(HEAD_BYTES_MAX);
    let mut byte = [0];
    let until = Instant::now() + ANSWER_TIME;
    while !head.ends_with(b"\n") && Instant::now() < until && limited.read(&mut byte)? > 0 {
        head.push(byte[0]);
    }
    let line = String::from_utf8_lossy(&head);
    let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.trim().parse().ok());
    status.ok_or_else(|| io::Error::other("it answered with no HTTP"))
}
