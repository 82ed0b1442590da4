//! The one map from what went wrong to what the client is told and what the capture says.

use kingtide_common::exchange::Ending;
use pingora_core::{Error, ErrorSource, ErrorType};

/// No route matches.
pub(crate) const NO_ROUTE: u16 = 404;

/// The status for the client; `None` when it is gone and gets none.
pub(crate) fn status(error: &Error) -> Option<u16> {
    match (ending(error), error.etype()) {
        (_, ErrorType::HTTPStatus(status)) => Some(*status),
        (Ending::UpstreamTimeout, _) => Some(504),
        (Ending::UpstreamReset, _) => Some(502),
        (Ending::ClientTimeout, _) => Some(408),
        (Ending::ClientAbort, kind) => is_bad_request(kind).then_some(400),
        (Ending::EdgeFailure | Ending::Complete, _) => Some(500),
    }
}

/// Whose fault it was.
pub(crate) fn ending(error: &Error) -> Ending {
    let timed_out = matches!(
        error.etype(),
        ErrorType::ReadTimedout
            | ErrorType::WriteTimedout
            | ErrorType::ConnectTimedout
            | ErrorType::TLSHandshakeTimedout
    );
    match (error.esource(), timed_out) {
        (ErrorSource::Upstream, true) => Ending::UpstreamTimeout,
        (ErrorSource::Upstream, false) => Ending::UpstreamReset,
        (ErrorSource::Downstream, true) => Ending::ClientTimeout,
        (ErrorSource::Downstream, false) => Ending::ClientAbort,
        (ErrorSource::Internal | ErrorSource::Unset, _) => Ending::EdgeFailure,
    }
}

/// The client is still there and sent what it must not.
fn is_bad_request(kind: &ErrorType) -> bool {
    !matches!(kind, ErrorType::ReadError | ErrorType::WriteError | ErrorType::ConnectionClosed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_have_the_statuses_of_nginx() {
        let up = |kind| Error::new_up(kind);
        let down = |kind| Error::new_down(kind);
        let cases = [
            (up(ErrorType::ConnectRefused), Some(502), Ending::UpstreamReset),
            (up(ErrorType::ConnectTimedout), Some(504), Ending::UpstreamTimeout),
            (up(ErrorType::ReadTimedout), Some(504), Ending::UpstreamTimeout),
            (up(ErrorType::ConnectionClosed), Some(502), Ending::UpstreamReset),
            (down(ErrorType::ReadTimedout), Some(408), Ending::ClientTimeout),
            (down(ErrorType::ConnectionClosed), None, Ending::ClientAbort),
            (down(ErrorType::InvalidHTTPHeader), Some(400), Ending::ClientAbort),
            (Error::new_in(ErrorType::InternalError), Some(500), Ending::EdgeFailure),
            (Error::new_in(ErrorType::HTTPStatus(404)), Some(404), Ending::EdgeFailure),
        ];
        for (error, expected, end) in cases {
            assert_eq!((status(&error), ending(&error)), (expected, end), "{error}");
        }
    }
}
