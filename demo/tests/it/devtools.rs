//! The browser's developer tools, as its own network panel uses them: a session of a page is recorded.
//! Protocol: <https://chromedevtools.github.io/devtools-protocol/>.

use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

/// No answer and no event of these tests takes longer.
const DEADLINE: Duration = Duration::from_secs(90);
/// Bytes of bodies that the browser keeps for us.
const BUFFER_BYTES: u64 = 50_000_000;

/// A page's developer tools; every event is kept.
pub(crate) struct DevTools {
    socket: WebSocket<TcpStream>,
    next_id: u64,
    pub(crate) events: Vec<Value>,
}

impl DevTools {
    /// `url` is the page's `webSocketDebuggerUrl`. Records from here on.
    pub(crate) fn attach(url: &str) -> Self {
        let addr = url.strip_prefix("ws://").unwrap().split('/').next().unwrap();
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let (socket, _) = tungstenite::client(url, stream).unwrap();
        let mut tools = Self { socket, next_id: 1, events: Vec::new() };
        tools.call("Page.enable", &json!({})).unwrap();
        let bounds = json!({
            "maxTotalBufferSize": BUFFER_BYTES, "maxResourceBufferSize": BUFFER_BYTES, "maxPostDataSize": BUFFER_BYTES
        });
        tools.call("Network.enable", &bounds).unwrap();
        tools
    }

    /// The result of a method, or its error.
    pub(crate) fn call(&mut self, method: &str, params: &Value) -> Result<Value, Value> {
        let id = self.next_id;
        self.next_id += 1;
        let request = json!({"id": id, "method": method, "params": params}).to_string();
        self.socket.send(Message::text(request)).unwrap();
        loop {
            let mut message = self.message();
            if message["id"] != id {
                self.events.push(message);
            } else if message["error"].is_null() {
                return Ok(message["result"].take());
            } else {
                return Err(message["error"].take());
            }
        }
    }

    /// Opens a page and waits until it is loaded.
    pub(crate) fn open(&mut self, url: &str) {
        self.call("Page.navigate", &json!({"url": url})).unwrap();
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.message();
            self.events.push(event);
        }
    }

    /// The value of a JavaScript expression; of a promise, what it comes to.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let result = self.call("Runtime.evaluate", &params).unwrap();
        assert!(result["exceptionDetails"].is_null(), "{result}");
        result["result"]["value"].clone()
    }

    /// Waits until every request that was answered has also ended.
    pub(crate) fn settle(&mut self) {
        while self.are_open() {
            let event = self.message();
            self.events.push(event);
        }
    }

    fn are_open(&self) -> bool {
        let ids = |method: &'static str| {
            let events = self.events.iter().filter(move |event| event["method"] == method);
            events.map(|event| event["params"]["requestId"].as_str().unwrap().to_owned())
        };
        let ended: Vec<String> = ids("Network.loadingFinished").chain(ids("Network.loadingFailed")).collect();
        ids("Network.responseReceived").any(|id| !ended.contains(&id))
    }

    fn message(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.socket.read().expect("an event of the browser in time") {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }
}
