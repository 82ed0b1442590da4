//! A sample as a line: the columns of the file. `read.rs` is the way back.

use serde::Serialize;

use crate::measure::{ClientStage, ErrorClass, Outcome, Sample};

/// Instants are nanoseconds from the start of the run. What did not happen is empty.
#[derive(Debug, Serialize)]
pub(super) struct Row<'a> {
    route: &'a str,
    clone: usize,
    step: usize,
    intended_ns: u64,
    /// When it could have gone out.
    ready_ns: u64,
    /// A part of ready − intended.
    dependency_ns: u64,
    /// How long its connection took to open.
    connect_ns: Option<u64>,
    sent_ns: Option<u64>,
    /// When its last attempt went out, where there were several: what follows is of that one.
    resent_ns: Option<u64>,
    body_done_ns: Option<u64>,
    first_byte_ns: Option<u64>,
    /// Done, or failed.
    ended_ns: u64,
    status: Option<u16>,
    failed: bool,
    error: Option<&'static str>,
    error_stage: Option<&'static str>,
    body_bytes: u64,
    sent_bytes: u64,
    received_bytes: u64,
    held_bytes: Option<u64>,
}

impl<'a> Row<'a> {
    pub(super) fn of(sample: &Sample, route: &'a str) -> Self {
        let (status, failure) = match sample.outcome {
            Outcome::Answered { status, .. } => (Some(status), None),
            Outcome::Failed(failure) => (None, Some(failure)),
        };
        Self {
            route,
            clone: sample.clone,
            step: sample.step,
            intended_ns: sample.intended_ns,
            ready_ns: sample.ready_ns,
            dependency_ns: sample.dependency_ns,
            connect_ns: sample.connect_ns,
            sent_ns: sample.sent_ns,
            resent_ns: sample.resent_ns,
            body_done_ns: sample.body_done_ns,
            first_byte_ns: sample.first_byte_ns,
            ended_ns: sample.ended_ns,
            status,
            failed: sample.outcome.is_failed(),
            error: failure.map(|failure| ErrorClass::name(failure.class)),
            error_stage: failure.and_then(|failure| failure.stage).map(ClientStage::name),
            body_bytes: sample.upload.body_bytes,
            sent_bytes: sample.traffic.sent_bytes,
            received_bytes: sample.traffic.received_bytes,
            held_bytes: sample.held_bytes,
        }
    }
}
