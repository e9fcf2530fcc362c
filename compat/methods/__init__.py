"""Training methods, a file or folder each: `registry` names them, `method` is their base, `batch` is what they see."""
