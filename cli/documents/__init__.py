"""Types of the JSON documents that commands print, and of the files that they read and write; their JSON Schemas."""
