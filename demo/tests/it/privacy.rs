//! Nothing secret reaches the disk: classroom traffic with secrets of many kinds planted in it, through the real proxy,
//! searched as an attacker would, and as good for a replay as without them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Instant;

use kingtide_common::capture::{Capture, CaptureWriter, Rotation, WriterOptions};
use kingtide_common::exchange::Record;
use kingtide_common::ledger::Ledger;
use serde_json::Value;

use crate::journey::{STUDENTS, kingtide, recorded_with, replayed_capture, service, text};
use crate::school::school;

/// A request with secrets in it, and each text that must be nowhere afterwards.
struct Planted {
    request: Vec<u8>,
    secrets: Vec<&'static str>,
}

fn get(target: &str, headers: &str, secrets: &[&'static str]) -> Planted {
    let request =
        format!("GET {target} HTTP/1.1\r\nHost: planted.example\r\nConnection: close\r\n{headers}\r\n");
    Planted { request: request.into_bytes(), secrets: secrets.to_vec() }
}

fn post(content_type: &str, body: &[u8], secrets: &[&'static str]) -> Planted {
    let head = format!(
        "POST /planted/body HTTP/1.1\r\nHost: planted.example\r\nConnection: close\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    Planted { request: [head.as_bytes(), body].concat(), secrets: secrets.to_vec() }
}

fn json(body: &str, secrets: &[&'static str]) -> Planted {
    post("application/json", body.as_bytes(), secrets)
}

fn form(body: &str, secrets: &[&'static str]) -> Planted {
    post("application/x-www-form-urlencoded", body.as_bytes(), secrets)
}

fn multipart(head: &str, content: &str, secrets: &[&'static str]) -> Planted {
    let body = format!("--bnd\r\n{head}\r\n\r\n{content}\r\n--bnd--\r\n");
    post("multipart/form-data; boundary=bnd", body.as_bytes(), secrets)
}

fn in_heads() -> Vec<Planted> {
    vec![
        get("/planted/1", "Authorization: Bearer plantedbearer01\r\n", &["plantedbearer01"]),
        get("/planted/2", "Authorization: plantednoscheme02\r\n", &["plantednoscheme02"]),
        get(
            "/planted/3",
            "Authorization: Basic cGxhbnRlZDpiYXNpYzAz\r\n",
            &["cGxhbnRlZDpiYXNpYzAz", "basic03"],
        ),
        get(
            "/planted/4",
            "Authorization: Digest username=\"planteduser04\", response=\"planteddigest04\"\r\n",
            &["planteduser04", "planteddigest04"],
        ),
        get(
            "/planted/5",
            "Cookie: theme=plantedtheme05; sid=plantedcookie05\r\n",
            &["plantedtheme05", "plantedcookie05"],
        ),
        get("/planted/6", "X-Api-Key: plantedapikey06\r\n", &["plantedapikey06"]),
        get("/planted/7", "X-Vault-Token: plantedvault07\r\n", &["plantedvault07"]),
        get("/planted/8?a=1&token=plantedquery08&b=2", "", &["plantedquery08"]),
        get("/planted/9?pass%77ord=plantedname09", "", &["plantedname09"]),
        get(
            "/planted/10",
            "Referer: https://u:planteduserinfo10@x.example/y?code=plantedreferer10\r\n",
            &["planteduserinfo10", "plantedreferer10"],
        ),
        get("/planted/reset/planted11reset", "", &["planted11reset"]),
        get("/planted/12;jsessionid=plantedmatrix12/x", "", &["plantedmatrix12"]),
        get(
            "/planted/eyJhbGciOiJIUzI1NiJ9.eyJwbGFudGVkIjoxM30.c2ln",
            "",
            &["eyJhbGciOiJIUzI1NiJ9", "eyJwbGFudGVkIjoxM30"],
        ),
        get("/planted/planted14%40school.example", "X-planted14@school.example: 1\r\n", &["planted14"]),
        get("/planted/15", "X-Forwarded-For: 203.0.113.15\r\nX-Real-Ip: 203.0.113.15\r\n", &["203.0.113.15"]),
        get("/planted/16?next=%2Fcb%3Fcode%3Dplantednested16", "", &["plantednested16"]),
        get("/planted/17?filter=%7B%22password%22%3A%22plantedfilter17%22%7D", "", &["plantedfilter17"]),
        get("/planted/18", "Sec-WebSocket-Protocol: bearer, plantedprotocol18\r\n", &["plantedprotocol18"]),
    ]
}

fn in_bodies() -> Vec<Planted> {
    let key = r"-----BEGIN PRIVATE KEY-----\nMIIEvPlantedKey19\n-----END PRIVATE KEY-----";
    vec![
        json(&format!(r#"{{"note":"{key}"}}"#), &["MIIEvPlantedKey19", "BEGIN PRIVATE"]),
        json(r#"{"a":[{"b":{"password":"plantedjson20"}}],"otp":90210202}"#, &["plantedjson20", "90210202"]),
        json(r#"{"payload":"{\"api_key\":\"plantedstring21\"}"}"#, &["plantedstring21"]),
        json(r#"[{"name":"password","value":"plantedpair22"}]"#, &["plantedpair22"]),
        json(r#"{"tokens":{"planted23key":true}}"#, &["planted23key"]),
        json(
            r#"{"text":"call +49 30 24242424 or 4111 1111 1111 1111","n":5555555555554444}"#,
            &["24242424", "4111 1111", "5555555555554444"],
        ),
        json(
            r#"{"x":"wJalrXUtnFEMI7K7MDENGbPxRfiCYEX4MPL25KEY"}"#,
            &["wJalrXUtnFEMI7K7MDENGbPxRfiCYEX4MPL25KEY"],
        ),
        json(r#"{"url":"https://s3.example/k?X-Amz-Signature=plantedsigned26"}"#, &["plantedsigned26"]),
        json(
            r#"{"log":"used ghp_16C7e42F292c6912E7710c838347Ae178B4a today"}"#,
            &["ghp_16C7e42F292c6912E7710c838347Ae178B4a"],
        ),
        json("{\"password\":\"plantedbroken28\"", &["plantedbroken28"]),
        form(
            "user%5Bpassword%5D=plantedform29&iban=DE89370400440532013000",
            &["plantedform29", "DE89370400440532013000"],
        ),
        form(r#"{"password":"plantedcurl30"}"#, &["plantedcurl30"]),
        post("application/x-www-form-urlencoded", b"password=planted\xff31latin", &["31latin"]),
        post("text/plain", br#"{"password":"plantedplain32"}"#, &["plantedplain32"]),
        multipart("Content-Disposition: form-data; name=\"pin\"", "plantedpart33", &["plantedpart33"]),
        multipart(
            "Content-Disposition: form-data; name=\"f\"; filename=\"planted34.webm\"\r\nContent-Description: of planted34\r\nContent-Type: audio/webm",
            "plantedcontent34",
            &["planted34", "plantedcontent34"],
        ),
        multipart(
            "Content-Disposition: form-data; name=\"f\"\r\nContent-Type: image/png",
            "plantedimage35",
            &["plantedimage35"],
        ),
        multipart(
            "Content-Disposition: form-data; name=\"f\"\r\nContent-Type: multipart/mixed; boundary=in",
            "--in\r\n\r\nplantedinner36\r\n--in--",
            &["plantedinner36"],
        ),
        multipart(
            "Content-Disposition: form-data; name=\"note\"\r\nContent-Transfer-Encoding: base64",
            "cGxhbnRlZDM3",
            &["cGxhbnRlZDM3"],
        ),
    ]
}

fn planted() -> Vec<Planted> {
    in_heads().into_iter().chain(in_bodies()).collect()
}

/// Sends a request and waits until its answer is over.
fn send(url: &str, planted: &Planted) {
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    stream.write_all(&planted.request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 "), "{}", String::from_utf8_lossy(&answer));
}

/// Every byte of every file, every record as text, and what the commands print.
async fn everything(capture: &Path) -> Vec<u8> {
    let files = fs::read_dir(capture).unwrap();
    let mut bytes: Vec<u8> = files.flat_map(|file| fs::read(file.unwrap().path()).unwrap()).collect();
    let reading = Capture::open(capture).unwrap().read().unwrap();
    assert_eq!(reading.damage, []);
    bytes.extend(format!("{reading:?}").into_bytes());
    for more in [&["--json"][..], &["--audit"], &["--audit", "--json"]] {
        bytes.extend(kingtide(&[&["inspect", text(capture)], more].concat()).await.stdout);
    }
    bytes
}

/// The capture without the planted requests.
fn without_planted(capture: &Path, into: &Path) -> usize {
    let options = WriterOptions {
        program: "test".to_owned(),
        config_digest: String::new(),
        privacy: "default".to_owned(),
        started_ns: 0,
        rotation: Rotation::default(),
    };
    let mut writer = CaptureWriter::create(into, options).unwrap();
    let mut left_out = 0;
    for exchange in Capture::open(capture).unwrap().read().unwrap().exchanges {
        if exchange.target.starts_with("/planted/") {
            left_out += 1;
        } else {
            writer.push(Record::Exchange(Box::new(exchange)), Instant::now()).unwrap();
        }
    }
    writer.flush(Instant::now()).unwrap();
    writer.close(Ledger::default(), 1).unwrap();
    left_out
}

#[tokio::test(flavor = "multi_thread")]
async fn no_planted_secret_is_on_disk_and_the_replay_is_as_good_as_without_them() {
    let server = school(service()).await;
    let recorded =
        recorded_with(&server, |url| planted().iter().for_each(|planted| send(url, planted))).await;
    let capture = recorded.capture();

    let bytes = everything(&capture).await;
    for secret in planted().into_iter().flat_map(|planted| planted.secrets) {
        let found = memchr::memmem::find(&bytes, secret.as_bytes());
        let around =
            found.map(|at| String::from_utf8_lossy(&bytes[at.saturating_sub(200)..at + 60]).into_owned());
        assert_eq!(around, None, "{secret} is on disk");
    }
    let audit = kingtide(&["inspect", text(&capture), "--audit", "--json"]).await;
    let found: Value = serde_json::from_slice(&audit.stdout).unwrap();
    assert_eq!(
        (audit.status.code(), &found["findings"]),
        (Some(0), &Value::from(Vec::<Value>::new())),
        "{found:#}"
    );

    let classroom = recorded.directory.path().join("classroom");
    assert_eq!(without_planted(&capture, &classroom), planted().len(), "each planted request was recorded");
    let (_, run) = replayed_capture(&recorded, &classroom, &server).await;
    assert_eq!((&run["failed"], &run["bindings"]["unresolved"]), (&0.into(), &0.into()), "{run:#}");
    assert_eq!((&run["sessions_planned"], &run["identities_distinct"]), (&STUDENTS.into(), &STUDENTS.into()));
    let resolved = run["bindings"]["resolved"].as_u64().unwrap();
    assert!(resolved >= 3 * STUDENTS, "a login's identity, a token and an activity each: {resolved}");
    assert_eq!(run["statuses"]["201"], recorded.kept.accepted);
}
