//! The stages of an exchange: which instants the proxy keeps and which durations follow from them.
//!
//! Instants are kept, durations derived, so that no stage can disagree with another. The names and
//! what each is like in Nginx and HAProxy stand in ARCHITECTURE.md, "Stages".

use serde::{Deserialize, Serialize};

/// Instants of one exchange, in microseconds since the first byte of its request; `None` = never reached.
///
/// All come from one monotonic clock. They are not forced into order: a backend may answer before
/// the upload ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Instants {
    /// Request headers complete.
    pub head_done_us: Option<u64>,
    /// First byte of the request body.
    pub body_first_us: Option<u64>,
    /// Last byte of the request body received (equal to `head_done_us` for an empty body).
    pub body_done_us: Option<u64>,
    /// An upstream peer was picked.
    pub upstream_pick_us: Option<u64>,
    /// Connection to the peer is up, new or from the pool.
    pub upstream_connected_us: Option<u64>,
    /// Request headers handed to the upstream.
    pub upstream_send_first_us: Option<u64>,
    /// Last request byte handed to the upstream.
    pub upstream_send_last_us: Option<u64>,
    /// Final response headers complete.
    pub response_head_us: Option<u64>,
    /// Last response byte from the upstream.
    pub response_last_us: Option<u64>,
    /// First response byte handed to the client.
    pub client_send_first_us: Option<u64>,
    /// Last response byte handed to the client.
    pub client_send_last_us: Option<u64>,
    /// The exchange is over, complete or broken off.
    pub done_us: Option<u64>,
}

impl Instants {
    /// In the order in which requests pass through them.
    pub const NAMES: [&str; 12] = [
        "head_done_us",
        "body_first_us",
        "body_done_us",
        "upstream_pick_us",
        "upstream_connected_us",
        "upstream_send_first_us",
        "upstream_send_last_us",
        "response_head_us",
        "response_last_us",
        "client_send_first_us",
        "client_send_last_us",
        "done_us",
    ];

    /// In the order of [`Self::NAMES`].
    pub fn values(&self) -> [Option<u64>; Self::NAMES.len()] {
        [
            self.head_done_us,
            self.body_first_us,
            self.body_done_us,
            self.upstream_pick_us,
            self.upstream_connected_us,
            self.upstream_send_first_us,
            self.upstream_send_last_us,
            self.response_head_us,
            self.response_last_us,
            self.client_send_first_us,
            self.client_send_last_us,
            self.done_us,
        ]
    }
}

/// In the order of [`Instants::NAMES`].
impl From<[Option<u64>; Instants::NAMES.len()]> for Instants {
    fn from(values: [Option<u64>; Self::NAMES.len()]) -> Self {
        let [
            head_done_us,
            body_first_us,
            body_done_us,
            upstream_pick_us,
            upstream_connected_us,
            upstream_send_first_us,
            upstream_send_last_us,
            response_head_us,
            response_last_us,
            client_send_first_us,
            client_send_last_us,
            done_us,
        ] = values;
        Self {
            head_done_us,
            body_first_us,
            body_done_us,
            upstream_pick_us,
            upstream_connected_us,
            upstream_send_first_us,
            upstream_send_last_us,
            response_head_us,
            response_last_us,
            client_send_first_us,
            client_send_last_us,
            done_us,
        }
    }
}

/// A stage of an exchange, in the order in which requests pass through them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Tls,
    RequestHead,
    RequestBody,
    UpstreamConnect,
    UpstreamSend,
    UpstreamWait,
    ResponseBody,
    ClientSend,
    Total,
}

impl Stage {
    pub const ALL: [Self; 9] = [
        Self::Tls,
        Self::RequestHead,
        Self::RequestBody,
        Self::UpstreamConnect,
        Self::UpstreamSend,
        Self::UpstreamWait,
        Self::ResponseBody,
        Self::ClientSend,
        Self::Total,
    ];

