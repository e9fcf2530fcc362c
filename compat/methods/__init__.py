"""Training methods, a file or folder each: `registry` names them, `method` is their base, `batch` their input."""
