//! The hypervisor seam and its drivers: QEMU and simulated.
