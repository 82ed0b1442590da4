//! The slow uploads: each on its own connection, a piece of its body at every tick of its own pace.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::answer::Answer;
use crate::body::BOUNDARY;

/// Between two pieces of an upload.
const TICK: Duration = Duration::from_millis(200);
/// An upload may take so many times as long as its pace says, and this much more.
const PATIENCE_FACTOR: u32 = 2;
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) target: SocketAddr,
    pub(crate) connections: u32,
    pub(crate) body: Bytes,
    /// Bytes per second of each upload.
    pub(crate) rate: u64,
    /// Time over which the uploads begin.
    pub(crate) ramp: Duration,
}

impl Plan {
    /// Bytes of the body that are due so long after the upload began.
    fn due(&self, elapsed: Duration) -> usize {
        let due = u128::from(self.rate) * elapsed.as_millis() / 1000;
        usize::try_from(due).unwrap_or(usize::MAX).min(self.body.len())
    }

    fn patience(&self) -> Duration {
        let pace = Duration::from_millis(self.body.len() as u64 * 1000 / self.rate);
        pace * PATIENCE_FACTOR + PATIENCE
    }
}

/// Why an upload failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("connecting: {0}")]
    Connect(std::io::ErrorKind),
    #[error("sending: {0}")]
    Send(std::io::ErrorKind),
    #[error("reading the answer: {0}")]
    Answer(std::io::ErrorKind),
    #[error("answered {0} before the upload was over")]
    Early(u16),
    #[error("answered {0}")]
    Status(u16),
    #[error("the sink did not get every byte")]
    Short,
    #[error("past its deadline")]
    Late,
}

/// What became of the uploads that are over.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) ok: u64,
    pub(crate) failed: u64,
    /// Bytes that the sink says it read, of uploads that succeeded.
    pub(crate) bytes_confirmed: u64,
    pub(crate) failures: BTreeMap<String, u64>,
}

impl Tally {
    fn count(&mut self, outcome: Result<u64, Failure>) {
        match outcome {
            Ok(bytes) => {
                self.ok += 1;
                self.bytes_confirmed += bytes;
            }
            Err(failure) => {
                self.failed += 1;
                *self.failures.entry(failure.to_string()).or_default() += 1;
            }
        }
    }
}

/// Runs all uploads; dropped before its end, it closes their connections.
pub(crate) async fn run(plan: Plan, tally: &mut Tally) {
    let (plan, begun) = (Arc::new(plan), Instant::now());
    let mut uploads = JoinSet::new();
    for index in 0..plan.connections {
        let begins = begun + plan.ramp * index / plan.connections;
        let plan = Arc::clone(&plan);
        uploads.spawn(async move {
            sleep_until(begins).await;
            timeout(plan.patience(), upload(&plan)).await.unwrap_or(Err(Failure::Late))
        });
    }
    while let Some(over) = uploads.join_next().await {
        if let Ok(outcome) = over {
            tally.count(outcome);
        }
    }
}

/// One upload; the bytes that the sink confirms.
async fn upload(plan: &Plan) -> Result<u64, Failure> {
    let mut stream = TcpStream::connect(plan.target).await.map_err(|error| Failure::Connect(error.kind()))?;
    stream.set_nodelay(true).map_err(|error| Failure::Connect(error.kind()))?;
    let (reader, writer) = stream.split();
    let mut answer = pin!(read_answer(reader));
    tokio::select! {
        early = &mut answer => return Err(Failure::Early(early?.status)),
        sent = send(plan, writer) => sent.map_err(|error| Failure::Send(error.kind()))?,
    }
    match answer.await? {
        Answer { status: 200, received, .. } if received == plan.body.len() as u64 => Ok(received),
        Answer { status: 200, .. } => Err(Failure::Short),
        Answer { status, .. } => Err(Failure::Status(status)),
    }
}

async fn send(plan: &Plan, mut writer: impl AsyncWrite + Unpin) -> std::io::Result<()> {
    writer.write_all(head(plan).as_bytes()).await?;
    let begun = Instant::now();
    let mut sent = 0;
    for tick in 1.. {
        let due = plan.due(TICK * tick);
        writer.write_all(&plan.body[sent..due]).await?;
        sent = due;
        if sent == plan.body.len() {
            break;
        }
        sleep_until(begun + TICK * tick).await;
    }
    writer.flush().await
}

fn head(plan: &Plan) -> String {
    format!(
        "POST /api/students/upload-recording HTTP/1.1\r\nHost: {}\r\n\
         Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {}\r\n\r\n",
        plan.target,
        plan.body.len()
    )
}

async fn read_answer(mut reader: impl AsyncRead + Unpin) -> Result<Answer, Failure> {
    let mut input = Vec::new();
    loop {
        let read = reader.read_buf(&mut input).await.map_err(|error| Failure::Answer(error.kind()))?;
        if read == 0 {
            return Err(Failure::Answer(std::io::ErrorKind::UnexpectedEof));
        }
        if let Some(answer) = Answer::parse(&input).map_err(|error| Failure::Answer(error.kind()))? {
            return Ok(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_kept_whatever_the_tick_and_ends_with_the_body() {
        let plan = Plan {
            target: ([127, 0, 0, 1], 1).into(),
            connections: 1,
            body: crate::body::multipart(2_000),
            rate: 700,
            ramp: Duration::ZERO,
        };
        assert_eq!(plan.due(TICK), 140);
        assert_eq!(plan.due(TICK * 5), 700);
        assert_eq!(plan.due(Duration::from_hours(1)), 2_000);
    }
}
