//! Ctrl-C and SIGTERM as the user's wish to stop: first drain, then at once.

use std::io;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::drive::Stop;
use crate::guard::overseer::KillFiles;

/// Between two looks for a kill file.
const LOOK: Duration = Duration::from_millis(200);

/// Listens for signals from now on, until the program ends.
pub(in crate::cli) fn on_signals() -> io::Result<watch::Receiver<Stop>> {
    on_signals_or(KillFiles::default())
}

/// The same, and a kill file that appears is like the first signal.
pub(in crate::cli) fn on_signals_or(kill_files: KillFiles) -> io::Result<watch::Receiver<Stop>> {
    let (sender, receiver) = watch::channel(Stop::Run);
    if !kill_files.is_empty() {
        let sender = sender.clone();
        thread::Builder::new().name("kill file".to_owned()).spawn(move || look_for(&kill_files, &sender))?;
    }
    let runtime = Builder::new_current_thread().enable_io().build()?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || listen(&runtime, &sender))?;
    Ok(receiver)
}

/// Waits that long, and less if the user wants to stop: then it is false.
pub(super) fn goes_on_after(pause: Duration, stop: &mut watch::Receiver<Stop>) -> io::Result<bool> {
    let stopped = async {
        if stop.wait_for(|stop| *stop > Stop::Run).await.is_err() {
            // Nobody listens for signals any more; they end the program at once then.
            std::future::pending::<()>().await;
        }
    };
    let runtime = Builder::new_current_thread().enable_time().build()?;
    Ok(runtime.block_on(async { tokio::time::timeout(pause, stopped).await }).is_err())
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

fn look_for(kill_files: &KillFiles, stop: &watch::Sender<Stop>) {
    while kill_files.thrown().is_none() {
        thread::sleep(LOOK);
    }
    if let Some(sentence) = killed_by(kill_files) {
        eprintln!("stopping: {sentence}");
    }
    stop.send_modify(|stop| *stop = Stop::Drain.max(*stop));
}

/// That a kill file is there, for people.
pub(in crate::cli) fn killed_by(kill_files: &KillFiles) -> Option<String> {
    kill_files.thrown().map(|path| format!("the kill file {} is there", path.display()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_ends_when_the_user_wants_to_stop() {
        let (sender, mut stop) = watch::channel(Stop::Run);
        assert!(goes_on_after(Duration::ZERO, &mut stop).unwrap());
        sender.send(Stop::Drain).unwrap();
        assert!(!goes_on_after(Duration::from_hours(1), &mut stop).unwrap());
        assert!(!goes_on_after(Duration::ZERO, &mut stop).unwrap(), "also without a pause");
    }

    #[test]
    fn without_anybody_who_listens_it_goes_on() {
        let (sender, mut stop) = watch::channel(Stop::Run);
        drop(sender);
        assert!(goes_on_after(Duration::ZERO, &mut stop).unwrap());
    }
}
