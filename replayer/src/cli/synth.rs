//! `kingtide synth`: sample recordings of exact sizes, made as a replay makes its uploads.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Write as _};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use kingtide_common::audio::{AudioBody, AudioFormat};
use kingtide_common::units::ByteSize;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::{Exit, interrupt, print_result};
use crate::export::output::Output;
use crate::report::format::count;
use crate::report::table::Table;

/// What students record.
const SIZES: [&str; 4] = ["50KB", "200KB", "500KB", "2MB"];
/// Bytes written at once.
const PIECE_BYTES: usize = 64 << 10;

const EXAMPLES: &str = "\
Examples:
  kingtide synth samples                                   50 KB, 200 KB, 500 KB and 2 MB of WebM/Opus
  kingtide synth samples --format mp4 --size 200KB,1MB     two of Safari's kind
  kingtide synth samples --size 200KB --count 30 --seed 7  thirty of one size, no two alike
  curl -F audio=@samples/recording-200KB.webm http://127.0.0.1:8080/api/students/upload-recording

Sizes are exact. KB and MB are powers of 1,000, k and m (as in Nginx) powers of 1,024: 200KB is 200,000 bytes,
200k is 204,800. The same seed gives the same files. A file is written whole or not at all.";

/// Write sample recordings of exact sizes.
///
/// A quiet tone with noise, in frames of a real encoder: it plays, and decodes from the first frame to the last.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct SynthArgs {
    /// Directory to write into; made when it is missing.
    #[arg(default_value = ".")]
    directory: PathBuf,
    /// Container and codec: Opus in webm and ogg, AAC in mp4 and by itself, PCM in wav, MP3.
    #[arg(long, default_value = "webm", value_parser = format_parser())]
    format: AudioFormat,
    /// Sizes of the files, parted by commas.
    #[arg(long, value_name = "SIZE", value_delimiter = ',', default_values = SIZES)]
    size: Vec<ByteSize>,
    /// How many files of each size.
    #[arg(long, value_name = "COUNT", default_value = "1")]
    count: NonZeroU64,
    /// Start of the random sequence: the same seed gives the same files.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Overwrite files that are there already.
    #[arg(long)]
    force: bool,
    /// JSON on stdout instead of a table (schema: replayer/schemas/synth.json).
    #[arg(long)]
    json: bool,
}

/// `kingtide synth --json`.
#[derive(Debug, Serialize)]
struct Written {
    files: Vec<WrittenFile>,
}

#[derive(Debug, Serialize)]
struct WrittenFile {
    path: String,
    format: &'static str,
    bytes: u64,
}

/// A file to be written.
struct Sample {
    path: PathBuf,
    body: AudioBody,
}

pub fn run(args: &SynthArgs) -> anyhow::Result<Exit> {
    interrupt::leave_nothing_half_made()?;
    let written = make(args)?;
    print_result(&if args.json { serde_json::to_string_pretty(&written)? + "\n" } else { written.table() })?;
    Ok(Exit::Held)
}

/// Nothing is written when one of the files cannot be made, or is there already and must stay.
fn make(args: &SynthArgs) -> anyhow::Result<Written> {
    let samples = args.samples()?;
    let directory = args.directory.display();
    fs::create_dir_all(&args.directory).with_context(|| format!("cannot make the directory {directory}"))?;
    if !args.force {
        samples.iter().try_for_each(|sample| refuse_existing(&sample.path))?;
    }
    for sample in &samples {
        write(sample).with_context(|| format!("{} cannot be written", sample.path.display()))?;
    }
    Ok(Written { files: samples.iter().map(|sample| args.written(sample)).collect() })
}

impl SynthArgs {
    fn samples(&self) -> anyhow::Result<Vec<Sample>> {
        let mut seen = HashSet::new();
        let sizes = self.size.iter().filter(|size| seen.insert(size.0));
        let samples = sizes.flat_map(|size| (0..self.count.get()).map(|index| self.sample(size.0, index)));
        samples.collect()
    }

    fn sample(&self, bytes: u64, index: u64) -> anyhow::Result<Sample> {
        let (name, bytes_min) = (self.format.name(), self.format.bytes_min());
        ensure!(bytes >= bytes_min, "--size {bytes}: the smallest {name} recording has {bytes_min} bytes");
        let body = AudioBody::new(Some(self.format), bytes, variation(self.seed, index));
        ensure!(body.is_valid_audio(), "--size {bytes}: no {name} recording has exactly this size");
        Ok(Sample { path: self.directory.join(self.file_name(bytes, index)), body })
    }

    /// `recording-200KB.webm`; of several, `recording-200KB-07.webm`.
    fn file_name(&self, bytes: u64, index: u64) -> String {
        let (size, extension) = (label(bytes), self.format.extension());
        if self.count == NonZeroU64::MIN {
            return format!("recording-{size}.{extension}");
        }
        let width = self.count.to_string().len();
        format!("recording-{size}-{:0width$}.{extension}", index + 1)
    }

    fn written(&self, sample: &Sample) -> WrittenFile {
        let path = sample.path.display().to_string();
        WrittenFile { path, format: self.format.extension(), bytes: sample.body.len() }
    }
}

impl Written {
    fn table(&self) -> String {
        let mut table = Table::of_numbers(["file", "bytes"]);
        for file in &self.files {
            table.row([file.path.clone(), count(file.bytes)]);
        }
        table.render(0)
    }
}

