//! What a run does with answers and their absence: retries, renewed tokens, and when it stops itself.

use std::num::NonZeroU64;
use std::time::Duration;

use anyhow::ensure;
use clap::{Args, ValueEnum};
use kingtide_common::units::Span;

use crate::drive::{Cause, DriveConfig, Retry};

const PAUSE_MAX: Duration = Duration::from_hours(1);

const HEADING: &str = "Failed requests";

#[derive(Debug, Args)]
pub(super) struct AnswersArgs {
    /// Further tries of a request that failed, at most. 0: captured retries are sent as captured, and left out
    /// where the failure that they followed does not happen; none are added. Example: --retry 3 --retry-on
    /// 429,5xx
    #[arg(help_heading = HEADING, long, value_name = "COUNT", default_value_t = 0)]
    retry: u32,
    /// What is tried again: statuses, 5xx, connect (no connection), reset (it broke off), timeout. After
    /// the last two the target may have processed a request already.
    #[arg(help_heading = HEADING, long, value_name = "CAUSES", value_delimiter = ',', default_value = "429,503,connect")]
    retry_on: Vec<Cause>,
    /// Longest wait before the first further try; doubles with each, up to 2 min. Each wait is a random part of
    /// it, by the seed.
    #[arg(help_heading = HEADING, long, value_name = "TIME", default_value = "1s")]
    retry_backoff: Span,
    /// A Retry-After of the target goes before the back-off, cut to this.
    #[arg(help_heading = HEADING, long, value_name = "TIME", default_value = "60s")]
    retry_after_max: Span,
    /// After a 401: repeat the login that gave the token, then the request, as an app does.
    #[arg(help_heading = HEADING, long, value_enum, default_value_t)]
    renew: Renew,
    /// Requests in flight at which the run stops itself and is invalid [default: the limit of descriptors
    /// (ulimit -Hn) less 100].
    #[arg(help_heading = super::machine::HEADING, long, value_name = "COUNT")]
    in_flight_max: Option<NonZeroU64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Renew {
    #[default]
    On,
    Off,
}

impl AnswersArgs {
    pub(super) fn apply(&self, config: &mut DriveConfig) -> anyhow::Result<()> {
        let pauses = [("--retry-backoff", self.retry_backoff), ("--retry-after-max", self.retry_after_max)];
        for (flag, span) in pauses {
            ensure!(span.0 <= PAUSE_MAX, "{flag} {span}: no client waits that long; give at most 1h");
        }
        config.retry = Retry {
            times_max: self.retry,
            on: self.retry_on.clone(),
            backoff: self.retry_backoff.0,
            retry_after_max: self.retry_after_max.0,
        };
        config.renews = self.renew == Renew::On;
        config.in_flight_max = self.in_flight_max.map(NonZeroU64::get);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use tokio::sync::watch;

    use super::*;
    use crate::drive::{Stop, Target};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        answers: AnswersArgs,
    }

    fn applied(words: &str) -> anyhow::Result<DriveConfig> {
        let line = Line::try_parse_from(std::iter::once("replay").chain(words.split_whitespace()))?;
        let target = Target::resolve("http://127.0.0.1:9")?;
        let mut config = DriveConfig::new(target, Duration::from_secs(1), watch::channel(Stop::Run).1);
        line.answers.apply(&mut config)?;
        Ok(config)
    }

    #[test]
    fn defaults_are_those_of_the_drive() {
        let config = applied("").unwrap();
        assert_eq!((config.retry, config.renews, config.in_flight_max), (Retry::default(), true, None));
    }

    #[test]
    fn flags_say_what_is_tried_again() {
        let config =
            applied("--retry 3 --retry-on 502,timeout --retry-backoff 200ms --renew off --in-flight-max 9")
                .unwrap();
        let backoff = Duration::from_millis(200);
        let on = vec![Cause::Status(502), Cause::Timeout];
        assert_eq!(config.retry, Retry { times_max: 3, on, backoff, ..Retry::default() });
        assert_eq!((config.renews, config.in_flight_max), (false, Some(9)));
    }

    #[test]
    fn values_that_make_no_sense_are_refused() {
        for words in
            ["--retry -1", "--retry-on 200", "--renew maybe", "--in-flight-max 0", "--retry-after-max 2h"]
        {
            assert!(applied(words).is_err(), "{words}");
        }
    }
}
