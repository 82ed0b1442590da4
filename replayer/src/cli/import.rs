//! `kingtide import`: what other programs recorded, as a capture.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};
use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use kingtide_common::redact::{Privacy, Rules};
use kingtide_common::units::ByteSize;

use super::{Exit, interrupt, print_result};
use crate::destination::{Allowed, Destination};
use crate::import::nginx::{LineFormat, LogFormat};
use crate::import::summary::Summary;
use crate::import::{Import, ImportError, Options, Sink, Source, UploadRule, goreplay, har, input, nginx};
use crate::unfinished;

const EXAMPLES: &str = "\
Examples:
  kingtide import har session.har --out captures/session                   a browser's export
  kingtide import har *.har --host app.example --out captures/app          only the requests to one host
  kingtide import goreplay traffic_0.gor.gz --out captures/gor
  kingtide import nginx access.log.1.gz access.log --out captures/log      JSON lines or combined
  zcat access.log.*.gz | kingtide import nginx - --out captures/log --upload-part audio=audio/webm

Secrets and personal values become fingerprints on the way, as with the proxy. What a file does not hold is
made up by rule and marked in the column `synthesised`; captures/README.md, \"Importing\", has the rules.";

const LOG_EXAMPLES: &str = "\
Examples:
  kingtide import nginx access.log --out captures/log
  kingtide import nginx access.log --log-format '$remote_addr [$time_local] \"$request\" $status $request_time' --out captures/log
  kingtide import nginx access.log --log-format \"$(grep -A9 'log_format main' /etc/nginx/nginx.conf)\" --out captures/log

configs/nginx-log-format.conf has a log_format that tells all that an import can use.";

const HAR_EXAMPLES: &str = "\
Examples:
  kingtide import har session.har --out captures/session
  kingtide import har session.har --host app.example --out captures/session --force

Export from Chromium with sensitive data (a setting of the network panel): without Authorization and Cookie
nothing tells one user from another. The import hides their values.";

const GOREPLAY_EXAMPLES: &str = "\
Examples:
  kingtide import goreplay traffic_0.gor traffic_1.gor.gz --out captures/gor

Record with --input-raw-track-response: without answers no token or id of a request can be bound to one.";

/// Make a capture of what other programs recorded: HAR, GoReplay files, Nginx access logs.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES, arg_required_else_help = true)]
pub struct ImportArgs {
    #[command(subcommand)]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum Format {
    /// HAR 1.2, as browsers, proxies and load tools export it.
    #[command(after_long_help = HAR_EXAMPLES)]
    Har(CommonArgs),
    /// GoReplay files (.gor).
    #[command(after_long_help = GOREPLAY_EXAMPLES)]
    Goreplay(CommonArgs),
    /// Nginx access logs.
    #[command(after_long_help = LOG_EXAMPLES)]
    Nginx(NginxArgs),
}

