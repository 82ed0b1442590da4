//! The body of an upload, made as it is sent: multipart head, audio bytes, multipart tail.
//!
//! A file is an EBML header that says WebM and random bytes after it, unique per upload and never whole in memory.
//! On a slow uplink it leaves in small pieces, each at its instant of the pace, so lateness does not add up.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use tokio::time::{Instant, Sleep, sleep_until};
use uuid::Uuid;

use super::plan::Uplink;
use crate::accounts::{Purpose, stream};

/// EBML header of a WebM file, then the start of a segment of unknown size.
const WEBM_HEAD: &[u8] =
    b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\xf7\x81\x01\x42\xf2\x81\x04\x42\xf3\x81\x08\
\x42\x82\x84webm\x42\x87\x81\x04\x42\x85\x81\x02\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff";
/// Piece of a body on a fast uplink, bytes.
const FAST_PIECE_BYTES: u64 = 64 * 1024;
/// Time between two pieces on a slow uplink, milliseconds.
const SLOW_PIECE_INTERVAL_MS: u64 = 50;

/// The bytes of one audio file in order.
#[derive(Debug)]
struct AudioBytes {
    rng: ChaCha8Rng,
    made: u64,
    total: u64,
}

impl AudioBytes {
    fn new(rng: ChaCha8Rng, total: u64) -> Self {
        Self { rng, made: 0, total }
    }

    fn next_piece(&mut self, bytes_max: u64) -> Bytes {
        let bytes = (self.total - self.made).min(bytes_max);
        let mut piece = BytesMut::zeroed(usize::try_from(bytes).unwrap_or(usize::MAX));
        self.rng.fill_bytes(&mut piece);
        if self.made == 0 {
            let head = WEBM_HEAD.len().min(piece.len());
            piece[..head].copy_from_slice(&WEBM_HEAD[..head]);
        }
        self.made += bytes;
        piece.freeze()
    }

    fn is_done(&self) -> bool {
        self.made == self.total
    }
}

/// What one upload is made of.
#[derive(Debug, Clone)]
pub(crate) struct UploadForm {
    pub(crate) assignment_id: String,
    pub(crate) activity_id: String,
    pub(crate) file_name: String,
    pub(crate) file_bytes: u64,
    pub(crate) seed: u64,
    pub(crate) content: u64,
}

/// A multipart body on its way.
#[derive(Debug)]
pub(crate) struct UploadBody {
    head: Option<Bytes>,
    audio: AudioBytes,
    tail: Option<Bytes>,
    hasher: blake3::Hasher,
    digest: Arc<OnceLock<String>>,
    left_bytes: u64,
    pace: Option<Pace>,
}

/// Pieces of a slow uplink and when the next one leaves.
#[derive(Debug)]
struct Pace {
    piece_bytes: u64,
    interval: Duration,
    next: Pin<Box<Sleep>>,
}

impl Pace {
    fn new(kbit_per_s: u32) -> Self {
        let bytes_per_s = u64::from(kbit_per_s.max(1)) * 125;
        let piece_bytes = (bytes_per_s * SLOW_PIECE_INTERVAL_MS / 1000).max(1);
        let interval = Duration::from_secs_f64(piece_bytes as f64 / bytes_per_s as f64);
        Self { piece_bytes, interval, next: Box::pin(sleep_until(Instant::now() + interval)) }
    }

    fn poll_next_piece(&mut self, context: &mut Context<'_>) -> Poll<u64> {
        ready!(self.next.as_mut().poll(context));
        let next = self.next.deadline() + self.interval;
        self.next.as_mut().reset(next);
        Poll::Ready(self.piece_bytes)
    }
}

