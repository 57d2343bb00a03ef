"""Files: atomic writes, bounded reads, locks, and the formats that several parts read or write."""
