"""Rules of admission by name, in the order of the steps of a check that apply them.

A rule is a function of everything known at its step. It returns a `Ruling`, and raises `BadInput` for input that cannot
be evidence at all. To add one, write its function in a file here and its line below.
`tests/programs/gate_mutations.py` takes each line away in turn, and some test of admission must notice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa

from skipfill.compat.gate.admission.brought_vectors import (
    rows_beside_judged_queries,
    rows_of_the_old_input,
    vectors_of_the_gallerys_model,
)
from skipfill.compat.gate.admission.directions import with_a_direction
from skipfill.compat.gate.admission.left_out import (
    LeftOut,
    few_left_out,
    label_of_another,
    without_label,
    without_relevant_row,
)
from skipfill.compat.gate.admission.near_copies import Groups, near_copies, same_identity
from skipfill.compat.gate.admission.reindex import (
    agreement_is_no_truth,
    documents_as_queries,
    truth_of_another_model,
    truth_of_the_policy,
    truth_vectors_of_another_model,
)
from skipfill.compat.gate.admission.room import (
    Baseline,
    better_than_random,
    depth_within_rows,
    slices_better_than_random,
)
from skipfill.compat.gate.admission.ruling import Mask, Ruling
from skipfill.compat.gate.admission.slice_names import distinct_names, no_reserved_name
from skipfill.compat.gate.admission.stored_baseline import stored_as_encoded
from skipfill.compat.gate.admission.trained_items import ids_of_the_gallerys_type, trained_content, trained_ids
from skipfill.compat.gate.context import CheckContext
from skipfill.compat.gate.query_lookup import QueryLookup
from skipfill.compat.inference.gallery_agreement import Agreement
from skipfill.store.checks.names import BROUGHT_VECTORS
from skipfill.store.checks.report import Slice
from skipfill.store.parquet.items import Items
from skipfill.store.parquet.vectors import Matrix

OF_CHECK: dict[str, Callable[[CheckContext], Ruling]] = {
    "depth within rows": depth_within_rows,
    "truth of another model": truth_of_another_model,
    "truth of the policy": truth_of_the_policy,
    "agreement is no truth": agreement_is_no_truth,
    BROUGHT_VECTORS: vectors_of_the_gallerys_model,
}
"""Rules of the check as a whole, before anything is read."""
OF_ITEMS: dict[str, Callable[[CheckContext, Items], Ruling]] = {
    "ids of the gallery's type": ids_of_the_gallerys_type,
    "without label": without_label,
    "trained ids": trained_ids,
    "trained content": trained_content,
}
"""Rules of the items, before they are encoded."""
OF_TRUTH: dict[str, Callable[[CheckContext, Matrix, Matrix], Ruling]] = {
    "truth vectors of another model": truth_vectors_of_another_model,
}
"""Rules of vectors that the user brings to say what is relevant, beside the model's own."""
OF_LOOKUP: dict[str, Callable[[CheckContext, Items, QueryLookup], Ruling]] = {
    "without relevant row": without_relevant_row,
    "label of another": label_of_another,
    "documents as queries": documents_as_queries,
    "rows beside judged queries": rows_beside_judged_queries,
    "rows of the old input": rows_of_the_old_input,
}
"""Rules of the items once they are looked up in the gallery."""
OF_COUNTS: dict[str, Callable[[CheckContext, LeftOut], Ruling]] = {
    "few left out": few_left_out,
}
"""Rules of the number of queries left out, once it is known."""
OF_SLICES: dict[str, Callable[[Sequence[str]], Ruling]] = {
    "no reserved name": no_reserved_name,
    "distinct names": distinct_names,
}
"""Rules of the names of the slices that were asked for."""
OF_UNITS: dict[str, Callable[[pa.Array | None, Matrix], Groups]] = {
    "same identity": same_identity,
    "near copies": near_copies,
}
"""Groups of queries that are one piece of evidence: queries together in any of them count once."""
OF_STORED: dict[str, Callable[[CheckContext, Agreement], Ruling]] = {
    "stored as encoded": stored_as_encoded,
}
"""Rules of stored vectors that are the baseline, beside those that the gallery's model makes of the queries."""
OF_VECTORS: dict[str, Callable[[CheckContext, dict[str, Matrix]], Ruling]] = {
    "with a direction": with_a_direction,
}
"""Rules of the queries' vectors in the gallery's space."""
OF_BASELINE: dict[str, Callable[[CheckContext, Baseline], Ruling]] = {
    "better than random": better_than_random,
}
"""Rules of the old model's results."""
OF_VERDICTS: dict[str, Callable[[CheckContext, Baseline, Mapping[str, Mask], Sequence[Slice]], Ruling]] = {
    "slices better than random": slices_better_than_random,
}
"""Rules of the slices as they were judged."""
