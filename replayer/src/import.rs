//! Import: what other programs recorded becomes a capture, as if the proxy had been there.
//!
//! ```text
//! bytes ─► har | goreplay | nginx ─► Foreign ─► connections ─► describe (rules, redactor) ─► CaptureWriter
//! ```
//!
//! An importer is a function from bytes to [`Finding`]s and knows nothing of captures; all else is the same
//! for every format. Invariants: nothing reaches the disk but through the redactor; what is made up is
//! marked; what is left out is counted with its reason; memory does not grow with the size of the input but
//! for a few bytes per connection and what waits for its other half. The rules: captures/README.md,
//! "Importing".

use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use kingtide_common::body::Bounds;
use kingtide_common::body::budget::Budget;
use kingtide_common::body::describe::Describer;
use kingtide_common::capture::{CaptureError, CaptureWriter, Rotation, WriterOptions};
use kingtide_common::exchange::Record;
use kingtide_common::fingerprint::Fingerprinter;
use kingtide_common::redact::{Privacy, Redactor, Rules};

mod connections;
mod describe;
pub mod foreign;
pub mod goreplay;
pub mod har;
pub mod input;
pub mod nginx;
pub mod summary;
mod times;

use connections::{Connections, Use};
use describe::Describing;
pub use describe::UploadRule;
use foreign::Foreign;
use summary::Summary;

/// Bytes of a file that go into its hash, as the proxy's default.
const HASH_BYTES_MAX: u64 = 4 << 10;

/// What an importer found in its input.
#[derive(Debug)]
pub enum Finding {
    Exchange(Box<Foreign>),
    /// A record that is no exchange of a backend; why.
    LeftOut(&'static str),
    /// A record that cannot be made out.
    Unreadable {
        place: String,
        why: String,
    },
}

/// Where findings go; an error ends the import.
pub type Sink<'a> = dyn FnMut(Finding) -> Result<(), ImportError> + 'a;

/// Which input is being read.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// As the user wrote it.
    pub name: &'a str,
    /// Names of clients and connections of different inputs are different.
    pub number: usize,
}

/// Why an import cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("{place}: {why}")]
    Input { place: String, why: String },
    #[error("the capture cannot be written: {0}")]
    Capture(#[from] CaptureError),
    #[error("no random key can be had from the system: {0}")]
    Key(std::io::Error),
}

/// What the user asks for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `har`, `goreplay` or `nginx`.
    pub format: &'static str,
    pub privacy: Privacy,
    /// Only requests to these hosts; all when empty.
    pub hosts: Vec<String>,
    /// Bytes looked at of one body.
    pub body_bytes_max: usize,
    pub upload: Option<UploadRule>,
    /// A record that cannot be made out ends the import.
    pub strict: bool,
    /// BLAKE3 of the redaction rules' text.
    pub config_digest: String,
}

/// A capture that is being made of foreign findings.
#[derive(Debug)]
pub struct Import {
    options: Options,
    describing: Describing,
    writer: CaptureWriter,
    connections: Connections,
    summary: Summary,
}

impl Import {
    /// Begins a capture in `directory`. The key of the fingerprints is made here and never leaves memory.
    pub fn begin(directory: &Path, options: Options, rules: Rules) -> Result<Self, ImportError> {
        let fingerprinter = Fingerprinter::with_random_key().map_err(ImportError::Key)?;
        let redactor = Redactor::new(rules, options.privacy, fingerprinter);
        let writer = CaptureWriter::create(directory, writer_options(&options))?;
        let describing = describing(redactor, &options);
        let summary = Summary::new(options.format);
        Ok(Self { options, describing, writer, connections: Connections::default(), summary })
    }

    /// Takes what an importer found.
    pub fn take(&mut self, finding: Finding) -> Result<(), ImportError> {
        self.summary.read += 1;
        match finding {
            Finding::Exchange(foreign) => self.exchange(*foreign),
            Finding::LeftOut(reason) => {
                self.summary.leave_out(reason);
                Ok(())
            }
            Finding::Unreadable { place, why } if self.options.strict => {
                Err(ImportError::Input { place, why })
            }
            Finding::Unreadable { place, why } => {
                self.summary.unreadable(format!("{place}: {why}"));
                Ok(())
            }
        }
    }

    fn exchange(&mut self, foreign: Foreign) -> Result<(), ImportError> {
        if !is_wanted(&self.options.hosts, &foreign.host) {
            self.summary.filter(&foreign.host);
            return Ok(());
        }
        let placed = self.connections.place(&foreign.connection, used(&foreign));
        let exchange = self.describing.exchange(foreign, self.summary.imported + 1, placed);
        self.summary.import(&exchange);
        self.writer
            .push(Record::Exchange(Box::new(exchange)), Instant::now())
            .map_err(|dropped| dropped.error)?;
        Ok(())
    }

    /// Seals the capture.
    pub fn finish(mut self) -> Result<Summary, ImportError> {
        self.writer.flush(Instant::now()).map_err(|dropped| dropped.error)?;
        self.writer.close(self.summary.ledger(), utc_ns())?;
        Ok(self.summary)
    }
}

fn describing(redactor: Redactor, options: &Options) -> Describing {
    let bounds = Bounds {
        body_bytes_max: options.body_bytes_max,
        hash_bytes_max: HASH_BYTES_MAX,
        // One exchange at a time: the bound on a body is the bound on memory.
        budget: Budget::new(u64::MAX),
        hasher: std::sync::Arc::new(redactor.hasher()),
    };
    let describer = Describer::new(redactor, options.body_bytes_max);
    Describing { describer, bounds, upload: options.upload.clone() }
}

fn writer_options(options: &Options) -> WriterOptions {
    WriterOptions {
        program: format!("kingtide import {} {}", options.format, env!("CARGO_PKG_VERSION")),
        config_digest: options.config_digest.clone(),
        privacy: match options.privacy {
            Privacy::Default => "default",
            Privacy::Strict => "strict",
        }
        .to_owned(),
        started_ns: utc_ns(),
        rotation: Rotation::default(),
    }
}

/// A host matches with or without its port.
fn is_wanted(hosts: &[String], host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_it = |wanted: &String| wanted.eq_ignore_ascii_case(host) || wanted.eq_ignore_ascii_case(name);
    hosts.is_empty() || hosts.iter().any(is_it)
}

fn used(foreign: &Foreign) -> Use {
    let us = |us: Option<u64>| i64::try_from(us.unwrap_or_default().saturating_mul(1000)).unwrap_or(i64::MAX);
    Use {
        opened_ns: foreign.started_ns.saturating_sub(us(foreign.tls_us)),
        started_ns: foreign.started_ns,
        done_ns: foreign.started_ns.saturating_add(us(foreign.instants.done_us)),
    }
}

fn utc_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
