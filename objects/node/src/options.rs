//! A node's limits, and what it found when it opened.

/// A node's limits; all are in bytes but for those of items.
#[derive(Clone, Debug)]
pub struct Options {
    /// A segment of the log begins when the one before would pass this. Up to 1 GiB.
    pub segment_bytes: u64,
    /// So much log may have to be read again at a start.
    pub checkpoint_bytes: u64,
    /// So many records and blobs may have to be put into the index again.
    pub checkpoint_items: usize,
    /// How far ahead the log's file is written with zeros: a flush is faster where the file
    /// doesn't grow.
    pub prefill_bytes: u64,
    /// Of the index.
    pub cache_bytes: usize,
    /// Of the keys that `changed_since` can tell.
    pub recent_bytes: usize,
    /// With less left, the node is full; with less than half of it, it takes removals only.
    pub low_water_bytes: u64,
    /// Held back for removals on a disk that others have filled.
    pub reserve_bytes: u64,
    /// What compaction may add to one flush.
    pub move_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 256 << 20,
            checkpoint_bytes: 64 << 20,
            checkpoint_items: 32 << 10,
            prefill_bytes: 4 << 20,
            cache_bytes: 8 << 20,
            recent_bytes: 16 << 20,
            low_water_bytes: 128 << 20,
            reserve_bytes: 16 << 20,
            move_bytes: 128 << 10,
        }
    }
}

#[cfg(any(test, feature = "simulation"))]
impl Options {
    /// Small limits, so that a short simulation reaches all of them.
    #[must_use]
    pub fn small() -> Self {
        Self {
            segment_bytes: 16 << 10,
            checkpoint_bytes: 24 << 10,
            checkpoint_items: 60,
            prefill_bytes: 2 << 10,
            cache_bytes: 256 << 10,
            recent_bytes: 16 << 10,
            low_water_bytes: 64 << 10,
            reserve_bytes: 16 << 10,
            move_bytes: 4 << 10,
        }
    }
}

/// What a node found when it opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// What a crash had left of groups that were never acknowledged, in bytes.
    pub torn_bytes: u64,
    /// Groups of the log that were acknowledged and can't be read any more, as far as is known.
    pub corrupt_entries: u64,
    /// Segments of the log that aren't there any more.
    pub missing_segments: u64,
    /// Blobs whose own files aren't there any more.
    pub missing_blobs: u64,
    /// The index was unusable and was made anew from the log.
    pub index_rebuilt: bool,
    /// Groups read again since the last checkpoint.
    pub replayed_groups: u64,
    /// Files of blobs that were never adopted.
    pub dropped_blobs: u64,
}

impl OpenReport {
    /// Whether something that was acknowledged is lost: the node is to be compared with others.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.corrupt_entries > 0 || self.missing_segments > 0 || self.missing_blobs > 0
    }
}

/// Why a node can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenFault {
    #[error("another process has the storage node open")]
    InUse,
    /// It was there before: its disk may not be mounted.
    #[error("the folder holds no storage node, or isn't there")]
    Absent,
    /// It was there before, and something else has its place.
    #[error("the folder holds another storage node")]
    Other,
    /// It takes longer than it was waited for.
    #[error("the storage node is still opening: it makes its index anew")]
    Late,
    #[error("not a storage node of this version: {0}")]
    Format(String),
    #[error("the storage node's disk: {0}")]
    Disk(#[from] std::io::Error),
    #[error(transparent)]
    Index(#[from] crate::index::IndexFault),
}
