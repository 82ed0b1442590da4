//! The workers' threads: each serves the connections it is dealt until the drain, and then what is in flight.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::LocalSet;
use tokio_util::task::TaskTracker;

use crate::accept::{Arrival, Seat, serve};
use crate::worker::{Shared, Worker};

/// How often idle upstream connections are looked at.
const SWEEP: Duration = Duration::from_secs(5);

/// Threads of a worker that write and read spooled uploads. Each has memory of its own; more of them than the
/// disk serves at once gain nothing.
const SPOOL_THREADS_MAX: usize = 8;

/// All workers.
#[derive(Debug)]
pub(crate) struct Workers {
    threads: Vec<JoinHandle<()>>,
}

/// Starts so many, or one per core for 0.
pub(crate) fn start_all(threads: usize, shared: &Arc<Shared>) -> std::io::Result<(Workers, Vec<Seat>)> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let count = if threads == 0 { cores } else { threads };
    let (mut handles, mut seats) = (Vec::new(), Vec::new());
    for number in 0..count {
        let (inbox, arrivals) = unbounded_channel();
        let shared = Arc::clone(shared);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(SPOOL_THREADS_MAX)
            .build()?;
        let thread = std::thread::Builder::new().name(format!("worker-{number}"));
        let run = move || LocalSet::new().block_on(&runtime, work(Rc::new(Worker::new(shared)), arrivals));
        handles.push(thread.spawn(run)?);
        seats.push(Seat { inbox, open: Arc::new(AtomicUsize::new(0)) });
    }
    Ok((Workers { threads: handles }, seats))
}

async fn work(worker: Rc<Worker>, mut arrivals: UnboundedReceiver<Arrival>) {
    let connections = TaskTracker::new();
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        tokio::select! {
            arrival = arrivals.recv() => match arrival {
                Some(arrival) => {
                    let serving = serve(Rc::clone(&worker), arrival);
                    tokio::task::spawn_local(connections.track_future(serving));
                }
                None => break,
            },
            _ = sweep.tick() => worker.pool.borrow_mut().sweep(),
        }
    }
    connections.close();
    let deadline = worker.shared.site.load().drain_timeout;
    if tokio::time::timeout(deadline, connections.wait()).await.is_err() {
        tracing::warn!(still_open = connections.len(), "the drain's deadline passed; connections are cut");
    }
}

impl Workers {
    /// Waits for the workers, which end by the deadline of the drain.
    pub(crate) fn join(self, drain_timeout: Duration) {
        let deadline = Instant::now() + drain_timeout + Duration::from_secs(1);
        for thread in self.threads {
            while !thread.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
}
