//! On a connection of HTTP/1.1, which carries one exchange at a time: the socket itself marks its wire.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;

use hyper::client::conn::http1::SendRequest;

use super::{Answer, is_reset, read};
use crate::drive::body::ReplayBody;
use crate::drive::request::Prepared;
use crate::drive::timer::PreciseTimer;
use crate::drive::wire::{Marks, Wire};
use crate::measure::ErrorClass;
use crate::sessions::ResponsePlace;

pub(super) async fn exchange(
    sender: &mut SendRequest<Pin<Box<ReplayBody>>>,
    wire: &Wire,
    prepared: &Prepared,
    demands: &[ResponsePlace],
    timer: &PreciseTimer,
) -> Result<Answer, ErrorClass> {
    let mut request = prepared.request(timer);
    let interim = wire.interim();
    hyper::ext::on_informational(&mut request, move |_| interim.store(true, Ordering::Relaxed));
    let answered = match sender.send_request(request).await {
        Ok(response) => {
            wire.head_read();
            read(response, prepared.path(), demands).await
        }
        Err(error) => Err(error),
    };
    answered.map_err(|error| class_of(&error, &wire.marks()))
}

fn class_of(error: &hyper::Error, marks: &Marks) -> ErrorClass {
    match (marks.write_error, io_kind(error)) {
        (_, Some(kind)) if is_reset(kind) => ErrorClass::Reset,
        // The socket had said so when the request was written; reading then only found the end.
        (Some(kind), _) if is_reset(kind) => ErrorClass::Reset,
        (_, Some(io::ErrorKind::UnexpectedEof)) => ErrorClass::ClosedEarly,
        _ if error.is_incomplete_message() || error.is_canceled() || error.is_closed() => {
            ErrorClass::ClosedEarly
        }
        _ if error.is_user() => ErrorClass::Unbuildable,
        (_, Some(kind)) if kind != io::ErrorKind::InvalidData && kind != io::ErrorKind::InvalidInput => {
            ErrorClass::Reset
        }
        _ => ErrorClass::Protocol,
    }
}

fn io_kind(error: &hyper::Error) -> Option<io::ErrorKind> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        source = cause.source();
    }
    None
}
