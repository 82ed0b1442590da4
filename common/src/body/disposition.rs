//! The head of a part: its name, and what must not be kept of it (RFC 7578, RFC 2183, RFC 2231).
//!
//! Kept are the field's name, the content type, and of a file name its ending; every other text is masked by `x` at its
//! own length, so that the head keeps its size. Browsers send nothing else.

use std::ops::Range;

/// Header lines of a part that say nothing of a person.
const PLAIN_LINES: [&[u8]; 3] = [b"content-length", b"content-transfer-encoding", b"mime-version"];

/// The `name` parameter of a part's head.
pub(super) fn name(head: &[u8]) -> Option<String> {
    let line = line(head, b"content-disposition")?;
    if let Some(range) = parameter(head, &line, |name| name.eq_ignore_ascii_case(b"name")) {
        return Some(String::from_utf8_lossy(&head[range]).into_owned());
    }
    let range = parameter(head, &line, |name| name.eq_ignore_ascii_case(b"name*"))?;
    let text = String::from_utf8_lossy(&head[range]).into_owned();
    // `UTF-8'en'name`
    Some(crate::redact::percent_decoded(text.rsplit('\'').next().unwrap_or_default()).into_owned())
}

/// Whether a part's content is a file: it has a file name, or a type that is no text of a form.
pub(super) fn is_file(head: &[u8]) -> bool {
    file_name(head).is_some() || content_type(head).is_some_and(|content_type| !is_field_type(&content_type))
}

fn is_field_type(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.is_empty()
        || essence == "text/plain"
        || essence == "application/x-www-form-urlencoded"
        || essence == "application/json"
        || essence.ends_with("+json")
}

/// Whether a part's content is wrapped for mail (`base64`, `quoted-printable`), so that no rule can read it.
pub(super) fn is_wrapped(head: &[u8]) -> bool {
    let coding =
        line(head, b"content-transfer-encoding").map(|line| head[line].trim_ascii().to_ascii_lowercase());
    coding.is_some_and(|coding| !matches!(coding.as_slice(), b"7bit" | b"8bit" | b"binary" | b""))
}

/// Where the file name stands in the head; a part that has one is a file.
pub(super) fn file_name(head: &[u8]) -> Option<Range<usize>> {
    let line = line(head, b"content-disposition")?;
    parameter(head, &line, |name| name.eq_ignore_ascii_case(b"filename"))
        .or_else(|| parameter(head, &line, is_file_name))
}

/// `filename`, `filename*`, and the pieces `filename*0`, `filename*1*` of RFC 2231.
fn is_file_name(name: &[u8]) -> bool {
    const NAME: &[u8] = b"filename";
    let is_it = name.get(..NAME.len()).is_some_and(|start| start.eq_ignore_ascii_case(NAME));
    is_it && name.get(NAME.len()).is_none_or(|byte| *byte == b'*')
}

/// The part's content type.
pub(super) fn content_type(head: &[u8]) -> Option<String> {
    let line = line(head, b"content-type")?;
    Some(String::from_utf8_lossy(&head[line]).trim().to_owned())
}

/// The ending of a file name that the rules know as one. Any other may be part of a person's name.
pub(super) fn extension(file_name: &[u8], is_known: &dyn Fn(&str) -> bool) -> Option<String> {
    let dot = file_name.iter().rposition(|byte| *byte == b'.')?;
    let extension = std::str::from_utf8(&file_name[dot + 1..]).ok()?;
    is_known(extension).then(|| extension.to_owned())
}

