//! Word to a webhook when a run begins, breaches its thresholds, and ends: `{"text": …}`, as Slack takes it and many others.
//!
//! The run never waits for it: words go through a bounded queue to a thread of its own, which gives up on each after a few
//! seconds. What fails is said once on stderr, without the URL: who has it can write into the channel.

mod post;

use std::fmt;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use url::Url;

/// Words that may wait.
const QUEUE_WORDS: usize = 32;
/// At the end what still waits has so long in all.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Where words go; a secret.
#[derive(Clone)]
pub struct Webhook {
    url: Url,
}

/// The thread that sends them; ends, when it is dropped, with what waits.
#[derive(Debug, Default)]
pub struct Alerts {
    sender: Option<SyncSender<String>>,
    thread: Option<JoinHandle<()>>,
    /// By when the last word must be out; unset while the run lasts.
    until: Arc<OnceLock<Instant>>,
    /// Words that the queue had no room for.
    left_out: AtomicU64,
}

impl Webhook {
    /// Of `${NAME}`: the variable holds the URL, which else would stand in a shell's history and in the list of processes.
    pub fn of(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let name = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        let name = name.filter(|name| !name.is_empty()).ok_or_else(|| {
            "a webhook's URL is a secret: export it as a variable, and write its name, '${KINGTIDE_WEBHOOK}', in \
             single quotes"
                .to_owned()
        })?;
        let value = variable(name)
            .ok_or_else(|| format!("the variable {name} is not set: export {name}=https://…"))?;
        let url = Url::parse(value.trim()).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|host| !host.is_empty())
        });
        // The value is not told: it is a secret.
        url.map(|url| Self { url })
            .ok_or_else(|| format!("the variable {name} holds no URL that begins https://"))
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Webhook {{ {}/… }}", self.url.host_str().unwrap_or_default())
    }
}

impl Alerts {
    /// None goes anywhere without a webhook.
    pub fn start(webhook: Option<Webhook>) -> io::Result<Self> {
        let Some(webhook) = webhook else { return Ok(Self::default()) };
        let (sender, words) = sync_channel(QUEUE_WORDS);
        let until = Arc::new(OnceLock::new());
        let is_over = {
            let until = Arc::clone(&until);
            move || until.get().is_some_and(|until| Instant::now() >= *until)
        };
        let thread = thread::Builder::new()
            .name("alerts".to_owned())
            .spawn(move || send(&webhook, &words, is_over))?;
        Ok(Self { sender: Some(sender), thread: Some(thread), until, left_out: AtomicU64::new(0) })
    }

    /// Never waits; what the queue has no room for is left out, and counted.
    pub fn tell(&self, words: &str) {
        let Some(sender) = &self.sender else { return };
        if sender.try_send(format!("kingtide: {words}")).is_err() {
            self.left_out.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Alerts {
    fn drop(&mut self) {
        drop(self.sender.take());
        self.until.get_or_init(|| Instant::now() + LAST_WORDS);
        if let Some(thread) = self.thread.take() {
            // One that has panicked has told so.
            let _ = thread.join();
        }
        let left_out = self.left_out.load(Relaxed);
        if left_out > 0 {
            eprintln!("warning: {left_out} words were too many for the webhook, and were left out");
        }
    }
}

/// Until nobody can send any more. After a failure the rest is tried all the same: a start may fail and the end arrive.
fn send(webhook: &Webhook, words: &Receiver<String>, is_over: impl Fn() -> bool) {
    let mut has_failed = false;
    let mut untold = 0;
    for words in words {
        if is_over() {
            untold += 1;
            continue;
        }
        if let Err(error) = post::post(&webhook.url, &body(&words)) {
            if !has_failed {
                eprintln!(
                    "warning: the webhook at {} did not take a word: {error}; the run goes on",
                    host(webhook)
                );
            }
            has_failed = true;
        }
    }
    if untold > 0 {
        eprintln!("warning: the webhook at {} was too slow: {untold} words were not told", host(webhook));
    }
}

fn host(webhook: &Webhook) -> &str {
    webhook.url.host_str().unwrap_or_default()
}

/// Slack reads `&`, `<` and `>` as its own.
fn body(words: &str) -> String {
    let escaped = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    serde_json::json!({ "text": escaped }).to_string()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    fn webhook(url: &str) -> Webhook {
        Webhook::of("${HOOK}", |_| Some(url.to_owned())).unwrap()
    }

    /// Answers so many posts with a status, and gives their paths and bodies.
    fn server(posts: usize, status: &'static str) -> (String, JoinHandle<Vec<(String, String)>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/services/T0/B0?x=1", listener.local_addr().unwrap());
        let answer = move |_| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                lines.push(line.trim().to_lowercase());
            }
            let length = lines.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let mut body = vec![0; length.parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nok").unwrap();
            (lines[0].clone(), String::from_utf8(body).unwrap())
        };
        (url, thread::spawn(move || (0..posts).map(answer).collect()))
    }

    #[test]
    fn each_word_is_a_post_as_slack_takes_it() {
        let (url, posts) = server(2, "200 OK");
        let alerts = Alerts::start(Some(webhook(&url))).unwrap();
        alerts.tell("begins");
        alerts.tell("p95 <10 s & more");
        drop(alerts);
        assert_eq!(
            posts.join().unwrap(),
            [
                ("post /services/t0/b0?x=1 http/1.1".to_owned(), r#"{"text":"kingtide: begins"}"#.to_owned()),
                (
                    "post /services/t0/b0?x=1 http/1.1".to_owned(),
                    r#"{"text":"kingtide: p95 &lt;10 s &amp; more"}"#.to_owned()
                ),
            ]
        );
    }

    #[test]
    fn one_that_refuses_breaks_nothing() {
        let (url, posts) = server(2, "404 Not Found");
        let alerts = Alerts::start(Some(webhook(&url))).unwrap();
        alerts.tell("begins");
        alerts.tell("ends");
        drop(alerts);
        assert_eq!(posts.join().unwrap().len(), 2, "the second is tried all the same");
        let error = post::post(&webhook("http://127.0.0.1:9/x").url, "{}").unwrap_err();
        assert!(!error.to_string().contains("/x"), "{error}");
        Alerts::start(None).unwrap().tell("nobody hears it");
    }

    #[test]
    fn the_url_comes_from_a_variable_only_and_is_never_told() {
        let of = |text: &str, value: Option<&str>| Webhook::of(text, |_| value.map(str::to_owned));
        for (text, value, part) in [
            ("https://hooks.example/secret", None, "is a secret: export it"),
            ("${}", None, "is a secret: export it"),
            ("${HOOK}", None, "the variable HOOK is not set"),
            ("${HOOK}", Some("hooks.example/secret"), "holds no URL"),
            ("${HOOK}", Some("file:///secret"), "holds no URL"),
        ] {
            let refused = of(text, value).unwrap_err();
            assert!(refused.contains(part) && !refused.contains("example/secret"), "{text}: {refused}");
        }
        let debug = format!("{:?}", of("${HOOK}", Some("https://hooks.example/secret")).unwrap());
        assert_eq!(debug, "Webhook { hooks.example/… }");
    }
}
