//! Raw samples: each request that ended as a line of a CSV file, for questions that no percentile answers.
//!
//! The drive never waits for it. Each worker hands its samples over in batches through a bounded queue, a
//! thread of its own compresses and writes them. What the queue, the file's bound or the disk had no room
//! for is left out and counted, and the run goes on.

mod file;
pub mod read;
mod row;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use serde::{Deserialize, Serialize};

use self::file::SampleFile;
use super::sample::Sample;
use crate::report::format::counted;

/// Samples that are handed over together.
const BATCH_SAMPLES: usize = 256;
/// Batches that may wait for the writer: 16,384 samples, about 4 MB.
const QUEUE_BATCHES: usize = 64;

/// What the file holds, and what it does not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleCounts {
    pub file: String,
    pub written: u64,
    /// Left out when the file had reached its bound.
    pub dropped_bound: u64,
    /// Left out because the writer was behind.
    pub dropped_queue: u64,
    /// Left out because the disk refused.
    pub dropped_disk: u64,
    /// What it said.
    pub disk_error: Option<String>,
}

#[derive(Debug)]
enum Message {
    Batch(Vec<Sample>),
    End,
}

/// The way into the file; cheap to clone.
#[derive(Debug, Clone)]
pub struct SampleSink {
    sender: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

/// A worker's samples on their way to the sink. What is left is handed over when it is dropped.
#[derive(Debug)]
pub struct SampleBatch {
    sink: SampleSink,
    samples: Vec<Sample>,
}

/// The file and the thread that writes it; [`SampleWriter::finish`] ends both.
#[derive(Debug)]
pub struct SampleWriter {
    sink: SampleSink,
    thread: JoinHandle<SampleCounts>,
}

impl SampleWriter {
    /// Makes the file, which never grows beyond `bytes_max`. Routes are named by `labels`.
    pub fn create(path: &Path, bytes_max: u64, labels: Vec<String>) -> io::Result<Self> {
        let file = SampleFile::create(path, bytes_max, labels)?;
        let (sender, receiver) = sync_channel(QUEUE_BATCHES);
        let thread =
            thread::Builder::new().name("samples".to_owned()).spawn(move || write(&receiver, file))?;
        Ok(Self { sink: SampleSink { sender, dropped: Arc::default() }, thread })
    }

    pub fn sink(&self) -> SampleSink {
        self.sink.clone()
    }

    /// Writes what has come so far, and counts. To be called when no worker is left.
    pub fn finish(self) -> SampleCounts {
        // A writer that is gone has panicked, and the join says so.
        let _ = self.sink.sender.send(Message::End);
        let counts = self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        SampleCounts { dropped_queue: self.sink.dropped.load(Relaxed), ..counts }
    }
}

impl SampleSink {
    pub fn batch(&self) -> SampleBatch {
        SampleBatch { sink: self.clone(), samples: Vec::with_capacity(BATCH_SAMPLES) }
    }

    fn hand_over(&self, samples: Vec<Sample>) {
        let count = samples.len() as u64;
        if self.sender.try_send(Message::Batch(samples)).is_err() {
            self.dropped.fetch_add(count, Relaxed);
        }
    }
}

impl SampleBatch {
    pub fn add(&mut self, sample: Sample) {
        self.samples.push(sample);
        if self.samples.len() >= BATCH_SAMPLES {
            let full = std::mem::replace(&mut self.samples, Vec::with_capacity(BATCH_SAMPLES));
            self.sink.hand_over(full);
        }
    }
}

impl Drop for SampleBatch {
    fn drop(&mut self) {
        if !self.samples.is_empty() {
            self.sink.hand_over(std::mem::take(&mut self.samples));
        }
    }
}

impl SampleCounts {
    /// What a reader of the file must know, as a sentence.
    pub fn caution(&self) -> Option<String> {
        let disk = self.disk_error.as_deref().unwrap_or("refused");
        let reasons = [
            (self.dropped_bound, "the file had reached its bound (--samples-max)".to_owned()),
            (self.dropped_queue, "the writer was behind".to_owned()),
            (self.dropped_disk, format!("the disk refused ({disk})")),
        ];
        let parts: Vec<String> = reasons
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, reason)| format!("{} because {reason}", counted(count, "sample")))
            .collect();
        (!parts.is_empty()).then(|| format!("{} lacks {}", self.file, parts.join(", ")))
    }
}

fn write(receiver: &Receiver<Message>, mut file: SampleFile) -> SampleCounts {
    while let Ok(Message::Batch(samples)) = receiver.recv() {
        for sample in &samples {
            file.add(sample);
        }
    }
    file.finish()
}

#[cfg(test)]
mod tests;
