//! Word to a webhook when a run begins, breaches its thresholds, and ends: `{"text": …}`, as Slack takes it and many others.
//!
//! The run never waits for it: words go through a bounded queue to a thread of its own, which gives up on each after a few
//! seconds. What fails is said once on stderr, without the URL: who has it can write into the channel.

mod post;

use std::fmt;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use url::Url;

/// Words that may wait.
const QUEUE_WORDS: usize = 32;

/// Where words go; a secret.
#[derive(Clone)]
pub struct Webhook {
    url: Url,
}

/// The thread that sends them; ends, when it is dropped, with what waits.
#[derive(Debug)]
pub struct Alerts {
    sender: Option<SyncSender<String>>,
    thread: Option<JoinHandle<()>>,
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
        let Some(webhook) = webhook else { return Ok(Self { sender: None, thread: None }) };
        let (sender, words) = sync_channel(QUEUE_WORDS);
        let thread =
            thread::Builder::new().name("alerts".to_owned()).spawn(move || send(&webhook, &words))?;
        Ok(Self { sender: Some(sender), thread: Some(thread) })
    }

    /// Never waits; what the queue has no room for is left out.
    pub fn tell(&self, words: &str) {
        if let Some(sender) = &self.sender {
            let _ = sender.try_send(format!("kingtide: {words}"));
        }
    }
}

impl Drop for Alerts {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take() {
            // One that has panicked has told so.
            let _ = thread.join();
        }
    }
}

/// Until nobody can send any more. After a failure the rest is tried all the same: a start may fail and the end arrive.
fn send(webhook: &Webhook, words: &Receiver<String>) {
    let mut has_failed = false;
    for words in words {
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
