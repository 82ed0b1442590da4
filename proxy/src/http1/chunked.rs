//! The chunked transfer coding (RFC 9112, 7.1), decoded as bytes come.
//!
//! Own code because a limit must act on the size that a chunk announces, before its data: no decoder at hand
//! shows it. Lenient where Nginx is: a line may end in a bare LF, an extension is passed over.

use bytes::{Bytes, BytesMut};

/// Bytes of one chunk's extension, and of all trailers.
const IGNORED_BYTES_MAX: usize = 8 << 10;

/// What the next bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    SizeStart,
    Size,
    Extension,
    SizeLf,
    Data,
    DataEnd,
    DataLf,
    TrailerStart,
    Trailer,
    EndLf,
    Done,
}

/// What came out of a step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    NeedMore,
    /// A chunk of that size begins.
    Announced(u64),
    Data(Bytes),
    End,
}

/// No chunked coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

#[derive(Debug)]
pub(crate) struct Chunked {
    state: State,
    /// Of the size line while it is read, then of the data.
    left: u64,
    ignored: usize,
    /// Lines behind the last chunk.
    trailers: Vec<u8>,
}

impl Default for Chunked {
    fn default() -> Self {
        Self { state: State::SizeStart, left: 0, ignored: 0, trailers: Vec::new() }
    }
}

impl Chunked {
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The lines behind the last chunk, with their ends; whole when the body is.
    pub(crate) fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// The next bytes are data.
    pub(crate) fn is_in_data(&self) -> bool {
        self.state == State::Data
    }

    /// Takes from `input` what belongs to the body, one result a call.
    pub(crate) fn step(&mut self, input: &mut BytesMut) -> Result<Step, Malformed> {
        if self.state == State::Data {
            return Ok(self.data(input));
        }
        for at in 0..input.len() {
            let before = self.state;
            self.byte(input[at])?;
            match self.state {
                State::Data => {
                    let _ = input.split_to(at + 1);
                    return Ok(Step::Announced(self.left));
                }
                State::Done if before != State::Done => {
                    let _ = input.split_to(at + 1);
                    return Ok(Step::End);
                }
                _ => {}
            }
        }
        input.clear();
        Ok(Step::NeedMore)
    }

    fn data(&mut self, input: &mut BytesMut) -> Step {
        let available = usize::try_from(self.left).map_or(input.len(), |left| left.min(input.len()));
        if available == 0 {
            return Step::NeedMore;
        }
        self.left -= available as u64;
        if self.left == 0 {
            self.state = State::DataEnd;
        }
        Step::Data(input.split_to(available).freeze())
    }

    /// One byte of framing.
    fn byte(&mut self, byte: u8) -> Result<(), Malformed> {
        self.state = match (self.state, byte) {
            (State::SizeStart, _) => self.digit(byte, 0)?,
            (State::Size | State::Extension, b'\r') => State::SizeLf,
            (State::Size, b';' | b' ' | b'\t') => State::Extension,
            (State::Size | State::Extension | State::SizeLf, b'\n') => self.begin_chunk(),
            (State::Size, _) => self.digit(byte, self.left)?,
            (State::Extension, _) => self.ignore(State::Extension)?,
            (State::DataEnd, b'\r') => State::DataLf,
            (State::DataEnd | State::DataLf, b'\n') => State::SizeStart,
            (State::TrailerStart, b'\r') => State::EndLf,
            (State::TrailerStart | State::EndLf, b'\n') => State::Done,
            (State::Trailer, b'\n') => self.trailer(byte, State::TrailerStart)?,
            (State::TrailerStart | State::Trailer, _) => self.trailer(byte, State::Trailer)?,
            _ => return Err(Malformed),
        };
        Ok(())
    }

