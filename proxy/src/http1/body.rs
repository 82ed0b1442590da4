//! A body of HTTP/1 as it stands in the bytes read, of a request or an answer.

use bytes::BytesMut;

use super::chunked::{Chunked, Malformed, Step};
use crate::downstream::BodyStep;
use crate::message::Framing;

/// Where in a body the input stands.
#[derive(Debug)]
pub(crate) enum BodyReader {
    Done,
    Length(u64),
    Chunked {
        decoder: Chunked,
        /// Read behind the last piece, not yet told.
        announced: Option<u64>,
    },
    ToTheEnd,
}

impl BodyReader {
    pub(crate) fn new(framing: Framing) -> Self {
        match framing {
            Framing::None | Framing::Length(0) => Self::Done,
            Framing::Length(bytes) => Self::Length(bytes),
            Framing::Chunked => Self::Chunked { decoder: Chunked::default(), announced: None },
            Framing::ToTheEnd => Self::ToTheEnd,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Done => true,
            Self::Length(_) | Self::ToTheEnd => false,
            Self::Chunked { decoder, announced } => decoder.is_done() && announced.is_none(),
        }
    }

    pub(crate) fn is_chunked(&self) -> bool {
        matches!(self, Self::Chunked { .. })
    }

    /// The lines behind a chunked body.
    pub(crate) fn trailers(&self) -> &[u8] {
        match self {
            Self::Chunked { decoder, .. } => decoder.trailers(),
            _ => &[],
        }
    }

    /// The connection's end is the body's.
    pub(crate) fn ends_with_connection(&self) -> bool {
        matches!(self, Self::ToTheEnd)
    }

    /// Takes what the input has of the body; `None` = more must be read.
    pub(crate) fn step(&mut self, input: &mut BytesMut) -> Result<Option<BodyStep>, Malformed> {
        match self {
            Self::Done => Ok(Some(BodyStep::End)),
            Self::ToTheEnd | Self::Length(_) if input.is_empty() => Ok(None),
            Self::ToTheEnd => Ok(Some(BodyStep::Piece(input.split().freeze()))),
            Self::Length(left) => {
                let count = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left -= count as u64;
                if *left == 0 {
                    *self = Self::Done;
                }
                Ok(Some(BodyStep::Piece(input.split_to(count).freeze())))
            }
            Self::Chunked { decoder, announced } => chunked(decoder, announced, input),
        }
    }
}

/// Framing behind a piece is read with it, so that the last piece is known to be the last when it comes.
fn chunked(
    decoder: &mut Chunked,
    announced: &mut Option<u64>,
    input: &mut BytesMut,
) -> Result<Option<BodyStep>, Malformed> {
    if let Some(bytes) = announced.take() {
        return Ok(Some(BodyStep::Announced(bytes)));
    }
    if decoder.is_done() {
        return Ok(Some(BodyStep::End));
    }
    match decoder.step(input)? {
        Step::NeedMore => Ok(None),
        Step::Announced(bytes) => Ok(Some(BodyStep::Announced(bytes))),
        Step::End => Ok(Some(BodyStep::End)),
        Step::Data(piece) => {
            if !decoder.is_in_data()
                && let Step::Announced(bytes) = decoder.step(input)?
            {
                *announced = Some(bytes);
            }
            Ok(Some(BodyStep::Piece(piece)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_piece_is_known_to_be_the_last() {
        let mut body = BodyReader::new(Framing::Chunked);
        let mut input = BytesMut::from("3\r\nabc\r\n0\r\n\r\nGET".as_bytes());
        assert!(matches!(body.step(&mut input), Ok(Some(BodyStep::Announced(3)))));
        assert!(matches!(body.step(&mut input), Ok(Some(BodyStep::Piece(piece))) if piece == "abc"));
        assert!(body.is_done());
        assert_eq!(input, "GET");

        let mut body = BodyReader::new(Framing::Length(3));
        assert!(matches!(body.step(&mut input), Ok(Some(BodyStep::Piece(_)))));
        assert!(body.is_done());
    }

    #[test]
    fn an_announcement_behind_a_piece_is_told_next() {
        let mut body = BodyReader::new(Framing::Chunked);
        let mut input = BytesMut::from("1\r\na\r\nff\r\n".as_bytes());
        assert!(matches!(body.step(&mut input), Ok(Some(BodyStep::Announced(1)))));
        assert!(matches!(body.step(&mut input), Ok(Some(BodyStep::Piece(_)))));
        assert!(matches!(body.step(&mut input), Ok(Some(BodyStep::Announced(255)))));
        assert!(matches!(body.step(&mut input), Ok(None)));
        assert!(!body.is_done());
    }
}
