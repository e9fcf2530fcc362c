"""Exports of a model for other runtimes: a folder that encodes queries as skipfill does, without skipfill.

`export` is the list of steps. `pipeline` puts the parts of a model together as one network from tensors to the vector
that a gallery is searched with; `inputs` describes these tensors. `program` is the same as a list of small steps,
which `lowering` and `heads` write. Each format is a file, and `registry` names them. `verify` runs what was written.
"""
