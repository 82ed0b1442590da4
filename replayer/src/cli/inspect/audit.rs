//! `kingtide inspect CAPTURE --audit`.

use std::path::Path;

use anyhow::anyhow;
use kingtide_common::redact::Rules;

use crate::audit::{self, text};
use crate::cli::{Exit, print_result};

/// Audits a capture under the built-in rules or those of a file.
pub(super) fn run(capture: &Path, redaction: Option<&Path>, json: bool) -> anyhow::Result<Exit> {
    let rules = redaction.map_or_else(|| Ok(Rules::built_in()), Rules::load);
    let rules = rules.map_err(|error| anyhow!("{}", error.in_one_line()))?;
    let audit = audit::audit(capture, &rules)?;
    let result = if json { serde_json::to_string_pretty(&audit)? + "\n" } else { text::render(&audit) };
    print_result(&result)?;
    Ok(match (audit.findings.is_empty(), audit.complete) {
        (false, _) => Exit::Missed,
        (true, false) => Exit::Invalid,
        (true, true) => Exit::Held,
    })
}