/// A format by its extension.
fn format_parser() -> impl TypedValueParser<Value = AudioFormat> {
    let parser = PossibleValuesParser::new(AudioFormat::ALL.map(AudioFormat::extension));
    parser.map(|extension| AudioFormat::from_extension(&extension).expect("each format has its extension"))
}

/// What makes the files of one seed differ.
fn variation(seed: u64, index: u64) -> u64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(index);
    random.random()
}

/// A size in the largest unit that needs no fraction: `2MB`, `200k`, `12345B`.
fn label(bytes: u64) -> String {
    let units = [
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("KB", 1_000),
        ("g", 1 << 30),
        ("m", 1 << 20),
        ("k", 1 << 10),
    ];
    let whole = units.into_iter().find(|(_, unit)| bytes.is_multiple_of(*unit));
    let (name, unit) = whole.unwrap_or(("B", 1));
    format!("{}{name}", bytes / unit)
}

fn refuse_existing(path: &Path) -> anyhow::Result<()> {
    let is_there = path.try_exists().with_context(|| format!("cannot look for {}", path.display()))?;
    ensure!(!is_there, "{} is there already; overwrite it with --force", path.display());
    Ok(())
}

fn write(sample: &Sample) -> io::Result<()> {
    let mut output = Output::file(&sample.path)?;
    sample.body.pieces(PIECE_BYTES).try_for_each(|piece| output.write_all(&piece))?;
    output.commit()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: SynthArgs,
    }

    fn parsed(directory: &Path, words: &str) -> SynthArgs {
        let words = words.split_whitespace().map(str::to_owned);
        let line = ["synth".to_owned(), directory.display().to_string()].into_iter().chain(words);
        Line::parse_from(line).args
    }

    fn found(directory: &Path) -> Vec<(String, u64)> {
        let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
        let mut files: Vec<_> = entries
            .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len()))
            .collect();
        files.sort_by_key(|(_, bytes)| *bytes);
        files
    }

    #[test]
    fn the_four_sizes_are_the_default() {
        let directory = tempfile::tempdir().unwrap();
        let samples = directory.path().join("samples");
        make(&parsed(&samples, "")).unwrap();
        let expected = [
            ("recording-50KB.webm", 50_000),
            ("recording-200KB.webm", 200_000),
            ("recording-500KB.webm", 500_000),
            ("recording-2MB.webm", 2_000_000),
        ];
        assert_eq!(found(&samples), expected.map(|(name, bytes)| (name.to_owned(), bytes)));
    }

    #[test]
    fn the_json_is_as_its_schema_says() {
        let directory = tempfile::tempdir().unwrap();
        let written = make(&parsed(directory.path(), "--format ogg --size 2k,1MB --count 2")).unwrap();
        let schema = serde_json::from_str(include_str!("../../schemas/synth.json")).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        assert!(validator.is_valid(&serde_json::to_value(&written).unwrap()));
        assert!(written.table().contains("recording-2k-1.ogg"), "{}", written.table());
    }

    #[test]
    fn files_of_one_size_differ_and_a_seed_gives_them_again() {
        let directory = tempfile::tempdir().unwrap();
        let args = |seed: u64| format!("--format mp3 --size 12345 --count 10 --seed {seed} --force");
        let read = |name: &str| fs::read(directory.path().join(name)).unwrap();
        make(&parsed(directory.path(), &args(7))).unwrap();
        let (first, tenth) = (read("recording-12345B-01.mp3"), read("recording-12345B-10.mp3"));
        assert_ne!(first, tenth);
        make(&parsed(directory.path(), &args(7))).unwrap();
        assert_eq!(read("recording-12345B-01.mp3"), first);
        make(&parsed(directory.path(), &args(8))).unwrap();
        assert_ne!(read("recording-12345B-01.mp3"), first);
    }

    #[test]
    fn what_is_there_stays_unless_forced_and_then_nothing_is_written() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("recording-2MB.webm"), "mine").unwrap();
        let refused = make(&parsed(directory.path(), "")).unwrap_err().to_string();
        assert!(
            refused.ends_with("recording-2MB.webm is there already; overwrite it with --force"),
            "{refused}"
        );
        assert_eq!(found(directory.path()), [("recording-2MB.webm".to_owned(), 4)]);
        make(&parsed(directory.path(), "--force")).unwrap();
        assert_eq!(found(directory.path()).len(), 4);
    }

    #[test]
    fn sizes_that_no_file_has_are_refused_before_anything_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let samples = directory.path().join("samples");
        for (words, reason) in [
            ("--size 50KB,1000", "--size 1000: the smallest WebM/Opus recording has 1119 bytes"),
            ("--format wav --size 5g", "--size 5368709120: no WAV recording has exactly this size"),
        ] {
            assert_eq!(make(&parsed(&samples, words)).unwrap_err().to_string(), reason);
        }
        assert!(!samples.exists());
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let refused = make(&parsed(&file.join("samples"), "")).unwrap_err().to_string();
        assert!(
            refused.contains("cannot make the directory") && refused.contains("file/samples"),
            "{refused}"
        );
    }

    #[test]
    fn labels_are_sizes_that_the_flag_takes() {
        for (bytes, expected) in
            [(50_000, "50KB"), (2_000_000, "2MB"), (204_800, "200k"), (12_345, "12345B"), (1 << 20, "1m")]
        {
            assert_eq!(label(bytes), expected);
            assert_eq!(expected.parse::<ByteSize>().unwrap().0, bytes);
        }
    }
}
