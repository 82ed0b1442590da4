//! A raw HTTP/1.1 client, so that a test decides over every byte and pause.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::wait::PATIENCE;

pub(crate) struct Client {
    stream: TcpStream,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap()
    }

    /// For a proxy that may be gone.
    pub(crate) fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// Asks a proxy that may be killed meanwhile; the answer's last byte came when this is `Ok`.
    pub(crate) fn try_ask(&mut self, request: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(request.as_ref())?;
        let head = self.try_head()?;
        let length = field(&head, "content-length").map_or(Ok(0), str::parse).map_err(io::Error::other)?;
        self.stream.read_exact(&mut vec![0; length])
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Head and body of one answer with a Content-Length.
    pub(crate) fn answer(&mut self) -> (String, String) {
        let head = self.head();
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.stream.read_exact(&mut body).unwrap();
        (head, String::from_utf8(body).unwrap())
    }

    /// Asks and gives the answer.
    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>) -> (String, String) {
        self.send(request);
        self.answer()
    }

    /// What comes until the other side ends, which a reset does too.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("{error}"),
            _ => rest,
        }
    }

    /// Sends, while it reads so many bytes.
    pub(crate) fn exchange_bytes(&mut self, sent: &[u8], count: usize) -> Vec<u8> {
        let mut sending = self.stream.try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || sending.write_all(sent).unwrap());
            self.bytes(count)
        })
    }

    /// So many bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// An answer's head with its blank line.
    pub(crate) fn head(&mut self) -> String {
        self.try_head().unwrap()
    }

    fn try_head(&mut self) -> io::Result<String> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            self.stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        String::from_utf8(head).map_err(io::Error::other)
    }
}

/// The value of a field in a head.
pub(crate) fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (own, value) = line.split_once(':')?;
        own.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

pub(crate) fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: school.example\r\n\r\n")
}

pub(crate) fn post_json(path: &str, json: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: school.example\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{json}",
        json.len()
    )
}

/// Head and body of an upload with one field and one file.
pub(crate) fn upload(path: &str, file: &[u8]) -> (String, Vec<u8>) {
    let fields = "--frontier\r\nContent-Disposition: form-data; name=\"activity_id\"\r\n\r\n4711\r\n";
    let file_head = "--frontier\r\nContent-Disposition: form-data; name=\"audio\"; filename=\"anna-meier.webm\"\r\nContent-Type: audio/webm\r\n\r\n";
    let body = [fields.as_bytes(), file_head.as_bytes(), file, b"\r\n--frontier--\r\n"].concat();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: school.example\r\nAuthorization: Bearer very.secret.token\r\n\
         Content-Type: multipart/form-data; boundary=frontier\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    (head, body)
}
