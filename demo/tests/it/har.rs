//! A browser's session as HAR 1.2, made of the events of its developer tools as the network panel's export
//! and `chrome-har` make it.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::devtools::DevTools;

/// All that the browser sent and got since the tools were attached.
pub(crate) fn export(tools: &mut DevTools) -> Value {
    let events = std::mem::take(&mut tools.events);
    let sent: Vec<&Value> = of(&events, "Network.requestWillBeSent").collect();
    let entries: Vec<Value> = sent.into_iter().filter_map(|sent| entry(tools, &events, sent)).collect();
    json!({"log": {
        "version": "1.2", "creator": {"name": "WebInspector", "version": "537.36"}, "pages": [], "entries": entries
    }})
}

fn of<'a>(events: &'a [Value], method: &'static str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| event["method"] == method).map(|event| &event["params"])
}

fn same<'a>(events: &'a [Value], method: &'static str, sent: &Value) -> Option<&'a Value> {
    let id = sent["requestId"].clone();
    of(events, method).find(move |event| event["requestId"] == id)
}

/// `None` for a request that was never answered.
fn entry(tools: &mut DevTools, events: &[Value], sent: &Value) -> Option<Value> {
    let received = &same(events, "Network.responseReceived", sent)?["response"];
    let ended = same(events, "Network.loadingFinished", sent)?;
    let timings = timings(sent, received, ended);
    let ms: f64 = timings
        .as_object()?
        .iter()
        .filter(|(name, _)| *name != "ssl")
        .filter_map(|(_, ms)| ms.as_f64())
        .filter(|ms| *ms > 0.0)
        .sum();
    Some(json!({
        "startedDateTime": started(sent["wallTime"].as_f64()?),
        "time": ms,
        "timings": timings,
        "request": request(tools, events, sent, received),
        "response": response(tools, events, sent, received, ended),
        "cache": {},
        "connection": received["connectionId"].to_string(),
        "serverIPAddress": received["remoteIPAddress"],
        "_resourceType": sent["type"].as_str().unwrap_or_default().to_ascii_lowercase(),
        "_fromCache": if received["fromDiskCache"] == true { json!("disk") } else { Value::Null },
    }))
}

fn started(wall_s: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "seconds since 1970 in milliseconds")]
    let wall_ms = (wall_s * 1000.0) as i128;
    OffsetDateTime::from_unix_timestamp_nanos(wall_ms * 1_000_000).unwrap().format(&Rfc3339).unwrap()
}

/// The phases of `Network.ResourceTiming`, ms; -1: does not apply.
fn timings(sent: &Value, received: &Value, ended: &Value) -> Value {
    let timing = &received["timing"];
    if timing.is_null() {
        // Never on a wire: `data:`.
        return json!({"blocked": 0, "dns": -1, "connect": -1, "ssl": -1, "send": 0, "wait": 0, "receive": 0});
    }
    let at = |name: &str| timing[name].as_f64().filter(|ms| *ms >= 0.0);
    let phase = |from: &str, to: &str| {
        at(from).and_then(|from| Some(at(to)? - from)).map_or(json!(-1), |ms| json!(ms))
    };
    let seconds = |value: &Value| value.as_f64().unwrap();
    let begins = ["dnsStart", "connectStart", "sendStart"].into_iter().find_map(at).unwrap_or_default();
    let queued_ms = (seconds(&timing["requestTime"]) - seconds(&sent["timestamp"])) * 1000.0;
    let received_ms = (seconds(&ended["timestamp"]) - seconds(&timing["requestTime"])) * 1000.0;
    json!({
        "blocked": (queued_ms + begins).max(0.0),
        "dns": phase("dnsStart", "dnsEnd"),
        "connect": phase("connectStart", "connectEnd"),
        "ssl": phase("sslStart", "sslEnd"),
        "send": phase("sendStart", "sendEnd"),
        "wait": phase("sendEnd", "receiveHeadersEnd"),
        "receive": (received_ms - at("receiveHeadersEnd").unwrap()).max(0.0),
    })
}

fn request(tools: &mut DevTools, events: &[Value], sent: &Value, received: &Value) -> Value {
    let plain = &sent["request"];
    let raw = same(events, "Network.requestWillBeSentExtraInfo", sent).map(|extra| &extra["headers"]);
    let headers = headers(raw.unwrap_or(&plain["headers"]));
    let mut request = Map::from_iter([
        ("method".to_owned(), plain["method"].clone()),
        ("url".to_owned(), plain["url"].clone()),
        ("httpVersion".to_owned(), received["protocol"].clone()),
        ("queryString".to_owned(), json!([])),
        ("cookies".to_owned(), json!([])),
        ("headersSize".to_owned(), json!(-1)),
        ("bodySize".to_owned(), json!(if plain["hasPostData"] == true { -1 } else { 0 })),
    ]);
    if plain["hasPostData"] == true {
        let posted = tools.call("Network.getRequestPostData", &json!({"requestId": sent["requestId"]}));
        let mime_type = header(&headers, "content-type").unwrap_or_default();
        let posted = posted.unwrap_or_default();
        let mut data =
            json!({"mimeType": mime_type, "text": posted["postData"].as_str().unwrap_or_default()});
        if posted["base64Encoded"] == true {
            data["encoding"] = json!("base64");
        }
        request.insert("postData".to_owned(), data);
    }
    request.insert("headers".to_owned(), headers);
    request.into()
}

fn response(tools: &mut DevTools, events: &[Value], sent: &Value, received: &Value, ended: &Value) -> Value {
    let raw = same(events, "Network.responseReceivedExtraInfo", sent).map(|extra| &extra["headers"]);
    let body =
        tools.call("Network.getResponseBody", &json!({"requestId": sent["requestId"]})).unwrap_or_default();
    let text = body["body"].as_str().unwrap_or_default();
    let mut content = json!({"size": text.len(), "mimeType": received["mimeType"], "text": text});
    if body["base64Encoded"] == true {
        content["encoding"] = json!("base64");
    }
    json!({
        "status": received["status"],
        "statusText": received["statusText"],
        "httpVersion": received["protocol"],
        "headers": headers(raw.unwrap_or(&received["headers"])),
        "cookies": [],
        "content": content,
        "redirectURL": "",
        "headersSize": -1,
        "bodySize": -1,
        "_transferSize": ended["encodedDataLength"],
    })
}

fn headers(object: &Value) -> Value {
    let pairs = object.as_object().unwrap().iter();
    pairs.map(|(name, value)| json!({"name": name, "value": value})).collect()
}

fn header<'a>(headers: &'a Value, name: &str) -> Option<&'a str> {
    let found =
        headers.as_array()?.iter().find(|header| header["name"].as_str().unwrap().eq_ignore_ascii_case(name));
    found?["value"].as_str()
}
