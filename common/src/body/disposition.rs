//! The `Content-Disposition` of a part: its name, and the file name that must not be kept (RFC 7578).

use std::ops::Range;

/// The `name` parameter of a part's head.
pub(super) fn name(head: &[u8]) -> Option<String> {
    let range = parameter(head, b"name")?;
    Some(String::from_utf8_lossy(&head[range]).into_owned())
}

/// Where the file name stands in the head; a part that has one is a file.
pub(super) fn file_name(head: &[u8]) -> Option<Range<usize>> {
    parameter(head, b"filename").or_else(|| parameter(head, b"filename*"))
}

/// The part's content type.
pub(super) fn content_type(head: &[u8]) -> Option<String> {
    let line = line(head, b"content-type")?;
    Some(String::from_utf8_lossy(&head[line]).trim().to_owned())
}

/// The extension of a file name: up to four plain characters after its last dot. Anything longer may be
/// part of a name and is masked with the stem.
pub(super) fn extension(file_name: &[u8]) -> Option<String> {
    let dot = file_name.iter().rposition(|byte| *byte == b'.')?;
    let extension = &file_name[dot + 1..];
    let plain = (1..=4).contains(&extension.len()) && extension.iter().all(u8::is_ascii_alphanumeric);
    plain.then(|| String::from_utf8_lossy(extension).into_owned())
}

/// The head with the stem of every file name replaced by `x` at its own length.
pub(super) fn masked(head: &[u8]) -> String {
    let mut masked = head.to_vec();
    for parameter_name in [b"filename".as_slice(), b"filename*"] {
        if let Some(range) = parameter(head, parameter_name) {
            let stem = stem_bytes(&head[range.clone()]);
            masked[range.start..range.start + stem].fill(b'x');
        }
    }
    String::from_utf8_lossy(&masked).into_owned()
}

fn stem_bytes(file_name: &[u8]) -> usize {
    extension(file_name).map_or(file_name.len(), |extension| file_name.len() - extension.len() - 1)
}

/// The value of a header line, found without case.
fn line(head: &[u8], name: &[u8]) -> Option<Range<usize>> {
    let mut start = 0;
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        let colon = line.iter().position(|byte| *byte == b':');
        if let Some(colon) = colon.filter(|colon| line[..*colon].eq_ignore_ascii_case(name)) {
            return Some(start + colon + 1..start + line.trim_ascii_end().len());
        }
        start += line.len();
    }
    None
}

/// The value of a parameter of `Content-Disposition`, without quotes.
fn parameter(head: &[u8], name: &[u8]) -> Option<Range<usize>> {
    let line = line(head, b"content-disposition")?;
    let mut at = line.start;
    while let Some(semicolon) = head[at..line.end].iter().position(|byte| *byte == b';') {
        let start = skip_spaces(head, at + semicolon + 1, line.end);
        let equals = head[start..line.end].iter().position(|byte| *byte == b'=')? + start;
        let value = value(head, equals + 1, line.end);
        if head[start..equals].trim_ascii().eq_ignore_ascii_case(name) {
            return Some(value);
        }
        at = value.end;
    }
    None
}

fn skip_spaces(head: &[u8], from: usize, end: usize) -> usize {
    from + head[from..end].iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

fn value(head: &[u8], from: usize, end: usize) -> Range<usize> {
    if head.get(from) == Some(&b'"') && from < end {
        return quoted(head, from + 1, end);
    }
    let length = head[from..end].iter().position(|byte| *byte == b';').unwrap_or(end - from);
    from..from + head[from..from + length].trim_ascii_end().len()
}

fn quoted(head: &[u8], from: usize, end: usize) -> Range<usize> {
    let mut at = from;
    while at < end && head[at] != b'"' {
        at += if head[at] == b'\\' { 2 } else { 1 };
    }
    from..at.min(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file_name_of(head: &str) -> Option<String> {
        file_name(head.as_bytes()).map(|range| head[range].to_owned())
    }

    #[test]
    fn parameters_are_read_as_browsers_and_curl_send_them() {
        let head = "Content-Disposition: form-data; name=\"audio\"; filename=\"my; \\\"song\\\".webm\"\r\nContent-Type: audio/webm;codecs=opus\r\n";
        assert_eq!(name(head.as_bytes()).as_deref(), Some("audio"));
        assert_eq!(file_name_of(head).as_deref(), Some("my; \\\"song\\\".webm"));
        assert_eq!(content_type(head.as_bytes()).as_deref(), Some("audio/webm;codecs=opus"));
        assert_eq!(
            file_name_of("content-disposition: form-data;name=a ; filename=b.mp3\r\n").as_deref(),
            Some("b.mp3")
        );
        assert_eq!(file_name_of("Content-Disposition: form-data; name=\"filename\"\r\n"), None);
    }

    #[test]
    fn the_stem_of_a_file_name_is_masked_at_its_length() {
        let head = "Content-Disposition: form-data; name=\"audio\"; filename=\"anna-meier.webm\"\r\n";
        let masked = masked(head.as_bytes());
        assert_eq!(masked, head.replace("anna-meier", "xxxxxxxxxx"));
        assert_eq!(extension(b"take.1.webm").as_deref(), Some("webm"));
        assert_eq!(extension(b"anna.meier"), None, "may be a name");
        assert_eq!(extension(b"no-extension"), None);
        assert_eq!(extension(b"odd.we bm"), None);
    }

    proptest! {
        #[test]
        fn any_head_is_read_without_a_panic(head in "(Content-Disposition:)?[a-z;=\" \\\\*\r\n]{0,60}") {
            let _ = (name(head.as_bytes()), file_name(head.as_bytes()), masked(head.as_bytes()));
        }
    }
}
