//! A real browser: Chromium opens the page, records, and uploads through the proxy.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use classroom::accounts::{Account, account};
use classroom::serve::Health;
use kingtide_common::capture::{Capture, Reading};
use kingtide_common::exchange::{AnsweredBy, Body, Ending, Exchange};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::browser::Browser;
use crate::programs::Proxy;
use crate::school::{UPLOAD, health, login, quick, school, visitor};

/// Where distributions put it in `PATH`; the names that deploy/setup.sh looks for.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// No window, nothing kept, nobody called: every name but the loopback's is unknown.
const FLAGS: [&str; 11] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
];
/// A page may not make sound before a click; this one is let.
pub(crate) const SOUND: &str = "--autoplay-policy=no-user-gesture-required";
const NO_SOUND: &str = "--autoplay-policy=document-user-activation-required";

/// Starting the browser, two seconds of recording, the upload: about 4 s on an idle machine.
const PAGE_DEADLINE: Duration = Duration::from_secs(90);
const PAGE_POLL: Duration = Duration::from_millis(50);

/// A browser with one page; ends with all its processes when dropped.
pub(crate) struct Chromium {
    child: Child,
    profile: TempDir,
}

impl Chromium {
    pub(crate) fn open(page: &str, autoplay: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let child = NAMES.iter().find_map(|name| spawn(name, profile.path(), &[autoplay, page]));
        let child = child.unwrap_or_else(|| {
            panic!(
                "this test needs Chromium ({}); run: deploy/setup.sh test, or: apt-get install chromium",
                NAMES.join(", ")
            )
        });
        Self { child, profile }
    }

    /// What the page made of itself: the JSON that it puts into its title when it is done.
    async fn result(&mut self) -> Value {
        let deadline = Instant::now() + PAGE_DEADLINE;
        loop {
            let title = self.title().await;
            if let Some(result) = title.as_deref().and_then(|title| serde_json::from_str(title).ok()) {
                return result;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "{title:?}; {ended:?}: {}", self.log());
            sleep(PAGE_POLL).await;
        }
    }

    /// Where the page's developer tools are to be had, once there is a page.
    pub(crate) async fn debugger_url(&mut self) -> String {
        let deadline = Instant::now() + PAGE_DEADLINE;
        loop {
            let page = self.page().await;
            if let Some(url) = page.as_ref().and_then(|page| page["webSocketDebuggerUrl"].as_str()) {
                return url.to_owned();
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "{page:?}; {ended:?}: {}", self.log());
            sleep(PAGE_POLL).await;
        }
    }

    /// The title of the page, from the browser's debugging port; `None` while there is neither.
    async fn title(&self) -> Option<String> {
        self.page().await?["title"].as_str().map(unescaped)
    }

    async fn page(&self) -> Option<Value> {
        let port = fs::read_to_string(self.profile.path().join("DevToolsActivePort")).ok()?;
        let (port, _) = port.split_once('\n')?;
        let addr = SocketAddr::from(([127, 0, 0, 1], port.parse().ok()?));
        let targets = Browser { addr, token: None }.get("/json/list").await.json();
        targets.as_array()?.iter().find(|target| target["type"] == "page").cloned()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.profile.path().join("stderr.log")).unwrap_or_default()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Fails when all of them have ended, which is the wish.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// The debugging port answers with titles written for HTML.
fn unescaped(title: &str) -> String {
    let entities = [("&quot;", "\""), ("&#39;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")];
    entities.iter().fold(title.to_owned(), |text, (entity, character)| text.replace(entity, character))
}

/// Starts the program in a process group of its own; `None` when there is no such program.
fn spawn(name: &str, profile: &Path, more: &[&str]) -> Option<Child> {
    let stderr = File::create(profile.join("stderr.log")).unwrap();
    let mut command = Command::new(name);
    command.args(FLAGS).arg(format!("--user-data-dir={}", profile.display())).args(more);
    command
        .env("HOME", profile)
        .env("TMPDIR", profile)
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("XDG_CACHE_HOME");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).process_group(0);
    match command.spawn() {
        Ok(child) => Some(child),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => panic!("{name} does not start: {error}"),
    }
}

/// The page that logs in, records and uploads without a click.
fn automatic_page(base_url: &str, account: &Account) -> String {
    let query = [("email", account.email.as_str()), ("password", &account.password), ("auto", "1")];
    url::Url::parse_with_params(base_url, query).unwrap().into()
}

fn read(capture_dir: &Path) -> Reading {
    let capture = Capture::open(capture_dir).unwrap();
    assert_eq!(capture.manifest().unwrap().ledger().lost(), 0);
    let reading = capture.read().unwrap();
    assert_eq!(reading.damage, []);
    reading
}

