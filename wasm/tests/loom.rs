//! Models of `TakeAllList` and `Progress` under every interleaving:
//! `RUSTFLAGS="--cfg loom" cargo test -p weirpool-wasm --release --test loom`.
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use weirpool_wasm::list::TakeAllList;
use weirpool_wasm::progress::Progress;

struct Items {
    list: TakeAllList,
    /// Link and content of each item; an item's number is its place + 1.
    links: [UnsafeCell<u32>; 3],
    contents: [UnsafeCell<u32>; 3],
}

// SAFETY: an item's cells belong to its pusher until `push`, then to whoever takes the list.
unsafe impl Sync for Items {}
// SAFETY: plain numbers.
unsafe impl Send for Items {}

impl Items {
    fn push(&self, item: u32) {
        let place = item as usize - 1;
        // SAFETY: the item is not on the list.
        self.contents[place].with_mut(|content| unsafe { *content = 10 * item });
        self.list.push(item, |next| {
            // SAFETY: as above, until the push succeeds.
            self.links[place].with_mut(|link| unsafe { *link = next });
        });
    }

    fn take_all(&self) -> Vec<u32> {
        let mut taken = Vec::new();
        let mut item = self.list.take_all();
        while item != 0 {
            let place = item as usize - 1;
            // SAFETY: the item was taken.
            let content = self.contents[place].with(|content| unsafe { *content });
            assert_eq!(content, 10 * item, "the content travels with the item");
            taken.push(item);
            // SAFETY: the item was taken.
            item = self.links[place].with(|link| unsafe { *link });
        }
        taken
    }
}

#[test]
fn nothing_is_lost_or_doubled_and_each_pusher_keeps_its_order() {
    loom::model(|| {
        let items = Arc::new(Items {
            list: TakeAllList::new(),
            links: [0; 3].map(UnsafeCell::new),
            contents: [0; 3].map(UnsafeCell::new),
        });
        let one = {
            let items = items.clone();
            thread::spawn(move || {
                items.push(1);
                items.push(2);
            })
        };
        let other = {
            let items = items.clone();
            thread::spawn(move || items.push(3))
        };
        let mut oldest_first = Vec::new();
        for _ in 0..2 {
            oldest_first.extend(items.take_all().into_iter().rev());
        }
        one.join().unwrap();
        other.join().unwrap();
        oldest_first.extend(items.take_all().into_iter().rev());
        let place = |item| oldest_first.iter().position(|taken| *taken == item);
        assert!(place(1) < place(2), "{oldest_first:?}");
        oldest_first.sort_unstable();
        assert_eq!(oldest_first, [1, 2, 3]);
    });
}

#[test]
fn a_reader_sees_one_whole_report_or_none() {
    loom::model(|| {
        let progress = Arc::new(Progress::default());
        progress.report(1, 1e9, 1e99);
        let writer = {
            let progress = Arc::clone(&progress);
            thread::spawn(move || progress.report(2, 2e9, 2e99))
        };
        if let Some((job, done, total)) = progress.read() {
            assert_eq!((done, total), (f64::from(job) * 1e9, f64::from(job) * 1e99));
        }
        writer.join().unwrap();
        assert_eq!(progress.read(), Some((2, 2e9, 2e99)));
    });
}
