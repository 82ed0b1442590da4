//! `Server-Timing`: how long each stage of a request took, waiting included, in milliseconds.

use std::fmt::Write as _;
use std::time::Duration;

use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};

use super::refusal::Refusal;

const HEADER: &str = "server-timing";

/// Durations of the stages that ran.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct StageTimes {
    /// Token or password check, with the wait for a pool connection.
    pub(crate) auth: Option<Duration>,
    /// Object-store call, with the wait for a slot.
    pub(crate) store: Option<Duration>,
    /// Reads and writes of the request itself, with the wait for a pool connection.
    pub(crate) db: Option<Duration>,
}

impl StageTimes {
    /// The answer with these times on it, granted or refused.
    pub(crate) fn stamp(self, answer: Result<Response, Refusal>) -> Response {
        let mut response = answer.unwrap_or_else(IntoResponse::into_response);
        if let Ok(value) = HeaderValue::from_str(&self.header())
            && !value.is_empty()
        {
            response.headers_mut().insert(HEADER, value);
        }
        response
    }

    fn header(self) -> String {
        let mut text = String::new();
        for (name, took) in [("auth", self.auth), ("store", self.store), ("db", self.db)] {
            let Some(took) = took else { continue };
            let comma = if text.is_empty() { "" } else { ", " };
            write!(text, "{comma}{name};dur={:.3}", took.as_secs_f64() * 1000.0)
                .expect("writing to a String cannot fail");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_stages_that_ran_are_listed() {
        let times = StageTimes { auth: Some(Duration::from_micros(48_250)), store: None, db: None };
        assert_eq!(times.header(), "auth;dur=48.250");
        let times = StageTimes { db: Some(Duration::from_millis(96)), ..times };
        assert_eq!(times.header(), "auth;dur=48.250, db;dur=96.000");
        assert_eq!(StageTimes::default().header(), "");
    }
}
