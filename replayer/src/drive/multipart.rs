//! Multipart bodies as a new user sends them: same shape and size, fresh boundary, file names and files.

use std::ops::Range;

use bytes::Bytes;
use kingtide_common::audio::{AudioBody, AudioFormat};
use kingtide_common::exchange::{FilePart, Multipart, Part, PartContent};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::body::Segment;

const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const MIXED: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const HEX: &[u8] = b"0123456789abcdef";
const DIGITS: &[u8] = b"0123456789";

/// The body's segments. `field` gives the value of the field part with an index; `recorded_bytes` is the
/// size of the captured body, from which follows whether it ended in a line break.
pub(crate) fn segments(
    multipart: &Multipart,
    boundary: &str,
    recorded_bytes: u64,
    random: &mut ChaCha8Rng,
    mut field: impl FnMut(usize, &str) -> String,
) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut text = String::new();
    for (index, part) in multipart.parts.iter().enumerate() {
        text.extend(["--", boundary, "\r\n", &fresh_head(&part.head, random), "\r\n"]);
        match &part.content {
            PartContent::Field { value } => text.push_str(&field(index, value)),
            PartContent::File { file } => {
                segments.push(Segment::Text(Bytes::from(std::mem::take(&mut text))));
                segments.push(Segment::File(synthesise(file, random.random())));
            }
        }
        text.push_str("\r\n");
    }
    text.extend(["--", boundary, "--"]);
    if ends_in_line_break(multipart, recorded_bytes) {
        text.push_str("\r\n");
    }
    segments.push(Segment::Text(text.into()));
    segments
}

/// A file of the captured type at exactly the captured size, like no other of the run.
fn synthesise(file: &FilePart, variation: u64) -> AudioBody {
    let format = AudioFormat::of(file.content_type.as_deref(), file.extension.as_deref());
    AudioBody::new(format, file.bytes, variation)
}

/// Browsers end a body in a line break, some libraries do not. Where the sizes do not tell (a field was
/// replaced by a value of another length), browsers win.
fn ends_in_line_break(multipart: &Multipart, recorded_bytes: u64) -> bool {
    body_bytes(multipart) != recorded_bytes
}

/// Size of a captured body up to its last boundary.
pub(crate) fn body_bytes(multipart: &Multipart) -> u64 {
    let boundary_bytes = u64::from(multipart.boundary_bytes);
    let part_bytes = |part: &Part| {
        let framing = "--\r\n".len() as u64 + boundary_bytes + "\r\n".len() as u64 + "\r\n".len() as u64;
        framing + lines(&part.head).len() as u64 + content_bytes(&part.content)
    };
    multipart.parts.iter().map(part_bytes).sum::<u64>() + boundary_bytes + "----".len() as u64
}

fn content_bytes(content: &PartContent) -> u64 {
    match content {
        PartContent::Field { value } => captured_bytes(value),
        PartContent::File { file } => file.bytes,
    }
}

/// Bytes of a text before fingerprints took the place of values.
pub(crate) fn captured_bytes(text: &str) -> u64 {
    let found = kingtide_common::fingerprint::Fingerprint::find_all(text);
    let tokens: u64 = found.iter().map(|(range, _)| range.len() as u64).sum();
    let values: u64 = found.iter().map(|(_, fingerprint)| fingerprint.bytes as u64).sum();
    (text.len() as u64 - tokens).saturating_add(values)
}

/// The head's lines, each ending in CRLF.
fn lines(head: &str) -> String {
    if head.is_empty() || head.ends_with("\r\n") { head.to_owned() } else { format!("{head}\r\n") }
}

fn fresh_head(head: &str, random: &mut ChaCha8Rng) -> String {
    let mut head = lines(head);
    for masked in masked_stems(&head).into_iter().rev() {
        let stem = word(masked.len(), LOWER, random);
        head.replace_range(masked, &stem);
    }
    head
}

