//! Instants → HAR timings.

use kingtide_common::exchange::Exchange;
use serde::Serialize;

/// Milliseconds; −1 = does not apply. `ssl` is part of `connect`; the others add up to the entry's time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Timings {
    pub blocked: f64,
    pub dns: f64,
    pub connect: f64,
    pub ssl: f64,
    pub send: f64,
    pub wait: f64,
    pub receive: f64,
}

const DOES_NOT_APPLY: f64 = -1.0;

impl Timings {
    /// An exchange that broke off spends the time until then in the stage that it stood in.
    pub(super) fn of(exchange: &Exchange) -> Self {
        let instants = &exchange.instants;
        let done_us = instants.done_us.unwrap_or_default();
        let sent_us = instants.body_done_us.unwrap_or(done_us).min(done_us);
        let answered_us = instants.client_send_first_us.or(instants.response_head_us).unwrap_or(done_us);
        let answered_us = answered_us.clamp(sent_us, done_us);
        let handshake = exchange.tls_us.map_or(DOES_NOT_APPLY, ms);
        Self {
            blocked: DOES_NOT_APPLY,
            dns: DOES_NOT_APPLY,
            connect: handshake,
            ssl: handshake,
            send: ms(sent_us),
            wait: ms(answered_us - sent_us),
            receive: ms(done_us - answered_us),
        }
    }

    /// The time of the whole entry.
    pub(super) fn total_ms(exchange: &Exchange) -> f64 {
        let done_us = exchange.instants.done_us.unwrap_or_default();
        ms(done_us.saturating_add(exchange.tls_us.unwrap_or_default()))
    }
}

fn ms(us: u64) -> f64 {
    us as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use kingtide_common::stages::Instants;
    use proptest::prelude::*;

    use super::*;

    fn exchange(tls_us: Option<u64>, instants: Instants) -> Exchange {
        Exchange { tls_us, instants, ..Exchange::default() }
    }

    #[test]
    fn an_upload_is_sent_waits_and_receives() {
        let instants = Instants {
            head_done_us: Some(51),
            body_done_us: Some(650_941),
            client_send_first_us: Some(937_500),
            done_us: Some(937_557),
            ..Instants::default()
        };
        let timings = Timings::of(&exchange(Some(2_000), instants));
        assert_eq!((timings.connect, timings.ssl, timings.dns, timings.blocked), (2.0, 2.0, -1.0, -1.0));
        assert_eq!((timings.send, timings.wait, timings.receive), (650.941, 286.559, 0.057));
    }

    #[test]
    fn a_broken_upload_was_all_sending() {
        let timings = Timings::of(&exchange(None, Instants { done_us: Some(70), ..Instants::default() }));
        assert_eq!((timings.connect, timings.send, timings.wait, timings.receive), (-1.0, 0.07, 0.0, 0.0));
    }

    proptest! {
        #[test]
        fn parts_add_up_whatever_the_instants_are(
            tls_us in proptest::option::of(0_u64..1_000_000),
            us in prop::array::uniform4(proptest::option::of(0_u64..10_000_000)),
        ) {
            let [body_done_us, response_head_us, client_send_first_us, done_us] = us;
            let instants =
                Instants { body_done_us, response_head_us, client_send_first_us, done_us, ..Instants::default() };
            let exchange = exchange(tls_us, instants);
            let timings = Timings::of(&exchange);
            let parts = [timings.connect.max(0.0), timings.send, timings.wait, timings.receive];
            prop_assert!(parts.iter().all(|part| *part >= 0.0));
            prop_assert!((parts.iter().sum::<f64>() - Timings::total_ms(&exchange)).abs() < 1e-6);
        }
    }
}
