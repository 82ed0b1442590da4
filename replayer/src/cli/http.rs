//! `--http`: the version of HTTP that is spoken to a target.

use std::time::Duration;

use clap::Args;

use crate::drive::{DriveConfig, Http, Target, TargetError, captured_connections};
use crate::measure::http::Version;
use crate::report::format::counted;
use crate::sessions::Outlines;

/// See the module.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(super) struct HttpArgs {
    /// Which HTTP the connections speak: recorded (each what it spoke in the capture, where the target's TLS offers it;
    /// HTTP/1.1 to a target without TLS), 1.1, or 2 (every one HTTP/2; without TLS by prior knowledge, h2c). What spoke
    /// otherwise than captured is said. Example: --target http://10.0.0.7:8080 --http 2
    #[arg(long, value_enum, value_name = "VERSION", default_value_t)]
    pub(super) http: Http,
}

impl HttpArgs {
    /// The target, if it speaks what it must.
    pub(super) fn spoken_by(self, target: Target, timeout: Duration) -> Result<Target, TargetError> {
        match self.http {
            Http::Http2 => target.speaking_http2(timeout),
            Http::Recorded | Http::Http1 => Ok(target),
        }
    }
}

/// What is known before the run of connections that cannot speak HTTP/2 as captured, in a line.
pub(super) fn foretell(sessions: &Outlines, config: &DriveConfig) -> Option<String> {
    let captured = captured_connections(sessions).http_2;
    if captured == 0 || config.protocols().plays(Version::Http2) == Version::Http2 {
        return None;
    }
    let why = match (config.http, config.target.is_tls()) {
        (Http::Recorded, true) => "the target's TLS does not offer it",
        (Http::Recorded, false) => "if this target without TLS speaks it, say --http 2",
        _ => "as --http says",
    };
    Some(format!("{} captured in HTTP/2, replayed in HTTP/1.1: {why}", counted(captured, "connection")))
}

#[cfg(test)]
mod tests {
    use kingtide_common::exchange::Exchange;
    use tokio::sync::watch;

    use super::*;
    use crate::drive::Stop;
    use crate::sessions::{Session, Step};

    #[test]
    fn what_cannot_be_as_captured_is_said_before_the_run() {
        let exchange = Exchange { http_version: 20, ..Exchange::default() };
        let step = Step { exchange, offset_us: 0, connection: 0, holes: Vec::new() };
        let session = Session { key: String::new(), start_ns: 0, steps: vec![step], orphan: false };
        let sessions: Outlines = [session.clone(), session].into_iter().collect();
        let foretold = |origin: &str, http: Http| {
            let (target, stop) = (Target::resolve(origin).unwrap(), watch::channel(Stop::Run).1);
            let config = DriveConfig { http, ..DriveConfig::new(target, Duration::from_secs(1), stop) };
            foretell(&sessions, &config)
        };
        let said = foretold("http://127.0.0.1:9", Http::Recorded).unwrap();
        assert_eq!(
            said,
            "2 connections captured in HTTP/2, replayed in HTTP/1.1: if this target without TLS speaks it, \
             say --http 2"
        );
        assert!(foretold("https://127.0.0.1:9", Http::Http1).unwrap().ends_with("as --http says"));
        assert_eq!(foretold("https://127.0.0.1:9", Http::Recorded), None, "its TLS may offer it");
        assert_eq!(foretold("http://127.0.0.1:9", Http::Http2), None);
    }
}