/// Where the masked stems of file names stand: runs of `x` at the start of a `filename` parameter's value.
fn masked_stems(head: &str) -> Vec<Range<usize>> {
    const PARAMETER: &str = "filename";
    let parameters = head.match_indices(PARAMETER).map(|(start, _)| start + PARAMETER.len());
    let stem = |from: usize| {
        let value = from + head[from..].find('=')? + 1;
        // `filename*=UTF-8''xxx` and `filename="xxx"`.
        let start = value + head[value..].find('x')?;
        let is_start = head[value..start].chars().all(|c| c.is_ascii_uppercase() || "\"'-8".contains(c));
        let bytes = head[start..].bytes().take_while(|byte| *byte == b'x').count();
        is_start.then_some(start..start + bytes)
    };
    parameters.filter_map(stem).collect()
}

/// A boundary of the same length and make as the captured one: its fixed beginning stays.
pub(super) fn fresh_boundary(captured: &str, random: &mut ChaCha8Rng) -> String {
    let fixed = fixed_prefix_bytes(captured);
    let (prefix, tail) = captured.split_at(fixed);
    format!("{prefix}{}", word(tail.len(), alphabet(tail), random))
}

/// `----WebKitFormBoundary` of Chrome and Safari, else the dashes.
fn fixed_prefix_bytes(boundary: &str) -> usize {
    const WEBKIT: &str = "----WebKitFormBoundary";
    let dashes = boundary.bytes().take_while(|byte| *byte == b'-').count();
    if boundary.starts_with(WEBKIT) { WEBKIT.len() } else { dashes }
}

fn alphabet(tail: &str) -> &'static [u8] {
    let all_in = |alphabet: &[u8]| tail.bytes().all(|byte| alphabet.contains(&byte));
    [DIGITS, HEX, LOWER].into_iter().find(|alphabet| all_in(alphabet)).unwrap_or(MIXED)
}

/// A random word of `bytes` bytes.
pub(super) fn word(bytes: usize, alphabet: &[u8], random: &mut ChaCha8Rng) -> String {
    (0..bytes).map(|_| char::from(alphabet[random.random_range(0..alphabet.len())])).collect()
}

