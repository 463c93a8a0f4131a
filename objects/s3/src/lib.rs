//! The S3 API over a cluster of storage nodes.
