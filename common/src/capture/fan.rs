//! Work on many items at once, results in the order of the items, few of them in memory.

use std::num::NonZero;
use std::sync::mpsc::sync_channel;
use std::thread;

/// More threads than this read no faster: something else is the limit by then.
const THREADS_MAX: usize = 8;
/// Results of one thread that wait to be taken.
const AHEAD: usize = 2;

/// Gives the result of `map` for every item to `take`, in order, until it answers with an error.
///
/// Item `i` is mapped by thread `i mod n`, so that order needs no sorting and at most `n · (AHEAD + 1)`
/// results exist at a time.
pub(super) fn map_in_order<I: Sync, T: Send, E>(
    items: &[I],
    map: impl Fn(&I) -> T + Sync,
    mut take: impl FnMut(T) -> Result<(), E>,
) -> Result<(), E> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX).min(items.len());
    if threads < 2 {
        return items.iter().map(map).try_for_each(take);
    }
    let map = &map;
    thread::scope(|scope| {
        let results = |first: usize| {
            let (sender, results) = sync_channel(AHEAD);
            scope.spawn(move || {
                let own = items.iter().skip(first).step_by(threads);
                // Who no longer takes results has met an error; its cause is told there.
                let _ = own.map(map).try_for_each(|result| sender.send(result));
            });
            results
        };
        let results: Vec<_> = (0..threads).map(results).collect();
        // A thread that ends early has panicked, which the scope passes on.
        (0..items.len()).map_while(|at| results[at % threads].recv().ok()).try_for_each(&mut take)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..1000).collect();
        let mut taken = Vec::new();
        let done = map_in_order(
            &items,
            |item| item * 2,
            |result| {
                taken.push(result);
                Ok::<_, ()>(())
            },
        );
        assert_eq!(done, Ok(()));
        assert_eq!(taken, items.iter().map(|item| item * 2).collect::<Vec<_>>());
    }

    #[test]
    fn an_error_stops_the_work() {
        let items: Vec<u64> = (0..1000).collect();
        let mut taken = 0;
        let done = map_in_order(
            &items,
            |item| *item,
            |result| {
                taken += 1;
                if result == 10 { Err("full") } else { Ok(()) }
            },
        );
        assert_eq!((done, taken), (Err("full"), 11));
    }

    #[test]
    fn no_items_are_no_work() {
        assert_eq!(map_in_order(&[], |item: &u8| *item, |_| Err("called")), Ok(()));
    }
}
