"""A gallery with one row for each class: the mean of its items' vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skipfill.store.parquet.ids import positions
from skipfill.store.parquet.stored_rows import StoredRows
from skipfill.store.parquet.vectors import normalised


def write_templates(rows: StoredRows, output: Path) -> None:
    """Write id, vector and label of each class of `rows`: the mean of its L2-normalised vectors, normalised.

    A template has the id of the first item of its class. Items without a label are in no template.

    Source: the 1:N identification of the public code of Biondi et al. 2024.
    """
    blocks = list(rows.blocks())
    labels = pa.concat_arrays([block.labels for block in blocks if block.labels is not None])
    classes = pc.unique(labels.drop_null())
    codes = positions(labels, classes)
    vectors = normalised(np.concatenate([block.vectors for block in blocks]))
    sums = np.zeros((len(classes), rows.dim))
    np.add.at(sums, codes[codes >= 0], vectors[codes >= 0])
    first = np.array([np.flatnonzero(codes == code)[0] for code in range(len(classes))])
    means = normalised(sums.astype(np.float32))
    table = {
        "id": pa.concat_arrays([block.ids for block in blocks]).take(pa.array(first)),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(means.reshape(-1)), rows.dim),
        "label": classes,
    }
    pq.write_table(pa.table(table), output)
