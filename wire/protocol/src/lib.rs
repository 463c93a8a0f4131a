//! AWS's wire protocols, signatures and faults.
