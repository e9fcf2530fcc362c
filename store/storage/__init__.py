"""Where a store lies and how it is written: its `layout`, put-if-absent on a disk or object storage."""