/// Where the boundary parameter's value stands in a `Content-Type`, without quotes.
pub(crate) fn boundary_range(content_type: &str) -> Option<Range<usize>> {
    const PARAMETER: &str = "boundary=";
    let at = content_type.to_ascii_lowercase().find(PARAMETER)? + PARAMETER.len();
    let value = content_type[at..].split(';').next()?.trim_end();
    let inner = value.trim_matches('"');
    let start = at + value.find(inner)?;
    (!inner.is_empty()).then_some(start..start + inner.len())
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    const CHROME: &str = "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW";

    fn random() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(7)
    }

    fn field(name: &str, value: &str) -> Part {
        Part {
            head: format!("Content-Disposition: form-data; name=\"{name}\"\r\n"),
            name: name.to_owned(),
            content: PartContent::Field { value: value.to_owned() },
        }
    }

    fn recording(bytes: u64) -> Part {
        let head = "Content-Disposition: form-data; name=\"audio\"; filename=\"xxxxxxxx.webm\"\r\n\
                    Content-Type: audio/webm\r\n";
        let (content_type, extension) = (Some("audio/webm".to_owned()), Some("webm".to_owned()));
        let file = FilePart { content_type, extension, bytes, hash: String::new() };
        Part { head: head.to_owned(), name: "audio".to_owned(), content: PartContent::File { file } }
    }

    fn whole(segments: &[Segment]) -> Vec<u8> {
        let bytes = |segment: &Segment| match segment {
            Segment::Text(text) => text.to_vec(),
            Segment::File(file) => file.pieces(1000).flatten().collect(),
        };
        segments.iter().flat_map(bytes).collect()
    }

    #[test]
    fn a_body_keeps_shape_and_size() {
        let parts = vec![field("activity_id", "{fp:0123456789abcdef.4}"), recording(5_000)];
        let multipart = Multipart { boundary_bytes: 38, parts };
        let boundary = "----WebKitFormBoundary7MA4YWxkTrZu0gW";
        let text = |head: &str, stem: &str| {
            format!(
                "--{boundary}\r\n{head}\r\n1234\r\n--{boundary}\r\nContent-Disposition: form-data; name=\"audio\"; \
                 filename=\"{stem}.webm\"\r\nContent-Type: audio/webm\r\n\r\n"
            )
        };
        let expected = text("Content-Disposition: form-data; name=\"activity_id\"\r\n", "xxxxxxxx").len();
        let recorded = (expected + 5_000 + "\r\n----\r\n".len() + boundary.len()) as u64;
        let multipart = Multipart { boundary_bytes: u32::try_from(boundary.len()).unwrap(), ..multipart };
        for (recorded, end) in [(recorded, "--\r\n"), (recorded - 2, "--")] {
            let body = segments(&multipart, boundary, recorded, &mut random(), |index, _| {
                assert_eq!(index, 0);
                "1234".to_owned()
            });
            let body = whole(&body);
            assert_eq!(body.len() as u64, recorded);
            assert!(body.ends_with(format!("{boundary}{end}").as_bytes()));
            assert!(!body.windows(8).any(|window| window == b"xxxxxxxx"), "the stem is fresh");
        }
    }

    #[test]
    fn a_file_without_a_type_is_what_its_name_says() {
        let file = |content_type: Option<&str>, extension: Option<&str>| FilePart {
            content_type: content_type.map(str::to_owned),
            extension: extension.map(str::to_owned),
            bytes: 50_000,
            hash: String::new(),
        };
        let octets = Some("application/octet-stream");
        for (content_type, extension, starts) in [
            (octets, Some("webm"), &b"\x1a\x45\xdf\xa3"[..]),
            (None, Some("mp3"), b"ID3"),
            (Some("audio/ogg"), Some("bin"), b"OggS"),
        ] {
            let made = synthesise(&file(content_type, extension), 1);
            assert!(made.is_valid_audio() && made.len() == 50_000);
            assert!(made.pieces(8).next().unwrap().starts_with(starts), "{extension:?}");
        }
        assert!(!synthesise(&file(octets, None), 1).is_valid_audio());
    }

    #[test]
    fn boundaries_are_fresh_and_of_the_same_make() {
        for captured in [
            "----WebKitFormBoundary7MA4YWxkTrZu0gW",
            "------------------------d74496d66958873e",
            "-----------------------------9051914041544843365972754266",
        ] {
            let fresh = fresh_boundary(captured, &mut random());
            assert_ne!(fresh, captured);
            assert_eq!(fresh.len(), captured.len());
            assert_eq!(fresh[..22], captured[..22], "{fresh}");
            let tail = &fresh[fixed_prefix_bytes(captured)..];
            let allowed = alphabet(&captured[fixed_prefix_bytes(captured)..]);
            assert!(tail.bytes().all(|byte| allowed.contains(&byte)), "{fresh}");
        }
    }

    #[test]
    fn the_boundary_is_found_in_the_content_type() {
        let found = |text: &str| boundary_range(text).map(|range| text[range].to_owned());
        assert_eq!(found(CHROME).as_deref(), Some("----WebKitFormBoundary7MA4YWxkTrZu0gW"));
        assert_eq!(found("multipart/form-data; Boundary=\"a b\"; charset=utf-8").as_deref(), Some("a b"));
        assert_eq!(found("multipart/form-data"), None);
        assert_eq!(found("multipart/form-data; boundary="), None);
    }

    #[test]
    fn only_masked_stems_are_replaced() {
        let stems = |head: &str| {
            masked_stems(head).into_iter().map(|range| head[range].to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(stems("form-data; name=\"x\"; filename=\"xxx.webm\""), ["xxx"]);
        assert_eq!(stems("filename=\"xx.m4a\"; filename*=UTF-8''xxxx.m4a"), ["xx", "xxxx"]);
        assert_eq!(stems("filename=\"a.txt\"; name=\"x\""), Vec::<String>::new());
    }
}
