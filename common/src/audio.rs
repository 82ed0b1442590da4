//! File bodies of an exact size for replayed uploads.
//!
//! A capture keeps of a recording only its type and its size. A replay needs a file of that type and exactly that
//! size, thousands at a time, and no two alike. So a body is laid out, not built: a small head of its own, then the
//! frames of one short clip, shared by all bodies and repeated with fresh timestamps, and padding where the
//! container allows it for the bytes that no whole number of frames fills.
//!
//! Invariants:
//! - a body has exactly the bytes asked for, whatever the format;
//! - any byte can be computed from its offset alone, so a body costs a few kilobytes however long it is;
//! - a recording decodes from its first frame to its last, and its timestamps rise throughout;
//! - two variations of one size differ only in bytes that decoders skip.
//!
//! No audio crate does this: they write containers from samples, front to back, and none aims at a size.

mod aac;
mod cycle;
#[cfg(test)]
mod ffprobe;
mod format;
mod id3;
mod mp3;
mod mp4;
mod noise;
mod ogg;
mod recording;
#[cfg(test)]
mod structure;
mod wav;
mod webm;

pub use format::AudioFormat;
use recording::Recording;

/// A file body of an exact size. Cheap to make and to clone; its bytes are computed when they are asked for.
#[derive(Debug, Clone)]
pub struct AudioBody {
    bytes: u64,
    variation: u64,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Recording(Recording),
    Noise { seed: u64 },
}

impl AudioBody {
    /// A body of exactly `bytes` bytes. Two values of `variation` give different bodies of the same size (from eight
    /// bytes on). Without a format, or when the size is too small or too large for it, the bytes are pseudo-random:
    /// see [`AudioBody::is_valid_audio`] and [`AudioFormat::bytes_min`].
    pub fn new(format: Option<AudioFormat>, bytes: u64, variation: u64) -> Self {
        let recording = format.and_then(|format| format.recording(bytes, variation));
        let content = recording.map_or(Content::Noise { seed: variation }, Content::Recording);
        Self { bytes, variation, content }
    }