/// The head with everything masked that may tell of a person.
pub(super) fn masked(head: &[u8], is_known: &dyn Fn(&str) -> bool) -> String {
    let mut masked = head.to_vec();
    for line in lines(head) {
        match line_name(head, &line) {
            Some((name, value)) if name.eq_ignore_ascii_case(b"content-disposition") => {
                mask_parameters(head, &value, is_known, &mut masked);
            }
            Some((name, value)) if name.eq_ignore_ascii_case(b"content-type") => {
                for (name, value) in parameters(head, &value) {
                    if head[name].to_ascii_lowercase().windows(4).any(|word| word == b"name") {
                        mask(value, &mut masked);
                    }
                }
            }
            Some((name, _)) if PLAIN_LINES.iter().any(|plain| name.eq_ignore_ascii_case(plain)) => {}
            Some((_, value)) => mask(value, &mut masked),
            None => mask(line, &mut masked),
        }
    }
    lossy(masked)
}

/// The value of a `Content-Disposition` header with its file names masked.
pub(crate) fn masked_value(value: &str, is_known: &dyn Fn(&str) -> bool) -> String {
    let mut masked = value.as_bytes().to_vec();
    mask_parameters(value.as_bytes(), &(0..value.len()), is_known, &mut masked);
    lossy(masked)
}

/// The field's name stays, of a file name the ending.
fn mask_parameters(head: &[u8], line: &Range<usize>, is_known: &dyn Fn(&str) -> bool, masked: &mut [u8]) {
    for (name, value) in parameters(head, line) {
        if is_file_name(&head[name.clone()]) {
            let file_name = &head[value.clone()];
            let ending = extension(file_name, is_known).map_or(0, |extension| extension.len() + 1);
            masked[value.start..value.end - ending].fill(b'x');
        } else if !head[name].to_ascii_lowercase().starts_with(b"name") {
            mask(value, masked);
        }
    }
}

fn mask(range: Range<usize>, masked: &mut [u8]) {
    masked[range].iter_mut().filter(|byte| !byte.is_ascii_whitespace()).for_each(|byte| *byte = b'x');
}

/// Header lines without their line ends; a line that begins with a space continues the one before.
fn lines(head: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    let logical = move || {
        let start = (at < head.len()).then_some(at)?;
        let mut end = physical_line(head, &mut at);
        while matches!(head.get(at), Some(b' ' | b'\t')) {
            end = end.max(physical_line(head, &mut at));
        }
        Some(start..end)
    };
    std::iter::from_fn(logical).filter(|line| !line.is_empty())
}

/// Goes past a line; returns where its text ends.
fn physical_line(head: &[u8], at: &mut usize) -> usize {
    let rest = &head[*at..];
    let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |newline| newline + 1);
    let end = *at + rest[..length].trim_ascii_end().len();
    *at += length;
    end
}

/// Name and value of a header line.
fn line_name<'h>(head: &'h [u8], line: &Range<usize>) -> Option<(&'h [u8], Range<usize>)> {
    let colon = head[line.clone()].iter().position(|byte| *byte == b':')? + line.start;
    Some((head[line.start..colon].trim_ascii(), colon + 1..line.end))
}

/// The value of a header line, found without case.
fn line(head: &[u8], name: &[u8]) -> Option<Range<usize>> {
    let mut named = lines(head).filter_map(|line| line_name(head, &line));
    named.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// The value of the first parameter with such a name, without quotes.
fn parameter(head: &[u8], line: &Range<usize>, is_it: impl Fn(&[u8]) -> bool) -> Option<Range<usize>> {
    parameters(head, line).find(|(name, _)| is_it(&head[name.clone()])).map(|(_, value)| value)
}

/// Names and values, without quotes, of the parameters of a header line.
fn parameters<'h>(
    head: &'h [u8],
    line: &Range<usize>,
) -> impl Iterator<Item = (Range<usize>, Range<usize>)> + 'h {
    let (mut at, end) = (line.start, line.end);
    std::iter::from_fn(move || {
        loop {
            let semicolon = memchr::memchr(b';', &head[at..end])?;
            let start = skip_spaces(head, at + semicolon + 1, end);
            let equals = start + memchr::memchr2(b'=', b';', &head[start..end])?;
            if head[equals] == b';' {
                at = equals;
                continue;
            }
            let name = start..start + head[start..equals].trim_ascii_end().len();
            let value = value(head, skip_spaces(head, equals + 1, end), end);
            at = value.end;
            return Some((name, value));
        }
    })
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

