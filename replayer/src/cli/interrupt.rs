//! Ctrl-C and SIGTERM while a file or a capture is made: nothing half-made is left.

use std::io;
use std::thread;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::unfinished;

/// From now on until the program ends.
pub(super) fn leave_nothing_half_made() -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let listen = move || {
        let heard = runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => SignalKind::interrupt(),
                _ = terminate.recv() => SignalKind::terminate(),
            }
        });
        end(heard);
    };
    thread::Builder::new().name("signals".to_owned()).spawn(listen).map(drop)
}

/// Ends with the status that a shell gives who died of the signal.
fn end(heard: SignalKind) {
    let mut turn = unfinished::turn();
    turn.take_away();
    eprintln!("interrupted: nothing half-made is left");
    std::process::exit(128 + heard.as_raw_value());
}
