"""Place and layout of a store, and its writes: put-if-absent on a disk or object storage."""
