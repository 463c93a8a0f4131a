//! The instances' disks: volumes served as block devices over NBD.
