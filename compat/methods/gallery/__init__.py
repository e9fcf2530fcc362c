"""The method `gallery`: `method` has its losses, `imitating_head` its head, `memory` the rows that the head keeps."""