    /// Bytes in the whole body.
    pub fn len(&self) -> u64 {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// What it was made with: see [`AudioBody::new`].
    pub fn variation(&self) -> u64 {
        self.variation
    }

    /// Whether the body is a decodable recording, rather than pseudo-random bytes.
    pub fn is_valid_audio(&self) -> bool {
        matches!(self.content, Content::Recording(_))
    }

    /// Copies the bytes from `offset` on into `out`, and says how many there were: fewer than `out` holds only at the
    /// end of the body.
    pub fn copy_at(&self, offset: u64, out: &mut [u8]) -> usize {
        let left = usize::try_from(self.bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = left.min(out.len());
        let out = &mut out[..count];
        match &self.content {
            Content::Recording(recording) => recording.copy_at(offset, out),
            Content::Noise { seed } => noise::copy_at(*seed, offset, out),
        }
        count
    }

    /// The body in order, in pieces of `piece_bytes` (at least 1), the last one shorter where it must be. The iterator
    /// owns what it needs and holds no piece.
    pub fn pieces(&self, piece_bytes: usize) -> Pieces {
        Pieces { body: self.clone(), offset: 0, piece_bytes: piece_bytes.max(1) }
    }
}

/// See [`AudioBody::pieces`].
#[derive(Debug, Clone)]
pub struct Pieces {
    body: AudioBody,
    offset: u64,
    piece_bytes: usize,
}

impl Iterator for Pieces {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let left = self.body.len() - self.offset;
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(self.piece_bytes);
        let mut piece = vec![0; count];
        self.body.copy_at(self.offset, &mut piece);
        self.offset += count as u64;
        (count > 0).then_some(piece)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::structure::walk;
    use super::*;

    fn whole(body: &AudioBody) -> Vec<u8> {
        body.pieces(64 * 1024).flatten().collect()
    }

    #[test]
    fn the_smallest_recording_is_as_large_as_it_is_said_to_be() {
        let is_valid = |format, bytes: &u64| AudioBody::new(Some(format), *bytes, 0).is_valid_audio();
        let found = AudioFormat::ALL.map(|format| (0..10_000).find(|bytes| is_valid(format, bytes)));
        assert_eq!(found, AudioFormat::ALL.map(|format| Some(format.bytes_min())));
    }

    #[test]
    fn every_size_above_the_smallest_is_a_whole_container() {
        for format in AudioFormat::ALL {
            let smallest = format.bytes_min();
            assert!(smallest < 2_000, "{format:?} starts at {smallest}");
            let mut not_audio = 0;
            for bytes in smallest..smallest + 2_500 {
                let body = AudioBody::new(Some(format), bytes, bytes);
                let content = whole(&body);
                assert_eq!(content.len() as u64, bytes);
                if body.is_valid_audio() {
                    walk(format, &content);
                } else {
                    not_audio += 1;
                }
            }
            let allowed = if format == AudioFormat::OggOpus { 6 } else { 0 };
            assert!(not_audio <= allowed, "{format:?}: {not_audio} sizes are not audio");
        }
    }

    #[test]
    fn the_audio_grows_with_the_size() {
        for format in AudioFormat::ALL {
            let seconds = |bytes| walk(format, &whole(&AudioBody::new(Some(format), bytes, 1)));
            let (short, long) = (seconds(200_000), seconds(2_000_000));
            assert!(long / short > 9.0, "{format:?}: {short} s in 200 kB, {long} s in 2 MB");
        }
    }

    #[test]
    fn a_body_of_two_gigabytes_is_never_held() {
        let bytes = 2 * 1024 * 1024 * 1024 - 1;
        for format in AudioFormat::ALL {
            let body = AudioBody::new(Some(format), bytes, 3);
            assert!(body.is_valid_audio());
            let mut end = [0; 4096];
            assert_eq!(body.copy_at(bytes - 100, &mut end), 100);
            assert_eq!(body.copy_at(bytes, &mut end), 0);
            assert_eq!(body.copy_at(u64::MAX, &mut end), 0);
        }
    }

    #[test]
    fn sizes_no_container_can_have_give_noise_that_says_so() {
        for format in AudioFormat::ALL {
            for bytes in [0, 1, 7, 100, u64::MAX] {
                let body = AudioBody::new(Some(format), bytes, 9);
                assert!(!body.is_valid_audio(), "{format:?} at {bytes}");
                assert_eq!(body.len(), bytes);
            }
        }
        assert!(
            !AudioBody::new(Some(AudioFormat::Wav), 5 << 30, 0).is_valid_audio(),
            "RIFF sizes have 32 bits"
        );
        assert!(!AudioBody::new(None, 100_000, 0).is_valid_audio());
    }

    #[test]
    fn variations_differ_in_padding_only() {
        for format in AudioFormat::ALL {
            let one = whole(&AudioBody::new(Some(format), 60_001, 1));
            let other = whole(&AudioBody::new(Some(format), 60_001, u64::MAX));
            let differing = one.iter().zip(&other).filter(|(a, b)| a != b).count();
            // Sixteen digits of the variation, and for Ogg the checksum of their page.
            assert!((1..=20).contains(&differing), "{format:?}: {differing} bytes differ");
        }
    }

    fn any_format() -> impl Strategy<Value = Option<AudioFormat>> {
        prop::option::weighted(0.9, prop::sample::select(AudioFormat::ALL.to_vec()))
    }

    fn any_size() -> impl Strategy<Value = u64> {
        prop_oneof![0_u64..6_000, 0_u64..3_000_000]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

        #[test]
        fn bodies_are_exact_whole_and_the_same_in_any_pieces(
            format in any_format(), bytes in any_size(), variation: u64, piece_bytes in 1_usize..70_000,
        ) {
            let body = AudioBody::new(format, bytes, variation);
            let content = whole(&body);
            prop_assert_eq!(content.len() as u64, bytes);
            if let Some(format) = format.filter(|_| body.is_valid_audio()) {
                walk(format, &content);
            }
            prop_assert_eq!(body.is_valid_audio(), format.is_some() && walkable(format, bytes));
            let pieces: Vec<_> = body.pieces(piece_bytes).collect();
            prop_assert!(pieces.iter().rev().skip(1).all(|piece| piece.len() == piece_bytes));
            prop_assert!(pieces.concat() == content);
        }

        #[test]
        fn a_variation_changes_bytes_but_not_the_length(
            format in any_format(), bytes in 8_u64..400_000, variation: u64, other: u64,
        ) {
            prop_assume!(variation != other);
            let one = whole(&AudioBody::new(format, bytes, variation));
            let two = whole(&AudioBody::new(format, bytes, other));
            prop_assert_eq!(one.len(), two.len());
            prop_assert!(one != two);
        }

        #[test]
        fn any_window_equals_the_same_bytes_of_the_whole(
            format in any_format(), bytes in 1_u64..50_000, offset in 0_usize..50_000, count in 0_usize..5_000,
        ) {
            let body = AudioBody::new(format, bytes, 5);
            let content = whole(&body);
            let start = offset.min(content.len());
            let end = (start + count).min(content.len());
            let mut window = vec![0; count];
            let copied = body.copy_at(offset as u64, &mut window);
            prop_assert_eq!(&window[..copied], &content[start..end]);
        }
    }

    /// Whether the documentation of the format promises audio at this size; the few gaps of Ogg follow the body.
    fn walkable(format: Option<AudioFormat>, bytes: u64) -> bool {
        let Some(format) = format else { return false };
        let gap = format == AudioFormat::OggOpus && bytes < 2_500;
        if gap {
            AudioBody::new(Some(format), bytes, 0).is_valid_audio()
        } else {
            bytes >= format.bytes_min()
        }
    }
}
