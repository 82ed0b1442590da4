//! Clients of another make.

use std::process::{Command, Output};

use crate::backend::answering;
use crate::proxy::Proxy;

fn curl(arguments: &[&str]) -> Output {
    let output =
        Command::new("curl").args(["--silent", "--show-error", "--max-time", "20"]).args(arguments).output();
    output.expect("this test needs curl: apt-get install curl")
}

/// curl sends `Expect: 100-continue` with bodies over 1 MB and waits a second when nobody answers it.
#[test]
fn curl_uploads_2_mb_with_expect_and_is_recorded_to_the_byte() {
    let backend = answering("{\"stored\":true}");
    let proxy = Proxy::start(backend.address);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("take.webm");
    std::fs::write(&file, vec![0x1A; 2_000_000]).unwrap();
    let audio = format!("audio=@{};type=audio/webm", file.display());
    let url = format!("http://{}/api/upload", proxy.address);
    let output = curl(&["-F", "activity_id=7", "-F", &audio, "-H", "Expect: 100-continue", &url]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "{\"stored\":true}",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let received = backend.received.recv().unwrap();
    assert!(!received.head.to_ascii_lowercase().contains("expect:"), "{}", received.head);
    let exchange = proxy.stop().exchange();
    assert_eq!(exchange.files().map(|file| file.bytes).collect::<Vec<_>>(), [2_000_000]);
    assert_eq!(exchange.request_body_bytes, received.body.len() as u64);
    assert!(exchange.instants.done_us.unwrap() < 1_000_000, "curl did not wait for 100 Continue in vain");
}

#[test]
fn curl_uploads_chunked_and_is_recorded_to_the_byte() {
    let backend = answering("{}");
    let proxy = Proxy::start(backend.address);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("take.webm");
    std::fs::write(&file, vec![0x1A; 300_000]).unwrap();
    let audio = format!("audio=@{};type=audio/webm", file.display());
    let url = format!("http://{}/api/upload", proxy.address);
    let output = curl(&["-F", &audio, "-H", "Transfer-Encoding: chunked", &url]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let received = backend.received.recv().unwrap();
    let exchange = proxy.stop().exchange();
    assert_eq!(exchange.files().map(|file| file.bytes).collect::<Vec<_>>(), [300_000]);
    assert_eq!(exchange.request_body_bytes, received.body.len() as u64);
}
