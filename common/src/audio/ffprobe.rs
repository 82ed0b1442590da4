//! What ffmpeg makes of the recordings: each is probed, and decoded from its first frame to its last. [`super::structure`]
//! reads them as strictly but knows of a container only what we know.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::structure::walk;
use super::{AudioBody, AudioFormat};

/// Beside the smallest: what students record, sizes that no whole number of frames fills, and the first above 2 MB.
const SIZES: [u64; 8] = [1_000, 2_047, 12_345, 50_000, 200_000, 500_000, 2_000_000, 2_000_001];

/// What ffprobe is to say of a format.
struct Wanted {
    container: &'static str,
    codec: &'static str,
    sample_rate: &'static str,
    /// How far its duration may be off, in parts of the whole: it guesses where nothing tells.
    error_max: f64,
}

#[test]
fn ffmpeg_decodes_webm_of_any_size() {
    let wanted = Wanted { container: "matroska,webm", codec: "opus", sample_rate: "48000", error_max: 0.001 };
    check(AudioFormat::WebmOpus, &wanted);
}

#[test]
fn ffmpeg_decodes_ogg_of_any_size() {
    let wanted = Wanted { container: "ogg", codec: "opus", sample_rate: "48000", error_max: 0.001 };
    check(AudioFormat::OggOpus, &wanted);
}

#[test]
fn ffmpeg_decodes_mp4_of_any_size() {
    let wanted =
        Wanted { container: "mov,mp4,m4a,3gp,3g2,mj2", codec: "aac", sample_rate: "48000", error_max: 0.001 };
    check(AudioFormat::Mp4Aac, &wanted);
}

#[test]
fn ffmpeg_decodes_wav_of_any_size() {
    let wanted = Wanted { container: "wav", codec: "pcm_s16le", sample_rate: "16000", error_max: 0.001 };
    check(AudioFormat::Wav, &wanted);
}

#[test]
fn ffmpeg_decodes_mp3_of_any_size() {
    let wanted = Wanted { container: "mp3", codec: "mp3", sample_rate: "48000", error_max: 0.001 };
    check(AudioFormat::Mp3, &wanted);
}

#[test]
fn ffmpeg_decodes_aac_of_any_size() {
    let wanted = Wanted { container: "aac", codec: "aac", sample_rate: "48000", error_max: 0.05 };
    check(AudioFormat::Aac, &wanted);
}

fn check(format: AudioFormat, wanted: &Wanted) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("recording").with_extension(format.extension());
    let recordings = SIZES.into_iter().filter(|bytes| *bytes >= format.bytes_min());
    for bytes in recordings.chain([format.bytes_min()]) {
        let contents = [1, u64::MAX].map(|variation| whole(format, bytes, variation));
        assert_ne!(blake3::hash(&contents[0]), blake3::hash(&contents[1]), "{format:?} at {bytes}");
        for content in contents {
            assert_eq!(content.len() as u64, bytes);
            fs::write(&path, &content).unwrap();
            let seconds = probe(&path, wanted);
            let expected_s = walk(format, &content);
            let error = (seconds / expected_s - 1.0).abs();
            assert!(
                error <= wanted.error_max,
                "{format:?} at {bytes}: {seconds} s, and it holds {expected_s} s"
            );
            decode(&path);
        }
    }
}

fn whole(format: AudioFormat, bytes: u64, variation: u64) -> Vec<u8> {
    let body = AudioBody::new(Some(format), bytes, variation);
    assert!(body.is_valid_audio(), "{format:?} at {bytes}");
    body.pieces(64 * 1024).flatten().collect()
}

/// The duration that ffprobe tells, in seconds.
fn probe(path: &Path, wanted: &Wanted) -> f64 {
    let asked = ["-v", "error", "-show_format", "-show_streams", "-of", "json"].map(OsStr::new);
    let output = run("ffprobe", asked.into_iter().chain([path.as_os_str()]));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let streams = told["streams"].as_array().unwrap();
    assert_eq!(streams.len(), 1, "{told}");
    let stream = &streams[0];
    let (codec, sample_rate) = (stream["codec_name"].as_str(), stream["sample_rate"].as_str());
    assert_eq!((codec, sample_rate), (Some(wanted.codec), Some(wanted.sample_rate)), "{told}");
    assert_eq!(told["format"]["format_name"], wanted.container, "{told}");
    let duration = told["format"]["duration"].as_str().unwrap_or_else(|| panic!("no duration: {told}"));
    duration.parse().unwrap()
}

fn decode(path: &Path) {
    let input = ["-v", "error", "-xerror", "-i"].map(OsStr::new);
    let nowhere = ["-f", "null", "-"].map(OsStr::new);
    run("ffmpeg", input.into_iter().chain([path.as_os_str()]).chain(nowhere));
}

/// Without a word on stderr.
fn run<'a>(program: &str, arguments: impl IntoIterator<Item = &'a OsStr>) -> Output {
    let output = Command::new(program).args(arguments).output();
    let output = output.expect("this test reads recordings with ffprobe and ffmpeg: apt-get install ffmpeg");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{program}: {said}");
    output
}
