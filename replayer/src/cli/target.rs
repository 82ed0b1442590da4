//! `--target URL`, and what makes it one that may be loaded.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;

use super::http::HttpArgs;
use crate::drive::{Http, Target};

const REACH_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct TargetArgs {
    /// Where to send: http://HOST:PORT or https://HOST. Paths come from the capture or model.
    #[arg(long = "target", value_name = "URL")]
    url: String,
    /// PEM file with the certificate of the CA (or of the server itself) that an https target's TLS rests
    /// on, beside the public ones. For staging servers with a private CA.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Needed for a target that is not on this machine or in a private network: its host, once more.
    #[arg(long, value_name = "HOST")]
    yes_this_is: Option<String>,
    #[command(flatten)]
    http: HttpArgs,
}

impl TargetArgs {
    /// The target, if it answers and may be loaded.
    pub(super) fn allowed(&self) -> anyhow::Result<Target> {
        let target = Target::resolve(&self.url).context("--target")?;
        let target = match &self.ca {
            Some(ca) => target.trusting(ca).context("--ca")?,
            None => target,
        };
        let host = target.host().to_owned();
        let is_named = self.yes_this_is.as_deref() == Some(host.as_str());
        if !target.is_private() && !is_named {
            bail!(
                "--target {host} is neither this machine nor in a private network; \
                 if you may load it, repeat its name: --yes-this-is {host}"
            );
        }
        let target = target.reached(REACH_TIMEOUT)?;
        Ok(self.http.spoken_by(target, REACH_TIMEOUT)?)
    }

    pub(super) fn http(&self) -> Http {
        self.http.http
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: TargetArgs,
    }

    fn parsed(words: &str) -> Result<TargetArgs, clap::Error> {
        Line::try_parse_from(std::iter::once("replay").chain(words.split_whitespace())).map(|line| line.args)
    }

    #[test]
    fn a_public_target_needs_its_name_once_more() {
        let refused = parsed("--target http://192.0.2.1").unwrap().allowed().unwrap_err();
        assert!(refused.to_string().contains("--yes-this-is 192.0.2.1"), "{refused}");
        let other = parsed("--target http://192.0.2.1 --yes-this-is example.com").unwrap();
        assert!(other.allowed().is_err());
    }

    #[test]
    fn a_target_that_does_not_answer_is_bad_input() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let args = parsed(&format!("--target {origin}")).unwrap();
        assert!(args.allowed().is_ok());
        drop(listener);
        let refused = args.allowed().unwrap_err().to_string();
        assert!(refused.contains("is the target running?"), "{refused}");
    }
}
