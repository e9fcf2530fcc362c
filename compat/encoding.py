"""Items to a Parquet file of vectors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from skipfill.compat.loaded_model import LoadedModel
from skipfill.store.errors import BadInput, reason
from skipfill.store.items import Items

ROW_GROUP = 16_384


def write_encoded(
    model: LoadedModel,
    items: Items,
    output: Path,
    progress: Callable[[int], None] = lambda items: None,
) -> int:
    """Encode `items` into `output`: columns id, vector (FixedSizeList<f32>) and, if the items have one, label.

    The file appears whole or not at all. Its metadata names the model and its fingerprint.

    Args:
        progress: called with the number of items encoded since the last call.

    Returns:
        The number of rows written.

    Raises:
        BadInput: the output exists, or its folder cannot be written to.
    """
    if output.exists():
        raise BadInput(output, expected="a file that does not exist yet", found="a file", hint="Choose another name.")
    part = output.with_name(f".{output.name}.{uuid4().hex[:8]}.part")
    identity = {"model": model.card.name, "fingerprint": model.card.fingerprint}
    start = 0
    writer: pq.ParquetWriter | None = None
    try:
        for ids, vectors in model.encode(items):
            columns = {
                "id": ids,
                "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1]),
            }
            if items.labels is not None:
                columns["label"] = items.labels.slice(start, len(ids))
            table = pa.table(columns).replace_schema_metadata({"skipfill": json.dumps(identity)})
            if writer is None:
                writer = pq.ParquetWriter(part, table.schema, compression="zstd", use_dictionary=["label"])
            writer.write_table(table, row_group_size=ROW_GROUP)
            start += len(ids)
            progress(len(ids))
        assert writer is not None
        writer.close()
        part.rename(output)
    except OSError as error:
        raise BadInput(
            output.parent,
            expected="a folder that can be written to",
            found=reason(error),
            hint="Choose another place with -o FILE; nothing was written.",
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return start
