//! Flipped bits and lost files: found, told, and never given out.
