//! Counts of what was done, for the control socket's status.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A volume's counters since the card opened it.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[$doc])* pub $name: AtomicU64,)*
        }

        impl Counters {
            /// The counters by name.
            #[must_use]
            pub fn snapshot(&self) -> BTreeMap<String, u64> {
                [$((stringify!($name).to_owned(), self.$name.load(Ordering::Relaxed)),)*].into()
            }
        }
    };
}

counters! {
    /// Read requests.
    reads,
    /// Bytes of them.
    read_bytes,
    /// Write requests.
    writes,
    /// Bytes of them.
    write_bytes,
    /// Flush requests, and requests with FUA.
    flushes,
    /// Requests to discard or zero.
    discards,
    /// Bytes of them.
    discard_bytes,
    /// Requests that failed at the disk.
    errors,
    /// Requests that were refused as invalid.
    invalid,
}

/// Counts.
pub fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