impl UploadForm {
    /// The value of `Content-Type` and the body.
    pub(crate) fn into_body(self, uplink: Uplink) -> (String, UploadBody) {
        let boundary = format!("----WebKitFormBoundary{}", &Uuid::new_v4().simple().to_string()[..16]);
        let head = Bytes::from(self.head(&boundary));
        let tail = Bytes::from(format!("\r\n--{boundary}--\r\n"));
        let pace = match uplink {
            Uplink::Fast => None,
            Uplink::Slow(kbit_per_s) => Some(Pace::new(kbit_per_s)),
        };
        let body = UploadBody {
            left_bytes: head.len() as u64 + self.file_bytes + tail.len() as u64,
            head: Some(head),
            audio: AudioBytes::new(stream(self.seed, Purpose::Content, self.content), self.file_bytes),
            tail: Some(tail),
            hasher: blake3::Hasher::new(),
            digest: Arc::default(),
            pace,
        };
        (format!("multipart/form-data; boundary={boundary}"), body)
    }

    fn head(&self, boundary: &str) -> String {
        let Self { assignment_id, activity_id, file_name, .. } = self;
        format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"assignment_id\"\r\n\r\n{assignment_id}\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"activity_id\"\r\n\r\n{activity_id}\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"audio\"; filename=\"{file_name}\"\r\n\
             Content-Type: audio/webm\r\n\r\n"
        )
    }
}

impl UploadBody {
    /// Bytes of the whole body while none is sent.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.left_bytes
    }

    /// Where the digest of the audio appears once all of it has left.
    pub(crate) fn digest(&self) -> Arc<OnceLock<String>> {
        Arc::clone(&self.digest)
    }

    fn next_audio(&mut self, bytes_max: u64) -> Bytes {
        let piece = self.audio.next_piece(bytes_max);
        self.hasher.update(&piece);
        if self.audio.is_done() {
            // Set once: the audio is done once.
            let _ = self.digest.set(format!("blake3:{}", self.hasher.finalize().to_hex()));
        }
        piece
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(head) = self.head.take() {
            return Poll::Ready(Some(head));
        }
        if self.audio.is_done() {
            return Poll::Ready(self.tail.take());
        }
        let bytes_max = match &mut self.pace {
            Some(pace) => ready!(pace.poll_next_piece(context)),
            None => FAST_PIECE_BYTES,
        };
        Poll::Ready(Some(self.next_audio(bytes_max)))
    }
}

impl Body for UploadBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = ready!(self.poll_piece(context));
        self.left_bytes -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left_bytes == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left_bytes)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn form(content: u64, file_bytes: u64) -> UploadForm {
        UploadForm {
            assignment_id: "a".to_owned(),
            activity_id: "b".to_owned(),
            file_name: "recording.webm".to_owned(),
            file_bytes,
            seed: 1,
            content,
        }
    }

    async fn sent(form: UploadForm, uplink: Uplink) -> Bytes {
        let (_, body) = form.into_body(uplink);
        let total = body.total_bytes();
        let bytes = body.collect().await.unwrap().to_bytes();
        assert_eq!(bytes.len() as u64, total);
        bytes
    }

    #[tokio::test]
    async fn a_body_has_its_announced_length_and_own_bytes() {
        let one = sent(form(1, 200_000), Uplink::Fast).await;
        let other = sent(form(2, 200_000), Uplink::Fast).await;
        assert_eq!(one.len(), other.len());
        assert_ne!(one[1000..], other[1000..]);
        let start = one.windows(4).position(|bytes| bytes == b"\x1a\x45\xdf\xa3").unwrap();
        assert_eq!(&one[start - 4..start], b"\r\n\r\n");
    }

    #[tokio::test]
    async fn the_digest_is_that_of_the_audio_alone() {
        let (_, body) = form(1, 150_000).into_body(Uplink::Fast);
        let (digest, head, tail) =
            (body.digest(), body.head.clone().unwrap().len(), body.tail.clone().unwrap());
        let bytes = body.collect().await.unwrap().to_bytes();
        let audio = &bytes[head..bytes.len() - tail.len()];
        assert_eq!(digest.get().unwrap(), &format!("blake3:{}", blake3::hash(audio).to_hex()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_uplink_takes_its_time() {
        let start = Instant::now();
        sent(form(1, 250_000), Uplink::Slow(1_000)).await;
        let took = start.elapsed().as_secs_f64();
        assert!((1.99..2.06).contains(&took), "{took}");
    }
}