/// The only upload of a capture.
fn upload(reading: &Reading) -> &Exchange {
    let mut uploads = reading.exchanges.iter().filter(|exchange| exchange.path() == UPLOAD);
    let upload = uploads.next().expect("an upload");
    assert_eq!(uploads.next(), None);
    upload
}

/// Client, proxy and backend agree on the upload to the byte.
fn assert_all_sides_agree(page: &Value, upload: &Exchange, backend: &Health) {
    assert_eq!((upload.method.as_str(), upload.status), ("POST", Some(201)));
    assert_eq!((upload.answered_by, upload.ending), (AnsweredBy::Upstream, Ending::Complete));
    let files: Vec<_> = upload.files().collect();
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(files[0].content_type.as_deref(), Some("audio/webm;codecs=opus"));
    assert_eq!(files[0].extension.as_deref(), Some("webm"));
    assert_eq!((backend.uploads.accepted, backend.uploads.bytes), (1, files[0].bytes));
    assert_eq!((&page["sent_bytes"], &page["bytes"]), (&files[0].bytes.into(), &files[0].bytes.into()));
}

/// The page's address holds e-mail and password, so every request of the page carries them in `Referer`.
fn assert_secrets_became_fingerprints(reading: &Reading, upload: &Exchange) {
    let referer = upload.request_header("referer").unwrap();
    assert!(referer.contains("email={fp:") && referer.contains("password={fp:"), "{referer}");
    let bearer = upload.request_header("authorization").unwrap().strip_prefix("Bearer ").unwrap();
    assert!(bearer.starts_with("{fp:"), "{bearer}");
    let login = reading.exchanges.iter().find(|exchange| exchange.path() == "/api/auth/login").unwrap();
    let Body::Json(answer) = &login.response_body else { panic!("{:?}", login.response_body) };
    assert!(answer.contains(bearer), "{answer} does not supply {bearer}");
}

/// Neither in the bytes of any file nor, as those are compressed, in anything that reads back from them.
pub(crate) fn assert_absent(capture_dir: &Path, reading: &Reading, secrets: &[String]) {
    let mut files = vec![("the exchanges".to_owned(), format!("{reading:?}"))];
    for file in fs::read_dir(capture_dir).unwrap() {
        let path = file.unwrap().path();
        let content = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        files.push((path.display().to_string(), content));
    }
    assert!(files.len() > 2, "{files:?}");
    for (name, content) in &files {
        let found: Vec<_> = secrets.iter().filter(|secret| content.contains(*secret)).collect();
        assert!(found.is_empty(), "{name} holds {found:?}");
    }
}

/// What no capture of this account's visit may hold; of its tokens the head, which all tokens share.
pub(crate) async fn secrets(browser: &Browser, account: &Account) -> Vec<String> {
    let answer = login(browser, &account.email, &account.password).await.json();
    let token = answer["access_token"].as_str().unwrap();
    let (head, _) = token.split_once('.').expect("a JWT");
    let (user, _) = account.email.split_once('@').unwrap();
    vec![head.to_owned(), user.to_owned(), account.email.clone(), account.password.clone()]
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_records_and_uploads_through_the_proxy_and_is_recorded_to_the_byte() {
    let server = school(quick()).await;
    let directory = tempfile::tempdir().unwrap();
    let capture_dir = directory.path().join("capture");
    let proxy = Proxy::start(&server.base_url(), &capture_dir);
    let account = account(1, 3);
    let mut chromium = Chromium::open(&automatic_page(&proxy.url, &account), SOUND);
    let page = chromium.result().await;
    drop(chromium);
    assert_eq!((&page["source"], &page["status"]), (&"recorder".into(), &201.into()), "{page}");
    let audio_s = page["audio_s"].as_f64().expect("Chromium decodes what it recorded");
    assert!((1.5..10.0).contains(&audio_s), "two seconds, or more on a busy machine: {page}");

    proxy.stop();
    let reading = read(&capture_dir);
    let upload = upload(&reading);
    assert_all_sides_agree(&page, upload, &health(&server).await);
    assert_secrets_became_fingerprints(&reading, upload);
    assert_absent(&capture_dir, &reading, &secrets(&visitor(&server), &account).await);
}

#[tokio::test]
async fn a_browser_that_cannot_record_uploads_the_sample_which_it_can_play() {
    let server = school(quick()).await;
    let mut chromium = Chromium::open(&automatic_page(&server.base_url(), &account(1, 4)), NO_SOUND);
    let page = chromium.result().await;
    assert_eq!((&page["source"], &page["status"]), (&"sample".into(), &201.into()), "{page}");
    assert_eq!(page["sample_because"], "the browser makes no sound before a click");
    assert_eq!((&page["sent_bytes"], health(&server).await.uploads.bytes), (&60_000.into(), 60_000));
    assert!(page["audio_s"].as_f64().is_some_and(|audio_s| audio_s > 1.0), "{page}");
}