    fn digit(&mut self, byte: u8, before: u64) -> Result<State, Malformed> {
        let digit = char::from(byte).to_digit(16).ok_or(Malformed)?;
        let room = before <= u64::MAX >> 8;
        self.left = if room { before << 4 | u64::from(digit) } else { return Err(Malformed) };
        Ok(State::Size)
    }

    fn begin_chunk(&mut self) -> State {
        self.ignored = 0;
        if self.left == 0 { State::TrailerStart } else { State::Data }
    }

    fn trailer(&mut self, byte: u8, state: State) -> Result<State, Malformed> {
        self.trailers.push(byte);
        if self.trailers.len() > IGNORED_BYTES_MAX { Err(Malformed) } else { Ok(state) }
    }

    fn ignore(&mut self, state: State) -> Result<State, Malformed> {
        self.ignored += 1;
        if self.ignored > IGNORED_BYTES_MAX { Err(Malformed) } else { Ok(state) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The decoded body, or `None` when it is broken or unfinished; fed in pieces of `piece` bytes.
    fn decode(text: &[u8], piece: usize) -> Option<(Vec<u8>, usize)> {
        let (mut decoder, mut body, mut input) = (Chunked::default(), Vec::new(), BytesMut::new());
        let mut fed = 0;
        loop {
            match decoder.step(&mut input).ok()? {
                Step::NeedMore if fed == text.len() => return None,
                Step::NeedMore => {
                    let next = (fed + piece).min(text.len());
                    input.extend_from_slice(&text[fed..next]);
                    fed = next;
                }
                Step::Announced(_) => {}
                Step::Data(data) => body.extend_from_slice(&data),
                Step::End => return Some((body, input.len() + text.len() - fed)),
            }
        }
    }

    #[test]
    fn bodies_are_decoded_however_they_are_cut() {
        let text = b"5\r\nhello\r\n1;name=value\r\n!\r\n0\r\nX-Trailer: a\r\n\r\nGET";
        for piece in 1..text.len() {
            assert_eq!(decode(text, piece), Some((b"hello!".to_vec(), 3)), "in pieces of {piece}");
        }
        assert_eq!(decode(b"A\n0123456789\n0\n\n", 3), Some((b"0123456789".to_vec(), 0)), "bare LF");
    }

    #[test]
    fn what_is_no_chunked_coding_is_refused() {
        let broken: [&[u8]; 8] = [
            b"\r\n",
            b"x\r\n",
            b"-1\r\n",
            b"0x5\r\nhello\r\n",
            b"5\r\nhello0\r\n\r\n",
            b"5_0\r\n",
            b"ffffffffffffffff0\r\n",
            b"5\rhello",
        ];
        for text in broken {
            let mut input = BytesMut::from(text);
            let mut decoder = Chunked::default();
            let refused = loop {
                match decoder.step(&mut input) {
                    Err(Malformed) => break true,
                    Ok(Step::NeedMore | Step::End) => break false,
                    Ok(_) => {}
                }
            };
            assert!(refused, "{:?}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn what_is_passed_over_is_bounded() {
        let mut endless = BytesMut::from(format!("5;{}", "x".repeat(10_000)).as_bytes());
        assert_eq!(Chunked::default().step(&mut endless), Err(Malformed));
    }

    #[test]
    fn trailers_are_kept() {
        let mut input = BytesMut::from("0\r\nA: b\r\nC: d\r\n\r\n".as_bytes());
        let mut decoder = Chunked::default();
        assert_eq!(decoder.step(&mut input), Ok(Step::End));
        assert_eq!(decoder.trailers(), b"A: b\r\nC: d\r\n");
    }

    #[test]
    fn a_size_is_announced_before_its_data() {
        let mut input = BytesMut::from("100000\r\n".as_bytes());
        assert_eq!(Chunked::default().step(&mut input), Ok(Step::Announced(1 << 20)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(text in proptest::collection::vec(any::<u8>(), 0..200), piece in 1_usize..9) {
            let _ = decode(&text, piece);
        }
    }
}
