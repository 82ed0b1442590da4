//! As much of HTTP/1.1 answers as the sink and the proxies before it give: a status, a length, a body.

use std::io;

/// Bytes of a head, beyond which it is none.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// An answer that is there to its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Bytes of the request's body that the sink says it read (`x-received`).
    pub(crate) received: u64,
    /// The server closes the connection after it.
    pub(crate) closes: bool,
}

impl Answer {
    /// The answer that `input` holds whole, if it does.
    pub(crate) fn parse(input: &[u8]) -> io::Result<Option<Self>> {
        let Some(head_bytes) = input.windows(4).position(|window| window == b"\r\n\r\n") else {
            return if input.len() > HEAD_BYTES_MAX { Err(malformed()) } else { Ok(None) };
        };
        let head = std::str::from_utf8(&input[..head_bytes]).map_err(|_| malformed())?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
        let mut answer = Self { status: status.ok_or_else(malformed)?, received: 0, closes: false };
        let mut body_bytes = 0;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => body_bytes = value.parse().map_err(|_| malformed())?,
                "x-received" => answer.received = value.parse().map_err(|_| malformed())?,
                "connection" => answer.closes = value.eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
        let there = input.len() - head_bytes - 4;
        Ok((there >= body_bytes).then_some(answer))
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the answer is no HTTP/1.1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_there_with_its_last_byte() {
        let text = b"HTTP/1.1 200 OK\r\nX-Received: 7\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
        assert_eq!(Answer::parse(&text[..text.len() - 1]).unwrap(), None);
        let whole = Answer { status: 200, received: 7, closes: true };
        assert_eq!(Answer::parse(text).unwrap(), Some(whole));
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        assert!(Answer::parse(b"hello\r\n\r\n").is_err());
        assert!(Answer::parse(&vec![b'a'; HEAD_BYTES_MAX + 1]).is_err());
    }
}
