//! Ctrl-C and SIGTERM as the user's wish to stop: first drain, then at once.

use std::io;
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::drive::Stop;

/// Listens for signals from now on, until the program ends.
pub(in crate::cli) fn on_signals() -> io::Result<watch::Receiver<Stop>> {
    let (sender, receiver) = watch::channel(Stop::Run);
    let runtime = Builder::new_current_thread().enable_io().build()?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || listen(&runtime, &sender))?;
    Ok(receiver)
}

fn listen(runtime: &Runtime, stop: &watch::Sender<Stop>) {
    let listened = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        loop {
            let heard = tokio::select! {
                heard = interrupt.recv() => heard,
                heard = terminate.recv() => heard,
            };
            match heard {
                Some(()) => stop.send_modify(ask_for_more),
                None => return Ok::<(), io::Error>(()),
            }
        }
    });
    if let Err(error) = listened {
        tracing::warn!("cannot listen for Ctrl-C: {error}");
    }
}

fn ask_for_more(stop: &mut Stop) {
    *stop = match stop {
        Stop::Run => {
            eprintln!("stopping: nothing more is sent; waiting for what is in flight (again: end at once)");
            Stop::Drain
        }
        Stop::Drain | Stop::Now => Stop::Now,
    };
}
