//! Bodies made anew from their descriptions: what is kept as it is, and filler of the recorded size for what
//! is not. Files are recordings of their type, as in a replay.
//!
//! Fingerprints stay, and are as long as they are: a body with tokens is longer or shorter than it was by
//! what its tokens are.

use std::io::{self, Write};

use kingtide_common::audio::{AudioBody, AudioFormat};
use kingtide_common::exchange::{Body, Exchange};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use crate::drive::body::Segment;
use crate::drive::multipart;

/// Bytes written at once.
const PIECE_BYTES: usize = 64 << 10;

/// A body that is made while it is written.
#[derive(Debug)]
pub(super) struct MadeBody {
    segments: Vec<Segment>,
}

impl MadeBody {
    pub(super) fn request(exchange: &Exchange) -> Self {
        let segments = match &exchange.request_body {
            Body::Multipart(form) => {
                let mut random = ChaCha8Rng::seed_from_u64(exchange.id);
                let boundary = boundary(exchange, form.boundary_bytes);
                let kept = |_, value: &str| value.to_owned();
                multipart::segments(form, &boundary, exchange.request_body_bytes, &mut random, kept)
            }
            body => {
                let content_type = exchange.request_header("content-type");
                let format = AudioFormat::of(content_type, exchange.path_extension());
                plain(body, format, exchange.request_body_bytes, exchange.id)
            }
        };
        Self { segments }
    }

    pub(super) fn response(exchange: &Exchange) -> Self {
        let content_type = exchange.response_header("content-type");
        let format = AudioFormat::of(content_type, exchange.path_extension());
        let bytes = exchange.response_body_bytes;
        Self { segments: plain(&exchange.response_body, format, bytes, exchange.id) }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(Segment::bytes).sum()
    }

    /// Writes the first `bytes` of it.
    pub(super) fn write(&self, bytes: u64, out: &mut impl Write) -> io::Result<()> {
        let mut left = bytes;
        for segment in &self.segments {
            let (mut offset, end) = (0, segment.bytes().min(left));
            while offset < end {
                let piece = usize::try_from(end - offset).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
                out.write_all(&segment.piece(offset, piece))?;
                offset += piece as u64;
            }
            left -= end;
        }
        Ok(())
    }
}

/// The boundary of the request's own header, else one as long.
fn boundary(exchange: &Exchange, bytes: u32) -> String {
    const BYTES_MAX: u32 = 70;
    let content_type = exchange.request_header("content-type").unwrap_or_default();
    let recorded = multipart::boundary_range(content_type).map(|range| content_type[range].to_owned());
    recorded.unwrap_or_else(|| "x".repeat(bytes.clamp(1, BYTES_MAX) as usize))
}

fn plain(body: &Body, format: Option<AudioFormat>, bytes: u64, variation: u64) -> Vec<Segment> {
    match body {
        Body::Empty => Vec::new(),
        Body::Json(text) | Body::Form(text) => vec![Segment::Text(text.clone().into())],
        Body::Multipart(_) | Body::Html(_) | Body::Opaque | Body::Unread(_) => {
            vec![Segment::File(AudioBody::new(format, bytes, variation))]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::scene::{get, post};

    fn written(body: &MadeBody, bytes: u64) -> Vec<u8> {
        let mut out = Vec::new();
        body.write(bytes, &mut out).unwrap();
        out
    }

    #[test]
    fn texts_are_kept_and_the_rest_has_its_size() {
        let json = MadeBody::request(&post("/").json(r#"{"a":1}"#).0);
        assert_eq!(written(&json, json.bytes()), br#"{"a":1}"#);
        let blob = Exchange { response_body: Body::Opaque, response_body_bytes: 200_000, ..get("/").0 };
        let blob = MadeBody::response(&blob);
        assert_eq!(
            (blob.bytes(), written(&blob, 200_000).len(), written(&blob, 70_000).len()),
            (200_000, 200_000, 70_000)
        );
        assert_eq!(MadeBody::request(&get("/").0).bytes(), 0);
    }

    #[test]
    fn a_form_has_its_boundary_and_its_recorded_size() {
        let upload = post("/").upload(&[("title", "Unit 3")], 5_000).0;
        let header = "multipart/form-data; boundary=0123456789012345678901234567890123456789";
        let mut upload = Exchange { request_body_bytes: 1, ..upload };
        upload.request_headers.push(kingtide_common::exchange::Header {
            name: "content-type".to_owned(),
            value: header.to_owned(),
        });
        let with_line_break = MadeBody::request(&upload).bytes();
        let recorded = Exchange { request_body_bytes: with_line_break - 2, ..upload };
        let body = MadeBody::request(&recorded);
        let bytes = written(&body, body.bytes());
        assert_eq!(bytes.len() as u64, recorded.request_body_bytes);
        assert!(bytes.starts_with(b"--0123456789012345678901234567890123456789\r\n"));
    }
}
