//! WAV (RIFF, 16-bit PCM, mono, 16 kHz). The samples are computed: a quiet triangle wave with noise.
//! Padding is a `JUNK` chunk at the end; when the size is odd it goes without the pad byte that would follow it.

use std::sync::LazyLock;

use super::cycle::{Cycle, Unstamped};
use super::noise;
use super::recording::{BYTES_MAX, Recording, TAG_BYTES, fit, pad_to, variation_tag};

const SAMPLES_PER_S: u32 = 16_000;
const UNIT_SAMPLES: usize = 320;
const UNITS: usize = 100;
const HEAD_BYTES: usize = 44;
const CHUNK_HEAD_BYTES: usize = 8;
/// Sizes in RIFF have 32 bits and leave out the first eight bytes.
const WAV_BYTES_MAX: u64 = if BYTES_MAX < u32::MAX as u64 { BYTES_MAX } else { u32::MAX as u64 };

static FRAMES: LazyLock<Cycle> = LazyLock::new(|| Cycle::new(&units(), Unstamped));

pub(super) fn recording(bytes: u64, variation: u64) -> Option<Recording> {
    let fixed_bytes = HEAD_BYTES + CHUNK_HEAD_BYTES + TAG_BYTES;
    let (units, other_bytes) = fit(&FRAMES, bytes, fixed_bytes).filter(|_| bytes <= WAV_BYTES_MAX)?;
    let head = head(bytes, FRAMES.bytes_of(units));
    let tail = junk(other_bytes - HEAD_BYTES as u64, variation);
    Some(Recording { head: head.into(), frames: &FRAMES, units, tail: tail.into() })
}

fn head(bytes: u64, data_bytes: u64) -> Vec<u8> {
    let mut head = chunk_head(*b"RIFF", bytes - CHUNK_HEAD_BYTES as u64);
    head.extend(b"WAVE");
    head.extend(chunk_head(*b"fmt ", 16));
    let (pcm, channels, sample_bytes) = (1_u16, 1_u16, 2_u16);
    head.extend(pcm.to_le_bytes());
    head.extend(channels.to_le_bytes());
    head.extend(SAMPLES_PER_S.to_le_bytes());
    head.extend((SAMPLES_PER_S * u32::from(sample_bytes)).to_le_bytes());
    head.extend(sample_bytes.to_le_bytes());
    head.extend((sample_bytes * 8).to_le_bytes());
    head.extend(chunk_head(*b"data", data_bytes));
    head
}

fn junk(bytes: u64, variation: u64) -> Vec<u8> {
    let mut junk = chunk_head(*b"JUNK", bytes - CHUNK_HEAD_BYTES as u64);
    junk.extend(variation_tag(variation));
    pad_to(&mut junk, bytes);
    junk
}

fn chunk_head(id: [u8; 4], content_bytes: u64) -> Vec<u8> {
    let size = u32::try_from(content_bytes).expect("a WAV file is below 4 GiB");
    [id, size.to_le_bytes()].concat()
}

fn units() -> Vec<Vec<u8>> {
    let mut noise = vec![0; UNITS * UNIT_SAMPLES];
    noise::copy_at(1, 0, &mut noise);
    let samples: Vec<u8> =
        noise.iter().zip(0..).flat_map(|(noise, at)| sample(at, *noise).to_le_bytes()).collect();
    samples.chunks(UNIT_SAMPLES * 2).map(<[u8]>::to_vec).collect()
}

/// A triangle wave of 320 Hz (50 samples), which divides the cycle, so that its end meets its beginning.
fn sample(at: u32, noise: u8) -> i16 {
    let phase = i16::try_from(at % 50).expect("below 50");
    let triangle = (phase - 25).abs() * 240 - 3_000;
    triangle + i16::from(noise) * 4 - 512
}
