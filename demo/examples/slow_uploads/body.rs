//! The body of every upload, made once: what differs between the uploads is only when its bytes leave.

use bytes::Bytes;

pub(crate) const BOUNDARY: &str = "----WebKitFormBoundary7MA4YWxkTrZu0gWq";
const TAIL_FRAME_BYTES: usize = "\r\n----\r\n".len();

/// A field and a file as a browser sends them, `bytes` in all.
pub(crate) fn multipart(bytes: usize) -> Bytes {
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"assignment_id\"\r\n\r\n\
         c2f2294e-58d6-4f74-ab74-c97435f66372\r\n\
         --{BOUNDARY}\r\nContent-Disposition: form-data; name=\"audio\"; filename=\"recording.webm\"\r\n\
         Content-Type: audio/webm\r\n\r\n"
    );
    let file_bytes = bytes.saturating_sub(head.len() + BOUNDARY.len() + TAIL_FRAME_BYTES);
    let mut body = head.into_bytes();
    body.extend(noise().take(file_bytes));
    body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    body.into()
}

/// Bytes that do not repeat soon, so that a scan for the boundary meets what recordings have (xorshift64).
fn noise() -> impl Iterator<Item = u8> {
    std::iter::successors(Some(0x9e37_79b9_7f4a_7c15_u64), |&state| {
        let state = state ^ (state << 13);
        let state = state ^ (state >> 7);
        Some(state ^ (state << 17))
    })
    .map(|state| state.to_be_bytes()[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_the_size_asked_for_and_ends_with_its_boundary() {
        let body = multipart(2_000);
        assert_eq!(body.len(), 2_000);
        assert!(body.ends_with(format!("\r\n--{BOUNDARY}--\r\n").as_bytes()));
    }
}
