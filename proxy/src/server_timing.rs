//! Inner stages of a backend, from the `Server-Timing` headers of its answer.

use kingtide_common::exchange::ServerTiming;
use kingtide_common::server_timing;

use crate::message::Fields;

/// The metrics of an answer that have a duration.
pub(crate) fn server_timings(fields: &Fields) -> impl Iterator<Item = ServerTiming> {
    let values = fields.all("server-timing").filter_map(|value| std::str::from_utf8(value).ok());
    server_timing::server_timings(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::fields;

    #[test]
    fn only_the_header_of_that_name_is_read() {
        let fields =
            fields(&[("Server-Timing", "auth;dur=48"), ("Vary", "x;dur=1"), ("server-timing", "app;dur=3")]);
        let names: Vec<_> = server_timings(&fields).map(|timing| timing.name).collect();
        assert_eq!(names, ["auth", "app"]);
    }
}