#[derive(Debug, Args)]
struct CommonArgs {
    /// Files to read, in this order, plain or gzip; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Directory of the capture; must not be there, or be empty.
    #[arg(long, value_name = "CAPTURE")]
    out: PathBuf,
    /// Replace the capture that is there, once the new one is complete.
    #[arg(long)]
    force: bool,
    /// Only requests to this host (with or without port); may be repeated.
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// How much is hidden: `strict` hides every text value.
    #[arg(long, value_enum, default_value_t = PrivacyArg::Default)]
    privacy: PrivacyArg,
    /// What is secret or personal, instead of the built-in rules (a copy of configs/redaction.toml).
    #[arg(long, value_name = "FILE")]
    redaction: Option<PathBuf>,
    /// Bytes of a text body that are looked at; a larger one is kept by its size only.
    #[arg(long, value_name = "SIZE", default_value = "1m")]
    body_limit: ByteSize,
    /// Bodies that are missing were forms with one file: name of its field and its type, as audio=audio/webm.
    /// For POST, PUT and PATCH from 4 KiB whose content type is multipart or unknown.
    #[arg(long, value_name = "NAME=TYPE", value_parser = upload_part)]
    upload_part: Option<(String, String)>,
    /// Paths that --upload-part is for begin so.
    #[arg(long, value_name = "PREFIX", default_value = "/", requires = "upload_part")]
    upload_path: String,
    /// Fail at the first record that cannot be made out, instead of counting it.
    #[arg(long)]
    strict: bool,
    /// Summary as JSON on stdout instead of text on stderr (schema: replayer/schemas/import.json).
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct NginxArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// `auto` (JSON or combined, line by line), `combined`, `json`, or a log_format as in nginx.conf.
    #[arg(long, value_name = "FORMAT", default_value = "auto", value_parser = line_format)]
    log_format: LineFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PrivacyArg {
    /// Secrets and personal fields.
    Default,
    /// Every text value.
    Strict,
}

pub fn run(args: &ImportArgs) -> anyhow::Result<Exit> {
    interrupt::leave_nothing_half_made()?;
    match &args.format {
        Format::Har(common) => import("har", common, |source, input, sink| har::read(source, input, sink)),
        Format::Goreplay(common) => {
            import("goreplay", common, |source, input, sink| goreplay::read(source, input, sink))
        }
        Format::Nginx(args) => import("nginx", &args.common, |source, input, sink| {
            nginx::read(source, input, &args.log_format, sink)
        }),
    }
}

type Reader<'a> =
    dyn Fn(Source<'_>, Box<dyn std::io::BufRead>, &mut Sink<'_>) -> Result<(), ImportError> + 'a;

fn import(
    format: &'static str,
    args: &CommonArgs,
    read: impl Fn(Source<'_>, Box<dyn std::io::BufRead>, &mut Sink<'_>) -> Result<(), ImportError>,
) -> anyhow::Result<Exit> {
    check_files(&args.files)?;
    let (rules, config_digest) = rules(args.redaction.as_deref())?;
    let destination =
        Destination::prepare(&args.out, if args.force { Allowed::Capture } else { Allowed::EmptyDirectory })?;
    let options = options(format, args, config_digest);
    let import = {
        let _turn = unfinished::turn();
        Import::begin(destination.path(), options, rules)?
    };
    let mut summary = read_all(import, args, &read)?;
    ensure!(summary.imported > 0, "nothing to import: {}", nothing(&summary));
    destination.keep()?;
    summary.kept(args.out.display().to_string());
    show(&summary, args.json)
}

fn check_files(files: &[PathBuf]) -> anyhow::Result<()> {
    let stdin = files.iter().filter(|file| file.as_os_str() == "-").count();
    ensure!(stdin <= 1, "`-` is given {stdin} times; standard input can be read once");
    for file in files.iter().filter(|file| file.as_os_str() != "-") {
        fs::metadata(file).with_context(|| format!("{} cannot be read", file.display()))?;
    }
    Ok(())
}

fn rules(file: Option<&Path>) -> anyhow::Result<(Rules, String)> {
    let Some(file) = file else { return Ok((Rules::built_in(), blake3::hash(b"").to_hex().to_string())) };
    let rules = Rules::load(file).map_err(|error| anyhow!("{}", error.in_one_line()))?;
    let text = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    Ok((rules, blake3::hash(&text).to_hex().to_string()))
}

fn options(format: &'static str, args: &CommonArgs, config_digest: String) -> Options {
    let rule = |(name, content_type): &(String, String)| UploadRule {
        name: name.clone(),
        content_type: content_type.clone(),
        path_prefix: args.upload_path.clone(),
    };
    Options {
        format,
        privacy: match args.privacy {
            PrivacyArg::Default => Privacy::Default,
            PrivacyArg::Strict => Privacy::Strict,
        },
        hosts: args.host.clone(),
        body_bytes_max: usize::try_from(args.body_limit.0).unwrap_or(usize::MAX),
        upload: args.upload_part.as_ref().map(rule),
        strict: args.strict,
        config_digest,
    }
}

fn read_all(mut import: Import, args: &CommonArgs, read: &Reader<'_>) -> anyhow::Result<Summary> {
    let progress = progress(&args.files);
    for (number, file) in args.files.iter().enumerate() {
        let name = if file.as_os_str() == "-" { "stdin".to_owned() } else { file.display().to_string() };
        let input = input::open(file, &progress).with_context(|| format!("{name} cannot be read"))?;
        let source = Source { name: &name, number };
        read(source, input, &mut |finding| {
            let _turn = unfinished::turn();
            import.take(finding)
        })?;
    }
    progress.finish_and_clear();
    let _turn = unfinished::turn();
    Ok(import.finish()?)
}

/// Draws only on a terminal.
fn progress(files: &[PathBuf]) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:24} {bytes} of {total_bytes} · {bytes_per_sec} · {eta} left");
    ProgressBar::new(input::bytes(files)).with_style(style.expect("the template is constant"))
}

fn nothing(summary: &Summary) -> String {
    let reasons = summary.left_out.iter().map(|(reason, number)| format!("{number} left out ({reason})"));
    let filtered = (summary.filtered > 0).then(|| format!("{} to other hosts than --host", summary.filtered));
    let unreadable = summary
        .unreadable_first
        .first()
        .map(|first| format!("{} unreadable, the first is {first}", summary.unreadable));
    let all: Vec<String> = reasons.chain(filtered).chain(unreadable).collect();
    if all.is_empty() { "the input holds no record".to_owned() } else { all.join("; ") }
}

fn show(summary: &Summary, json: bool) -> anyhow::Result<Exit> {
    if json {
        print_result(&(serde_json::to_string_pretty(summary)? + "\n"))?;
    } else {
        eprint!("{}", summary.render());
    }
    Ok(Exit::Held)
}

fn upload_part(text: &str) -> anyhow::Result<(String, String)> {
    let parts = text.split_once('=').map(|(name, content_type)| (name.trim(), content_type.trim()));
    let plain = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && c != '"');
    match parts
        .filter(|(name, content_type)| plain(name) && plain(content_type) && content_type.contains('/'))
    {
        Some((name, content_type)) => Ok((name.to_owned(), content_type.to_owned())),
        None => bail!("give the field's name and the file's type, as in audio=audio/webm"),
    }
}

fn line_format(text: &str) -> anyhow::Result<LineFormat> {
    match text.trim() {
        "auto" => Ok(LineFormat::Auto),
        "json" => Ok(LineFormat::Json),
        "combined" => Ok(LineFormat::Of(LogFormat::combined())),
        text if text.contains('$') => Ok(LineFormat::Of(LogFormat::parse(text)?)),
        _ => bail!("give auto, combined, json, or the text of a log_format with its $variables"),
    }
}
