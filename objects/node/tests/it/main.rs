//! A node in a folder of the host, and on a simulated disk, through the seam that clusters use.

mod folder;
mod killed;
mod simulated;
