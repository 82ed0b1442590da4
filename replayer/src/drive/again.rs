//! What a clone remembers of its requests, to know which it must send again and which it need not.

use std::cell::{Cell, RefCell};

use tokio::sync::{Mutex, MutexGuard};

/// Tokens that one clone renews, at most.
const RENEWALS_MAX: u32 = 100;
/// After so many in a row that did not help, another will not.
const USELESS_MAX: u32 = 3;

/// See the module.
#[derive(Debug)]
pub(super) struct Again {
    /// By step: whether it was answered without failure.
    succeeded: RefCell<Vec<bool>>,
    renewing: Mutex<()>,
    /// Logins that were repeated with success.
    renewals: Cell<u32>,
    /// New tokens in a row that did not help.
    useless: Cell<u32>,
}

impl Again {
    pub(super) fn new(steps: usize) -> Self {
        Self {
            succeeded: RefCell::new(vec![false; steps]),
            renewing: Mutex::default(),
            renewals: Cell::default(),
            useless: Cell::default(),
        }
    }

    pub(super) fn settle(&self, step: usize, has_succeeded: bool) {
        self.succeeded.borrow_mut()[step] = has_succeeded;
    }

    pub(super) fn has_succeeded(&self, step: usize) -> bool {
        self.succeeded.borrow()[step]
    }

    /// How many renewals a request knows of that is built now.
    pub(super) fn renewals(&self) -> u32 {
        self.renewals.get()
    }

    /// The right to renew, for one lane at a time: the others wait, and then have the new token too.
    pub(super) async fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        let turn = self.renewing.lock().await;
        (self.useless.get() < USELESS_MAX && self.renewals.get() < RENEWALS_MAX).then_some(turn)
    }

    pub(super) fn renewed(&self) {
        self.renewals.set(self.renewals.get() + 1);
    }

    pub(super) fn helped(&self, has_helped: bool) {
        self.useless.set(if has_helped { 0 } else { self.useless.get() + 1 });
    }
}