/// What is masked keeps its bytes but for ill-formed UTF-8.
fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|ill| String::from_utf8_lossy(ill.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_known(extension: &str) -> bool {
        matches!(extension, "webm" | "mp3")
    }

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
        assert_eq!(
            name(b"Content-Disposition: form-data; name*=UTF-8''pass%77ord\r\n").as_deref(),
            Some("password")
        );
    }

    #[test]
    fn the_stem_of_a_file_name_is_masked_at_its_length() {
        let head = "Content-Disposition: form-data; name=\"audio\"; filename=\"anna-meier.webm\"\r\n";
        assert_eq!(masked(head.as_bytes(), &is_known), head.replace("anna-meier", "xxxxxxxxxx"));
        assert_eq!(extension(b"take.1.webm", &is_known).as_deref(), Some("webm"));
        for file_name in ["anna.meier", "notes.anna", "no-extension", "odd.we bm"] {
            assert_eq!(extension(file_name.as_bytes(), &is_known), None, "may be a name");
        }
    }

    #[test]
    fn nothing_else_of_a_head_tells_of_a_person() {
        for head in [
            "Content-Disposition: form-data; name=\"a\"; filename*=UTF-8''anna.webm\r\n",
            "Content-Disposition: form-data; name=\"a\"; filename*0=\"an\"; filename*1=\"anna.webm\"\r\n",
            "Content-Disposition: form-data; name=\"a\";\r\n filename=\"anna.webm\"\r\n",
            "Content-Disposition : form-data; name=\"a\"; FileName = \"anna.webm\"\r\n",
            "Content-Disposition: form-data; x; filename=\"anna.webm\"; filename=\"anna.mp3\"\r\n",
            "Content-Disposition: form-data; name=\"a\"; owner=anna\r\n",
            "Content-Disposition: form-data; name=\"a\"\r\nContent-Type: audio/webm; name=\"anna.webm\"\r\n",
            "Content-Disposition: form-data; name=\"a\"\r\nContent-ID: <anna@school>\r\nContent-Description: of anna\r\n",
            "Content-Disposition: form-data; name=\"a\"\r\nanna\r\n",
        ] {
            let masked = masked(head.as_bytes(), &is_known);
            assert!(!masked.contains("anna"), "{masked}");
            assert_eq!(masked.len(), head.len());
        }
    }

    #[test]
    fn a_part_of_another_type_than_text_is_a_file_even_without_a_name() {
        let head = |more: &str| format!("Content-Disposition: form-data; name=\"a\"\r\n{more}");
        for file in [
            "Content-Type: image/png\r\n",
            "Content-Type: multipart/mixed; boundary=b\r\n",
            "content-type: text/csv\r\n",
        ] {
            assert!(is_file(head(file).as_bytes()), "{file}");
        }
        for field in ["", "Content-Type: text/plain; charset=utf-8\r\n", "Content-Type: application/json\r\n"]
        {
            assert!(!is_file(head(field).as_bytes()), "{field}");
        }
        assert!(is_wrapped(head("Content-Transfer-Encoding: BASE64\r\n").as_bytes()));
        assert!(!is_wrapped(head("Content-Transfer-Encoding: binary\r\n").as_bytes()));
    }

    proptest! {
        #[test]
        fn any_head_is_read_without_a_panic(head in "(Content-Disposition:)?[a-z;=\" \\\\*\r\n:]{0,60}") {
            let masked = masked(head.as_bytes(), &is_known);
            prop_assert_eq!(masked.len(), head.len());
            let _ = (name(head.as_bytes()), file_name(head.as_bytes()), is_file(head.as_bytes()));
        }
    }
}
