//! Failing, full and lost disks.
