//! Values that every plane shares: IDs, accounts, regions, CIDRs, time.