    /// The stage's name in reports, metrics and the capture.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::RequestHead => "request_head",
            Self::RequestBody => "request_body",
            Self::UpstreamConnect => "upstream_connect",
            Self::UpstreamSend => "upstream_send",
            Self::UpstreamWait => "upstream_wait",
            Self::ResponseBody => "response_body",
            Self::ClientSend => "client_send",
            Self::Total => "total",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.name() == name)
    }
}

impl Instants {
    /// Duration of a stage in microseconds; `None` when it did not run to its end.
    ///
    /// `Stage::Tls` belongs to the connection and is not derived here. A stage whose end precedes its
    /// start (an answer before the upload's end) took 0.
    pub fn stage_us(&self, stage: Stage) -> Option<u64> {
        match stage {
            Stage::Tls => None,
            Stage::RequestHead => self.head_done_us,
            Stage::RequestBody => between(self.head_done_us, self.body_done_us),
            Stage::UpstreamConnect => between(self.upstream_pick_us, self.upstream_connected_us),
            Stage::UpstreamSend => between(self.upstream_send_first_us, self.upstream_send_last_us),
            Stage::UpstreamWait => between(self.upstream_send_last_us, self.response_head_us),
            Stage::ResponseBody => between(self.response_head_us, self.response_last_us),
            Stage::ClientSend => between(self.client_send_first_us, self.client_send_last_us),
            Stage::Total => self.done_us,
        }
    }

    /// The stage in which an exchange that broke off stood: the one after the last that finished.
    pub fn broken_off_in(&self) -> Stage {
        let reached = [
            (self.response_last_us, Stage::ClientSend),
            (self.response_head_us, Stage::ResponseBody),
            (self.upstream_send_last_us, Stage::UpstreamWait),
            (self.body_done_us, Stage::UpstreamSend),
            (self.head_done_us, Stage::RequestBody),
        ];
        reached
            .into_iter()
            .find(|(instant, _)| instant.is_some())
            .map_or(Stage::RequestHead, |(_, stage)| stage)
    }
}

fn between(from: Option<u64>, to: Option<u64>) -> Option<u64> {
    Some(to?.saturating_sub(from?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_in_one_order() {
        let values = std::array::from_fn(|at| u64::try_from(at).ok());
        let named = serde_json::to_value(Instants::from(values)).unwrap();
        for (name, value) in Instants::NAMES.into_iter().zip(values) {
            assert_eq!(named[name].as_u64(), value, "{name}");
        }
        assert_eq!(Instants::from(values).values(), values);
    }

    #[test]
    fn stages_follow_from_instants() {
        let instants = Instants {
            head_done_us: Some(200),
            body_done_us: Some(90_200),
            upstream_send_last_us: Some(90_300),
            response_head_us: Some(2_800_300),
            done_us: Some(2_801_000),
            ..Instants::default()
        };
        assert_eq!(instants.stage_us(Stage::RequestBody), Some(90_000));
        assert_eq!(instants.stage_us(Stage::UpstreamWait), Some(2_710_000));
        assert_eq!(instants.stage_us(Stage::UpstreamConnect), None);
        assert_eq!(instants.stage_us(Stage::Total), Some(2_801_000));
    }

    #[test]
    fn an_answer_before_the_end_of_the_upload_waits_zero() {
        let instants =
            Instants { upstream_send_last_us: Some(500), response_head_us: Some(100), ..Instants::default() };
        assert_eq!(instants.stage_us(Stage::UpstreamWait), Some(0));
    }

    #[test]
    fn a_broken_exchange_names_its_stage() {
        let mut instants = Instants::default();
        assert_eq!(instants.broken_off_in(), Stage::RequestHead);
        instants.head_done_us = Some(1);
        assert_eq!(instants.broken_off_in(), Stage::RequestBody);
        instants.body_done_us = Some(2);
        instants.upstream_send_last_us = Some(3);
        assert_eq!(instants.broken_off_in(), Stage::UpstreamWait);
    }

    #[test]
    fn every_stage_is_found_by_its_name() {
        for stage in Stage::ALL {
            assert_eq!(Stage::from_name(stage.name()), Some(stage));
        }
    }
}
