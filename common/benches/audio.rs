//! Synthesised file bodies: laying one out, and computing its bytes as a sender asks for them.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use kingtide_common::audio::{AudioBody, AudioFormat};

/// A large recording of a student.
const BODY_BYTES: u64 = 2 << 20;
/// What a sender asks for at a time.
const PIECE_BYTES: usize = 64 << 10;

const FORMATS: [Option<AudioFormat>; 7] = [
    Some(AudioFormat::WebmOpus),
    Some(AudioFormat::OggOpus),
    Some(AudioFormat::Mp4Aac),
    Some(AudioFormat::Wav),
    Some(AudioFormat::Mp3),
    Some(AudioFormat::Aac),
    None,
];

fn main() {
    divan::main();
}

/// Laying out one body of 2 MiB; no byte of it is computed.
#[divan::bench(args = FORMATS)]
fn layout(format: Option<AudioFormat>) -> AudioBody {
    AudioBody::new(black_box(format), black_box(BODY_BYTES), black_box(7))
}

/// All bytes of a body of 2 MiB, 64 KiB at a time.
#[divan::bench(args = FORMATS)]
fn bytes(bencher: Bencher<'_, '_>, format: Option<AudioFormat>) {
    let body = AudioBody::new(format, BODY_BYTES, 7);
    let mut piece = vec![0; PIECE_BYTES];
    bencher.counter(BytesCount::new(BODY_BYTES)).bench_local(|| {
        for offset in (0..BODY_BYTES).step_by(PIECE_BYTES) {
            black_box(body.copy_at(offset, &mut piece));
        }
    });
}
