"""Admission of queries: what is no evidence is refused, or makes a check inconclusive at best."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from skipfill.compat.advice.candidate import candidates_of
from skipfill.compat.gate.check import check_model
from skipfill.compat.gate.context import CheckContext
from skipfill.compat.gate.inputs import CheckInputs, Policy
from skipfill.compat.gate.reencodable import ReencodableRows
from skipfill.compat.inference.load import load_model
from skipfill.compat.progress import Progress
from skipfill.store.models.files import save_model
from skipfill.store.storage.location import open_store
from tests.conftest import Result, Skipfill, World, made_once, run_in, write_vectors

LENIENT = ("--metric", "mAP", "--margin", 0.25, "--accept-worse", "unseen")


def check(skipfill: Skipfill, items: object, *more: object, gallery: str = "things") -> Result:
    """A check of v2 by a policy that is easily met."""
    return skipfill("check", gallery, "v2", "--items", items, *LENIENT, *more, "--json", expect=None)


def findings(result: Result) -> dict[str, str]:
    """Findings of the rules of admission: rule -> sentence."""
    requirements = result.document["check"]["slices"][0]["requirements"]
    return {each["base"]: each["said"] for each in requirements if each["kind"] == "admission"}


def notes(result: Result) -> str:
    return "\n".join(result.document["check"]["warnings"])


def write(table: pa.Table, name: str) -> Path:
    pq.write_table(table, name)
    return Path(name)


def with_column(table: pa.Table, name: str, values: Any) -> pa.Table:
    """The table with one column replaced, or added."""
    column = pa.array(values) if not isinstance(values, pa.ChunkedArray | pa.Array) else values
    at = table.schema.get_field_index(name)
    return table.append_column(name, column) if at < 0 else table.set_column(at, name, column)


def judgements(queries: pa.Table, rows: pa.Table, name: str = "judged.tsv") -> Path:
    """Judgements that say what labels say."""
    by_label: dict[str, list[object]] = {}
    for row, label in zip(rows["id"].to_pylist(), rows["label"].to_pylist(), strict=True):
        by_label.setdefault(label, []).append(row)
    lines = ["query-id\tcorpus-id\tscore"]
    for query, label in zip(queries["id"].to_pylist(), queries["label"].to_pylist(), strict=True):
        lines += [f"{query}\t{row}\t1" for row in by_label.get(label, [])]
    Path(name).write_text("\n".join(lines) + "\n")
    return Path(name)


def test_an_honest_check_has_no_findings(skipfill: Skipfill, with_v2: World) -> None:
    result = check(skipfill, with_v2.heldout)
    assert result.code == 0, result.out
    assert findings(result) == {}


# --- what the model was trained on


def test_trained_items_are_no_queries_by_judgements_either(skipfill: Skipfill, with_v2: World) -> None:
    trained = pq.read_table(with_v2.items)
    queries = with_column(trained, "id", [f"q{i}" for i in range(len(trained))])
    judged = judgements(queries, pq.read_table("gallery.parquet"))
    refused = check(skipfill, write(queries, "queries.parquet"), "--judgements", judged)
    assert refused.code == 2
    assert "expected items that model v2 was not trained on, found none" in refused.err
    fresh = with_column(pq.read_table(with_v2.heldout), "id", [f"h{i}" for i in range(192)])
    both = pa.concat_tables([queries, fresh])
    judged = judgements(both, pq.read_table("gallery.parquet"))
    mixed = check(skipfill, write(both, "both.parquet"), "--judgements", judged)
    assert mixed.document["check"]["slices"][0]["queries"] == 192
    assert "216 queries left out: model v2 was trained on their content under other ids" in notes(mixed)


def test_trained_content_under_other_ids_is_seen_through(skipfill: Skipfill, with_v2: World) -> None:
    """Also unlabelled items that were aligned, and vectors of another precision."""
    for path, name in ((with_v2.items, "labels"), (with_v2.unlabelled, "aligned")):
        table = pq.read_table(path)
        if name == "aligned":
            labels = pq.read_table(with_v2.gallery_items)
            table = with_column(table, "label", labels["label"].filter(pc.is_in(labels["id"], table["id"])))
        doubles = table["vector"].cast(pa.list_(pa.float64()))
        copies = with_column(with_column(table, "id", [f"c{i}" for i in range(len(table))]), "vector", doubles)
        assert check(skipfill, write(copies, f"{name}.parquet")).code == 2, name


def test_trained_items_are_no_queries_by_id(skipfill: Skipfill, with_v2: World) -> None:
    """Content that was written again in another way is seen by the id."""
    trained = pq.read_table(with_v2.items)
    vectors = np.stack(trained["vector"].to_pylist()) * np.float32(1.01)
    path = write_vectors(Path("again.parquet"), vectors, trained["id"].to_pylist(), trained["label"].to_pylist())
    assert check(skipfill, path).code == 2


def test_a_bundle_of_an_older_release_knows_its_items_by_id_only(skipfill: Skipfill, with_v2: World) -> None:
    (card,) = Path(".skipfill/models/v2").glob("card*.json")
    raw = json.loads(card.read_text())
    del raw["files"]["trained_content.parquet"]
    card.write_text(json.dumps({**raw, "digest": ""}))
    result = check(skipfill, with_v2.heldout)
    assert result.code == 0
    assert "known by id only" in notes(result)


def test_models_made_of_others_are_trained_on_what_those_were(skipfill: Skipfill, with_v2: World) -> None:
    skipfill("blend", "both", "--new", "v2", "--old", "v1")
    table = pq.read_table(with_v2.old_items)
    queries = write(with_column(table, "id", [f"o{i}" for i in range(len(table))]), "old.parquet")
    assert skipfill("check", "things", "both", "--items", queries, expect=2).code == 2
    items = pq.read_table(with_v2.items)
    later = write(items.filter(pc.greater(items["label"], "class-04")), "later.parquet")
    skipfill("train", "v3", "--items", later, "--gallery", "things", "--init", "v1", "--epochs", 1)
    assert skipfill("check", "things", "v3", "--items", queries, expect=2).code == 2


def test_a_model_that_tells_of_no_labels_knows_no_class(skipfill: Skipfill, with_v2: World) -> None:
    """As a bundle from elsewhere may."""
    objects = open_store(Path(".skipfill"))
    v2 = load_model(objects, "v2")
    views = {("mute" if space == "v2" else space): view for space, view in v2.card.views.items()}
    card = replace(v2.card, name="mute", views=views, trained_labels=[])
    save_model(objects, card, v2.network.weights(), pa.array(["none"]))
    result = skipfill("check", "things", "mute", "--items", with_v2.heldout, *LENIENT, "--json", expect=None)
    assert [(one["name"], one["queries"]) for one in result.document["check"]["slices"]] == [
        ("all", 192),
        ("unseen", 192),
    ]


def test_a_model_fitted_to_rows_without_labels_knows_the_labels_that_the_gallery_has_of_them(
    skipfill: Skipfill, with_v2: World
) -> None:
    objects = open_store(Path(".skipfill"))
    v2, rows = load_model(objects, "v2"), pq.read_table("gallery.parquet")
    views = {("map" if space == "v2" else space): view for space, view in v2.card.views.items()}
    card = replace(v2.card, name="map", views=views, trained_labels=[])
    pairs = rows.filter(pc.and_(pc.less(rows["label"], "class-04"), pc.equal(pc.utf8_length(rows["id"]), 5)))
    save_model(objects, card, v2.network.weights(), pairs["id"].combine_chunks())
    result = skipfill("check", "things", "map", "--items", with_v2.heldout, *LENIENT, "--json", expect=None)
    queries = pq.read_table(with_v2.heldout)
    seen = pc.sum(pc.less(queries["label"], "class-04")).as_py()
    assert [(one["name"], one["queries"]) for one in result.document["check"]["slices"]] == [
        ("all", 192),
        ("seen", seen),
        ("unseen", 192 - seen),
    ]


def test_judged_queries_and_rows_are_told_by_the_same_thing(skipfill: Skipfill, with_v2: World) -> None:
    """Queries without labels are of a class that the model knows where rows relevant to them are, new ones too."""
    rows = pq.read_table("gallery.parquet")
    trained = [item for path in (with_v2.items, with_v2.unlabelled) for item in pq.read_table(path)["id"].to_pylist()]
    new_rows = rows.filter(pc.invert(pc.is_in(rows["id"], pa.array(trained))))
    labelled = pq.read_table(with_v2.heldout)
    judged = ("--judgements", judgements(labelled, new_rows))
    wanted = [("all", 192), ("seen", 144), ("unseen", 48)]
    some = [None if place % 2 else label for place, label in enumerate(labelled["label"].to_pylist())]
    for number, queries in enumerate((labelled, labelled.drop(["label"]), with_column(labelled, "label", some))):
        result = check(skipfill, write(queries, f"queries-{number}.parquet"), *judged, "--margin", 0.1, "--not-worse")
        assert [(one["name"], one["queries"]) for one in result.document["check"]["slices"]] == wanted
        assert result.code == 0, result.out


def test_items_held_out_to_choose_the_epoch_are_trained_on(skipfill: Skipfill, with_v2: World) -> None:
    """By id and by content, all of them."""
    sources = ("--items", with_v2.items, "--gallery", "things", "--validation", 0.4, "--epochs", 2)
    skipfill("train", "v3", *sources)
    table = pq.read_table(with_v2.items)
    other = write(with_column(table, "id", [f"o{i}" for i in range(len(table))]), "other.parquet")
    for queries in (with_v2.items, other):
        refused = skipfill("check", "things", "v3", "--items", queries, expect=2)
        assert "expected items that model v3 was not trained on" in refused.err


def numbered(skipfill: Skipfill, world: World) -> tuple[pa.Table, pa.Table]:
    """A gallery whose ids are integers, and its items."""
    rows, items = pq.read_table("gallery.parquet"), pq.read_table(world.gallery_items)
    numbers = [int(one[1:]) for one in rows["id"].to_pylist()]
    write(with_column(rows, "id", numbers).replace_schema_metadata(None), "numbers.parquet")
    skipfill("gallery", "add", "numbers", "numbers.parquet", "--space", "v1")
    return rows, with_column(items, "id", numbers)


def test_ids_of_another_type_than_the_gallerys_are_refused(skipfill: Skipfill, with_v2: World) -> None:
    _, items = numbered(skipfill, with_v2)
    texts = with_column(items, "id", [str(one) for one in items["id"].to_pylist()])
    refused = check(skipfill, write(texts, "texts.parquet"), gallery="numbers")
    assert refused.code == 2
    assert "expected ids of type int64, as in gallery numbers, found string" in refused.err


def test_ids_of_both_types_are_remembered(skipfill: Skipfill, with_v2: World) -> None:
    """Of a model that was trained on integers, and of one that started from it and was trained on texts."""
    _, items = numbered(skipfill, with_v2)
    trained = items.filter(pc.less(items["label"], "class-09"))
    first = ("--items", write(trained, "first.parquet"), "--gallery", "numbers", "--epochs", 1)
    skipfill("train", "v3", *first)
    skipfill("train", "v4", "--items", with_v2.items, "--gallery", "things", "--init", "v3", "--epochs", 1)
    for table, gallery in ((trained, "numbers"), (pq.read_table(with_v2.items), "things")):
        vectors = np.stack(table["vector"].to_pylist()) * np.float32(1.01)
        again = write_vectors(Path("again.parquet"), vectors, table["id"].to_pylist(), table["label"].to_pylist())
        refused = skipfill("check", gallery, "v4", "--items", again, expect=2)
        assert "expected items that model v4 was not trained on" in refused.err


# --- groups of queries


def test_slices_and_identities_that_are_drawn_are_refused(skipfill: Skipfill, with_v2: World) -> None:
    for option in ("--slice", "--identity"):
        refused = check(skipfill, with_v2.heldout, option, "random() < .5")
        assert refused.code == 2
        assert "expected the same value for a query each time" in refused.err


def test_a_column_that_decides_a_slice_of_the_policy_is_part_of_what_was_asked(
    skipfill: Skipfill, with_v2: World
) -> None:
    """To move other queries into the slice, or into an identity, is to ask other queries."""
    table = pq.read_table(with_v2.heldout)
    skipfill("policy", "things", *LENIENT, "--slice", "lang = 'fr'")

    def checked(french: int, *more: object) -> Result:
        lang = ["fr" if place < french else "en" for place in range(len(table))]
        return check(skipfill, write(with_column(table, "lang", lang), "queries.parquet"), *more)

    assert checked(10).code == 3
    moved = checked(180)
    assert moved.code == 0, moved.out
    assert "swap" not in skipfill("swap", "things", "v2", expect=1).out
    one, same, other = (checked(french, "--identity", "lang").document["check"]["queries"] for french in (90, 90, 91))
    assert one == same
    assert one["digest"] != other["digest"]


def test_who_brings_the_queries_does_not_decide_a_slice_of_the_gallery(skipfill: Skipfill, with_v2: World) -> None:
    """By a column of the same name as the gallery's, or by one that imitates the table."""
    rows, items = pq.read_table("gallery.parquet"), pq.read_table(with_v2.gallery_items)
    write(with_column(rows, "shop", ["a" if place % 3 else "b" for place in range(len(rows))]), "shops.parquet")
    skipfill("gallery", "add", "shops", "shops.parquet", "--space", "v1")
    mine = pa.array(["a" if place % 5 else "b" for place in range(len(items))])
    imitated = pa.StructArray.from_arrays([mine], ["shop"])
    for predicate, column, values in (("shop = 'a'", "shop", mine), ("gallery.shop = 'a'", "gallery", imitated)):
        skipfill("policy", "shops", "--slice", predicate)
        honest = check(skipfill, with_v2.gallery_items, gallery="shops")
        assert predicate in [one["name"] for one in honest.document["check"]["slices"]]
        refused = check(skipfill, write(with_column(items, column, values), "mine.parquet"), gallery="shops")
        assert refused.code == 2, refused.out
    skipfill("policy", "shops", "--slice", "label = 'class-01'")
    assert check(skipfill, with_v2.gallery_items, gallery="shops").code != 2


# --- what is left out


WORSE = [f"class-{number:02d}" for number in range(4, 12)]


def relabelled(path: Path, name: str, change: Callable[[str], object], labels: Sequence[str] = WORSE) -> Path:
    table = pq.read_table(path)
    given = table["label"].to_pylist()
    return write(with_column(table, "label", [change(one) if one in labels else one for one in given]), name)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda label: label + " ", "'class-04 ' ('class-04' in the gallery)"),
        (str.upper, "'CLASS-04' ('class-04' in the gallery)"),
        (lambda label: label.replace("-", "\uff0d"), "('class-04' in the gallery)"),
        (lambda label: f"other {label}", ""),
        (lambda label: None, "128 queries left out: no label"),
    ],
    ids=["space", "case", "form", "other", "none"],
)
def test_no_more_than_a_few_queries_are_left_out(
    skipfill: Skipfill, with_v2: World, change: Callable[[str], object], named: str
) -> None:
    queries = relabelled(with_v2.heldout, "changed.parquet", change)
    result = check(skipfill, queries)
    assert result.code == 3, result.out
    found = findings(result)["few left out"]
    assert "128 of 192 are (66.7%)" in found
    assert named in found
    assert any("at most 5% of the queries left out" in line for line in result.document["check"]["why"])


def test_a_few_queries_may_be_left_out(skipfill: Skipfill, with_v2: World) -> None:
    table = pq.read_table(with_v2.heldout)
    labels = table["label"].to_pylist()
    result = check(skipfill, write(with_column(table, "label", [None, *labels[1:-8], *["new"] * 8]), "some.parquet"))
    assert result.code == 0, result.out
    assert "1 query left out: no label" in notes(result)
    assert "8 queries left out" in notes(result)
    result = check(skipfill, write(with_column(table, "label", [None, *labels[1:-9], *["new"] * 9]), "more.parquet"))
    assert result.code == 3
    assert check(skipfill, Path("more.parquet"), "--most-left-out", 0.06).code == 0


def test_labels_that_the_gallery_knows_better_are_left_out(skipfill: Skipfill, with_v2: World) -> None:
    """Rows as queries, the ones that fare worse with the label of what they find. A few are only named."""
    table = pq.read_table(with_v2.gallery_items)
    honest = check(skipfill, with_v2.gallery_items)
    (path,) = Path(".skipfill/checks/things").glob(f"{honest.document['check']['id']}/queries.parquet")
    worse = {one["id"]: one["new/old mAP"] < one["old/old mAP"] for one in pq.read_table(path).to_pylist()}
    labels = table["label"].to_pylist()
    other = [f"class-{(int(label[6:]) + 1) % 12:02d}" for label in labels]
    for most in (5, 100):
        places = [place for place, one in enumerate(table["id"].to_pylist()) if worse.get(one)][:most]
        changed = [other[place] if place in places else label for place, label in enumerate(labels)]
        result = check(skipfill, write(with_column(table, "label", changed), "changed.parquet"))
        note = f"{len(places)} queries left out: another label than the gallery's row with the same id has"
        assert note in notes(result)
        assert ("few left out" in findings(result)) == (most == 100)
    assert result.code == 3


def test_what_was_trained_on_does_not_dilute_what_is_left_out(skipfill: Skipfill, with_v2: World) -> None:
    changed = pq.read_table(relabelled(with_v2.heldout, "changed.parquet", lambda label: label + " ", WORSE[:1]))
    diluted = write(pa.concat_tables([changed, pq.read_table(with_v2.items)]), "diluted.parquet")
    assert "16 of 192 are" in findings(check(skipfill, diluted))["few left out"]


def test_a_finding_is_a_requirement_in_every_form_of_the_report(skipfill: Skipfill, with_v2: World) -> None:
    queries = relabelled(with_v2.heldout, "changed.parquet", lambda label: label + " ")
    files = ("--junit", "junit.xml", "--html", "report.html")
    skipfill("check", "things", "v2", "--items", queries, *LENIENT, *files, expect=3)
    shown = skipfill("check", "things", "v2", "--items", queries, *LENIENT, "--github", expect=3)
    for form in (Path("junit.xml").read_text(), Path("report.html").read_text(), shown.out):
        text = " ".join(form.split())
        assert "at most 5% of the queries left out" in text
        assert "128 of 192 are (66.7%)" in text
    refused = skipfill("swap", "things", "v2", expect=1)
    assert "expected a passing check" in refused.err


def test_not_a_number_is_no_label(skipfill: Skipfill, with_v2: World) -> None:
    """In the gallery, and among the queries."""

    def numbers(table: pa.Table) -> pa.Table:
        labels = [float(one[6:]) for one in table["label"].to_pylist()]
        return with_column(table, "label", [np.nan if one >= 7 else one for one in labels])

    write(numbers(pq.read_table("gallery.parquet")).replace_schema_metadata(None), "numbers.parquet")
    skipfill("gallery", "add", "numbers", "numbers.parquet", "--space", "v1")
    result = check(skipfill, write(numbers(pq.read_table(with_v2.heldout)), "queries.parquet"), gallery="numbers")
    assert result.code == 3
    assert "80 queries left out: no label" in findings(result)["few left out"]


# --- names of slices


@pytest.mark.parametrize("name", ["others", "seen", "unseen", " UnSeen "])
def test_names_of_every_check_are_reserved(skipfill: Skipfill, with_v2: World, name: str) -> None:
    table = pq.read_table(with_v2.heldout)
    queries = write(with_column(table, name.strip(), [True] * len(table)), "queries.parquet")
    result = check(skipfill, queries, "--slice", name)
    assert result.code == 2
    assert "another name than those of every check" in result.err


def test_each_slice_has_a_name_of_its_own(skipfill: Skipfill, with_v2: World) -> None:
    twice = check(skipfill, with_v2.heldout, "--slice", "relevant > 3", "--slice", "relevant > 3")
    assert twice.code == 2
    assert "expected each slice once, found 2 of this name" in twice.err
    twice = check(skipfill, with_v2.heldout, *["--slice-by", "label"] * 2, "--least-queries", 2)
    assert twice.code == 2


def test_earlier_names_are_understood(skipfill: Skipfill, with_v2: World) -> None:
    command = ("check", "things", "v2", "--items", with_v2.heldout, "--metric", "mAP", "--margin", 0.3)
    result = skipfill(*command, "--accept-worse", "others", "--json")
    assert [one["name"] for one in result.document["check"]["slices"]] == ["all", "seen", "unseen"]
    assert result.document["check"]["policy"]["accept_worse"] == ["unseen"]


# --- vectors of any length


@pytest.fixture(scope="session")
def elsewhere_folder(with_v2_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that each test's `elsewhere` is a copy of."""

    def make(folder: Path) -> None:
        world = World.at(folder)
        shutil.copytree(with_v2_folder, folder, dirs_exist_ok=True)
        write(pq.read_table(folder / "gallery.parquet").replace_schema_metadata(None), str(folder / "plain.parquet"))
        sources = ("--items", world.items, "--gallery", "plain", "--align", world.unlabelled, "--epochs", 60)
        run_in(
            folder, ["gallery", "add", "plain", "plain.parquet", "--space", "ada"], ["train", "v3", *sources, "--quiet"]
        )

    return made_once(tmp_path_factory, "elsewhere", make)


@pytest.fixture
def elsewhere(with_v2: World, elsewhere_folder: Path) -> pa.Table:
    """A gallery `plain` in a space that no model of the store made, and v3 trained against it; its rows."""
    shutil.copytree(elsewhere_folder, with_v2.folder, dirs_exist_ok=True)
    return pq.read_table("plain.parquet")


def without_time(result: Result) -> list[Any]:
    return [result.document["check"]["slices"], result.document["check"]["flips"]]


def test_stored_vectors_may_have_any_length(skipfill: Skipfill, with_v2: World, elsewhere: pa.Table) -> None:
    """Their sums of squares overflow or vanish in float32, and every cosine is what it was."""
    rows = elsewhere
    vectors = np.stack(rows["vector"].to_pylist()).astype(np.float32)
    results = []
    for name, scale in (("plain", 1.0), ("big", 2.0**66), ("small", 2.0**-74)):
        if name != "plain":
            path = write_vectors(
                Path(f"{name}.parquet"), vectors * scale, rows["id"].to_pylist(), rows["label"].to_pylist()
            )
            skipfill("gallery", "add", name, path, "--space", "ada")
        command = ("check", name, "v3", "--items", with_v2.gallery_items, *LENIENT, "--json")
        results.append(without_time(skipfill(*command, expect=None)))
    assert results[0][0][0]["cells"][0]["value"]["mean"] > 0.3
    assert results[1] == results[0]
    assert results[2] == results[0]


# --- near copies


def copies(path: Path, times: int, apart: float) -> pa.Table:
    """Twenty items, each several times, with other ids and a little apart."""
    few = pq.read_table(path).take(list(range(0, 192, 10)))
    vectors = np.tile(np.stack(few["vector"].to_pylist()), (times, 1))
    vectors *= 1 + apart * np.random.default_rng(0).normal(size=vectors.shape)
    name = Path("copies.parquet")
    write_vectors(name, vectors, [f"c{i}" for i in range(len(vectors))], few["label"].to_pylist() * times)
    return with_column(pq.read_table(name), "person", [f"p{i}" for i in range(len(vectors))])


@pytest.mark.parametrize("apart", [0, 1e-7, 1e-6, 1e-5])
@pytest.mark.parametrize("identity", [(), ("--identity", "person")], ids=["alone", "identity"])
def test_near_copies_are_one_piece_of_evidence(
    skipfill: Skipfill, with_v2: World, identity: tuple[str, ...], apart: float
) -> None:
    """Also where each is said to be another's."""
    result = check(skipfill, write(copies(with_v2.heldout, 5, apart), "queries.parquet"), *identity)
    first = result.document["check"]["slices"][0]
    assert (first["queries"], first["units"]) == (100, 20)
    assert result.code == 3


def test_identities_join_what_copies_do_not(skipfill: Skipfill, with_v2: World) -> None:
    """Copies of one query with two customers make these one."""
    table = copies(with_v2.heldout, 2, 1e-6)
    people = [i % 20 // 2 for i in range(20)] + [i % 20 // 2 for i in range(1, 21)]
    result = check(skipfill, write(with_column(table, "person", people), "queries.parquet"), "--identity", "person")
    assert result.document["check"]["slices"][0]["units"] == 1


# --- room of a metric


@pytest.mark.parametrize("metric", ["CMC@385", "recall@99999999999999999999999", "nDCG@1000"])
def test_a_metric_of_more_rows_than_there_are_is_refused(skipfill: Skipfill, with_v2: World, metric: str) -> None:
    refused = check(skipfill, with_v2.heldout, "--metric", metric)
    assert refused.code == 2
    assert "expected at most the 384 rows of gallery things" in refused.err


@pytest.mark.parametrize("metric", ["CMC@384", "CMC@200", "recall@384", "recall@383"])
def test_a_metric_that_any_order_fares_well_in_is_no_evidence(skipfill: Skipfill, with_v2: World, metric: str) -> None:
    result = check(skipfill, with_v2.heldout, "--metric", metric, "--margin", 0.02, "--not-worse")
    assert result.code == 3
    assert "better than random" in findings(result)


def test_a_baseline_of_noise_is_no_evidence(skipfill: Skipfill, with_v2: World) -> None:
    """A margin as wide as all that the old model can do."""
    result = check(skipfill, with_v2.heldout, "--metric", "CMC@1", "--margin", 0.9, "--not-worse")
    assert result.code == 3
    assert "a random order 0.09" in findings(result)["better than random"]


def test_a_slice_in_which_the_old_model_is_hardly_better_than_chance_is_no_evidence(
    skipfill: Skipfill, with_v2: World
) -> None:
    """Not to be worse by the margin is then no feat. To be better for sure is."""
    poor, better = "label = 'class-11'", "label in ('class-05', 'class-06', 'class-07')"
    result = check(skipfill, with_v2.heldout, "--least-queries", 10, "--slice", poor, "--slice", better)
    slices = {one["name"]: one for one in result.document["check"]["slices"]}
    assert result.code == 3
    assert findings(result) == {}
    assert slices[better]["verdict"] == "pass"
    assert slices[better]["cells"][0]["value"]["mean"] < 0.25 + 0.1
    honest, found = slices[poor]["requirements"]
    assert (honest["verdict"], slices[poor]["verdict"]) == ("pass", "inconclusive")
    assert found["base"] == "better than random"
    assert f"{poor}: no evidence: a baseline that is better" in "\n".join(result.document["check"]["why"])


# --- a reindex as the truth


REINDEX = ("--truth", "reindex", "--metric", "recall@10")


@pytest.fixture(scope="session")
def with_other_folder(with_v2_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that each test's `with_other` is a copy of."""

    def make(folder: Path) -> None:
        shutil.copytree(with_v2_folder, folder, dirs_exist_ok=True)
        independent = ["--method", "independent", "--epochs", 20, "--seed", 1]
        run_in(folder, ["train", "other", "--items", World.at(folder).items, *independent])

    return made_once(tmp_path_factory, "with_other", make)


@pytest.fixture
def with_other(skipfill: Skipfill, with_other_folder: Path, tmp_path: Path) -> World:
    """And an independent model."""
    shutil.copytree(with_other_folder, tmp_path, dirs_exist_ok=True)
    return World.at(tmp_path)


def test_a_model_does_not_say_itself_what_is_relevant(skipfill: Skipfill, with_other: World) -> None:
    rows = ("--gallery-items", with_other.gallery_items)
    alone = check(skipfill, with_other.heldout, *REINDEX, *rows)
    assert alone.code == 2
    assert "expected a model other than v2 to say what is relevant, found none" in alone.err
    skipfill("blend", "both", "--new", "v2", "--old", "v1")
    more = ("--items", with_other.items, "--epochs", 1)
    skipfill("train", "later", *more, "--gallery", "things", "--init", "v2")
    for kin in ("v2", "both", "later"):
        refused = check(skipfill, with_other.heldout, *REINDEX, *rows, "--ceiling", kin)
        assert refused.code == 2, kin
        assert "expected a model that shares nothing with v2" in refused.err
    command = ("check", "things", "both", "--items", with_other.heldout, *REINDEX, *rows, "--ceiling", "v1")
    assert "shares nothing with both" in skipfill(*command, expect=2).err


def test_models_of_one_frozen_encoder_share_it(skipfill: Skipfill, with_other: World) -> None:
    """Trained apart, from the same weights that no training changes."""
    objects = open_store(Path(".skipfill"))
    v2, other = load_model(objects, "v2"), load_model(objects, "other")
    other.network.encoder.load_state_dict(v2.network.encoder.state_dict())
    weights = other.network.weights()
    views = {("twin" if space == "other" else space): view for space, view in other.card.views.items()}
    save_model(objects, replace(other.card, name="twin", views=views), weights, pa.array(["none"]))
    rows = ("--gallery-items", with_other.gallery_items)
    refused = check(skipfill, with_other.heldout, *REINDEX, *rows, "--ceiling", "twin")
    assert "found one with the same encoder" in refused.err


def test_a_reindex_is_at_best_inconclusive(skipfill: Skipfill, with_other: World) -> None:
    """Unless the gallery's policy names it as the truth."""
    inputs = ("--gallery-items", with_other.gallery_items, "--ceiling", "other", "--margin", 0.1, "--not-worse")
    result = check(skipfill, with_other.heldout, *REINDEX, *inputs)
    assert result.code == 3
    assert "a reindex with other count as relevant" in findings(result)["truth of the policy"]
    policy = Policy(metric="recall@10", margin=0.1, better=False, accept_worse=("unseen",), truth="reindex")
    sources = CheckInputs([with_other.heldout], [with_other.gallery_items], "other", "reindex")
    report = check_model(open_store(Path(".skipfill")), "things", "v2", sources, policy)
    assert [each.kind for each in report.slices[0].requirements] == ["not-worse"]


def test_vectors_that_the_user_brings_may_be_the_truth(skipfill: Skipfill, with_other: World) -> None:
    """As the model that made them would be, and not if the model that is checked did, turned or not."""

    def brought(model: str, turned: bool = False, size: int = 1000) -> list[object]:
        words: list[object] = []
        for option, path in (("--items", with_other.heldout), ("--gallery-items", with_other.gallery_items)):
            Path("encoded.parquet").unlink(missing_ok=True)
            skipfill("encode", model, path, "-o", "encoded.parquet")
            vectors = np.stack(pq.read_table("encoded.parquet")["vector"].to_pylist())
            size = min(size, vectors.shape[1])
            turn = np.linalg.qr(np.random.default_rng(0).normal(size=(size, size)))[0]
            vectors = vectors[:, :size] @ (turn if turned else np.eye(size))
            column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float32).reshape(-1)), size)
            words += [option, write(with_column(pq.read_table(path), "judge", column), f"judged-{path.name}")]
        return words

    def reindexed(*more: object) -> Result:
        options = ("--margin", 0.1, "--not-worse", "--accept-worse", "unseen")
        return skipfill("check", "things", "v2", *REINDEX, *options, *more, "--json", expect=None)

    files = brought("other")
    result = reindexed(*files, "--truth-vector", "judge")
    assert result.code == 3
    assert "the vectors of column judge count as relevant" in findings(result)["truth of the policy"]
    assert old_values(result) == old_values(reindexed(*files, "--ceiling", "other"))
    skipfill("policy", "things", "--truth", "reindex", "--metric", "recall@10", "--margin", 0.1, "--not-worse")
    assert findings(reindexed(*files, "--truth-vector", "judge")) == {}
    assert reindexed(*files, "--truth-vector", "judge", "--truth", "labels").code == 2
    assert reindexed(*files, "--truth-vector", "label").code == 2
    for turned, size in ((False, 1000), (True, 1000), (False, 8)):
        own = reindexed(*brought("v2", turned, size), "--truth-vector", "judge")
        assert own.code == 2
        assert "expected vectors of another model than v2, found its" in own.err


def test_a_reindex_may_be_the_truth_of_a_blend(skipfill: Skipfill, with_other: World) -> None:
    """As numpy finds it; a model that the blend is made of may not judge it."""
    skipfill("blend", "mixed", "--new", "v2", "--old", "v1", "--weight", 0.5)
    sources = ("--items", with_other.heldout, "--gallery-items", with_other.gallery_items, *REINDEX)
    result = skipfill("check", "things", "mixed", *sources, "--ceiling", "other", "--json", expect=None)
    cells = {
        (one["pair"], one["metric"]): one["value"]["mean"] for one in result.document["check"]["slices"][0]["cells"]
    }
    found = {}
    for name, model, items, *onto in (
        ("judge", "other", with_other.heldout),
        ("rows", "other", with_other.gallery_items),
        ("queries", "mixed", with_other.heldout, "--onto", "v1"),
    ):
        skipfill("encode", model, items, *onto, "-o", f"{name}.parquet")
        found[name] = np.stack(pq.read_table(f"{name}.parquet")["vector"].to_pylist())
    stored = np.stack(pq.read_table("gallery.parquet")["vector"].to_pylist())
    wanted = np.argsort(-found["judge"] @ found["rows"].T, axis=1)[:, :10]
    first = np.argsort(-found["queries"] @ stored.T, axis=1)[:, :10]
    recall = np.mean([len(set(one) & set(other)) / 10 for one, other in zip(wanted, first, strict=True)])
    assert cells["new/old", "recall@10"] == pytest.approx(recall)
    for part in ("v1", "v2"):
        refused = skipfill("check", "things", "mixed", *sources, "--ceiling", part, expect=2).err
        assert "expected a model that shares nothing with mixed" in refused


def test_documents_as_queries_are_warned_of(skipfill: Skipfill, with_other: World) -> None:
    result = check(skipfill, with_other.gallery_items, *REINDEX, "--ceiling", "other")
    assert "queries are rows of the gallery" in notes(result)


# --- stored vectors as the baseline


def shifted(world: World, share: float = 1.0) -> Path:
    """Items of gallery rows that v2 was not trained on, some with the id of the next one of their class."""
    table = pq.read_table(world.gallery_items)
    trained = [pq.read_table(path)["id"] for path in (world.items, world.unlabelled)]
    free = table.filter(pc.invert(pc.is_in(table["id"], pa.chunked_array([one.combine_chunks() for one in trained]))))
    ids, labels = np.array(free["id"].to_pylist()), np.array(free["label"].to_pylist())
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        places = places[: round(share * len(places))]
        ids[places] = np.roll(ids[places], 1)
    return write(with_column(free, "id", ids), "shifted.parquet")


def test_stored_vectors_of_other_items_are_no_baseline(skipfill: Skipfill, with_v2: World) -> None:
    """A query whose own row is in the gallery under another id, for the new model to find."""
    for share, code in ((1.0, 3), (0.2, 3), (0.0, 0)):
        result = check(skipfill, shifted(with_v2, share))
        assert result.code == code, share
        assert ("stored as encoded" in findings(result)) == bool(share)
    own = skipfill("check", "things", "v1", "--items", shifted(with_v2, 0.4), "--not-worse", "--json", expect=None)
    assert "differ from what v1 makes of the items" in findings(own)["stored as encoded"]


def test_advice_finds_so_of_every_candidate(skipfill: Skipfill, with_v2: World) -> None:
    """The baseline is measured once, for all of them."""
    skipfill("blend", "mixed", "--new", "v2", "--old", "v1", "--weight", 0.9)
    for share in (0.0, 1.0):
        inputs, objects = CheckInputs([shifted(with_v2, share)]), open_store(Path(".skipfill"))
        contexts = [
            CheckContext.opened(objects, "things", name, inputs, Policy(), Progress()) for name in ("v2", "mixed")
        ]
        with ReencodableRows.opened(contexts[0]) as rows:
            candidates_of(contexts, rows, old_serves=True)
        found = [{finding.rule for finding in context.findings} for context in contexts]
        assert ["stored as encoded" in one for one in found] == [bool(share)] * 2


def test_a_few_stored_vectors_of_other_items_are_replaced(skipfill: Skipfill, with_v2: World) -> None:
    """Items may have changed since; what the old model makes of them is the baseline."""
    honest = old_values(check(skipfill, shifted(with_v2, 0)))
    table = pq.read_table("shifted.parquet")
    ids = table["id"].to_pylist()
    write(with_column(table, "id", [ids[1], ids[0], *ids[2:]]), "two.parquet")
    result = check(skipfill, Path("two.parquet"))
    assert findings(result) == {}
    assert f"in gallery things, 2 of {len(ids)} stored vectors differ" in notes(result)
    # Each finds its own row first, which has another id now.
    values = old_values(result)
    assert values[ids[0]] > honest[ids[1]]
    assert values[ids[1]] > honest[ids[0]]


# --- old queries' vectors


def with_old_vectors(skipfill: Skipfill, world: World) -> tuple[pa.Table, pa.Table]:
    """Held-out items, and items of gallery rows, each with v1's vectors in a column `old`; v1 is not asked again."""
    tables = []
    for path in (world.heldout, world.gallery_items):
        skipfill("encode", "v1", path, "-o", f"old-{path.name}")
        tables.append(with_column(pq.read_table(path), "old", pq.read_table(f"old-{path.name}")["vector"]))
    skipfill("gallery", "drop", "things", "--confirm", "things")
    return tables[0], tables[1]


def v3(skipfill: Skipfill, items: Path, *more: object) -> Result:
    return skipfill("check", "plain", "v3", "--items", items, *LENIENT, *more, "--json", expect=None)


def old_values(result: Result) -> dict[str, float]:
    path = Path(".skipfill/checks") / result.document["check"]["gallery"] / result.document["check"]["id"]
    table = pq.read_table(path / "queries.parquet")
    return dict(zip(table["id"].to_pylist(), table["old/old mAP"].to_pylist(), strict=True))


@pytest.mark.usefixtures("elsewhere")
def test_old_vectors_may_be_brought(skipfill: Skipfill, with_v2: World) -> None:
    wanted = old_values(check(skipfill, with_v2.heldout))
    queries, rows = with_old_vectors(skipfill, with_v2)
    refused = v3(skipfill, write(queries, "queries.parquet"))
    assert refused.code == 2
    assert "--old-vector COLUMN" in refused.err
    result = v3(skipfill, write(pa.concat_tables([queries, rows]), "both.parquet"), "--old-vector", "old")
    assert findings(result) == {}
    assert result.code == 0, result.out
    assert result.document["check"]["baseline"] == "given in column old"
    brought = old_values(result)
    assert {name: brought[name] for name in wanted} == pytest.approx(wanted)
    result = v3(
        skipfill, Path("queries.parquet"), "--old-vector", "old", "--gallery-items", write(rows, "rows.parquet")
    )
    assert findings(result) == {}


def noise(table: pa.Table) -> pa.Table:
    values = np.random.default_rng(0).normal(size=(len(table), 8)).astype(np.float32)
    return with_column(table, "old", pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), 8))


@pytest.mark.usefixtures("elsewhere")
def test_brought_vectors_must_be_those_of_the_gallerys_model(skipfill: Skipfill, with_v2: World) -> None:
    queries, rows = with_old_vectors(skipfill, with_v2)
    few = pa.concat_tables([queries, rows.slice(0, 31)])
    refused = v3(skipfill, write(pa.concat_tables([queries, noise(rows)]), "noise.parquet"), "--old-vector", "old")
    assert refused.code == 2
    assert "expected vectors of the encoder that filled gallery plain" in refused.err
    assert "items that are rows, 0 have the stored vector" in refused.err
    for name, table in (("none", queries), ("few", few)):
        result = v3(skipfill, write(table, f"{name}.parquet"), "--old-vector", "old", "--not-worse")
        assert result.code == 3, name
        assert "of these agree" in findings(result)["vectors of the gallery's model"]
    assert v3(skipfill, Path("few.parquet"), "--old-vector", "label").code == 2


@pytest.mark.usefixtures("elsewhere")
def test_a_row_that_is_in_both_files_counts_once(skipfill: Skipfill, with_v2: World) -> None:
    queries, rows = with_old_vectors(skipfill, with_v2)
    few = rows.slice(0, 20)
    both = write(pa.concat_tables([queries, few]), "both.parquet")
    more = ("--old-vector", "old", "--gallery-items")
    result = v3(skipfill, both, *more, write(few, "few.parquet"))
    assert result.code == 3
    assert "20 of the rows looked at" in findings(result)["vectors of the gallery's model"]
    assert v3(skipfill, both, *more, write(rows.slice(10, 30), "others.parquet")).code == 0


@pytest.mark.usefixtures("elsewhere")
def test_judged_queries_may_bring_old_vectors(skipfill: Skipfill, with_v2: World) -> None:
    """The rows beside them are not queries, and do not count as left out."""
    queries, rows = with_old_vectors(skipfill, with_v2)
    judged = ("--judgements", judgements(queries, pq.read_table("plain.parquet")))
    refused = v3(skipfill, write(queries, "queries.parquet"), *judged)
    assert refused.code == 2
    assert "--old-vector COLUMN" in refused.err
    both = write(pa.concat_tables([queries, rows]), "both.parquet")
    result = v3(skipfill, both, *judged, "--old-vector", "old")
    assert result.code == 0, result.out
    assert result.document["check"]["slices"][0]["queries"] == 192
    assert findings(v3(skipfill, Path("queries.parquet"), *judged, "--old-vector", "old")) != {}


@pytest.mark.usefixtures("elsewhere")
def test_a_judged_query_with_the_id_of_a_row_is_no_row(skipfill: Skipfill, with_v2: World) -> None:
    """A row beside the queries is told by its vector: a query with nothing to find is left out, whatever its id."""
    queries, rows = with_old_vectors(skipfill, with_v2)
    judged = ("--judgements", judgements(queries.slice(40), pq.read_table("plain.parquet")))
    ids = rows["id"].to_pylist()[40:80] + queries["id"].to_pylist()[40:]
    both = pa.concat_tables([with_column(queries, "id", ids), rows.slice(0, 40)])
    result = v3(skipfill, write(both, "both.parquet"), *judged, "--old-vector", "old")
    assert "40 of 192" in findings(result)["few left out"]
    assert result.code == 3


@pytest.mark.usefixtures("elsewhere")
def test_zero_vectors_are_no_baseline(skipfill: Skipfill, with_v2: World) -> None:
    queries, rows = with_old_vectors(skipfill, with_v2)
    zeros = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(8 * len(queries), np.float32)), 8)
    both = pa.concat_tables([with_column(queries, "old", zeros), rows])
    refused = v3(skipfill, write(both, "both.parquet"), "--old-vector", "old")
    assert refused.code == 2
    assert "expected vectors that are finite and not all zeros" in refused.err


def test_old_and_new_model_may_read_different_columns(skipfill: Skipfill, with_v2: World) -> None:
    table, rows = pq.read_table(with_v2.heldout), pq.read_table(with_v2.gallery_items)
    plain = check(skipfill, with_v2.heldout, "--gallery-items", with_v2.gallery_items)
    two, rows = (
        one.rename_columns(["id", "new", "label"]).append_column("former", one["vector"]) for one in (table, rows)
    )
    alone = ("--input", "new", "--old-input", "former")
    columns = (*alone, "--gallery-items", write(rows, "rows.parquet"))
    assert without_time(check(skipfill, write(two, "two.parquet"), *columns)) == without_time(plain)
    shuffled = with_column(two, "former", table["vector"].take(pa.array(np.random.default_rng(0).permutation(192))))
    assert old_values(check(skipfill, write(shuffled, "shuffled.parquet"), *columns)) != old_values(plain)
    unknown = check(skipfill, Path("two.parquet"), *alone)
    assert unknown.code == 3
    assert "there is none" in findings(unknown)["rows of the old input"]
    both = (*columns, "--old-vector", "former")
    assert check(skipfill, Path("two.parquet"), *both).code == 2


def test_neighbours_are_agreement_and_no_truth(skipfill: Skipfill, with_v2: World) -> None:
    """The share of the first rows of each stored vector that the new query keeps; it never passes, and never fails."""
    rows = np.stack(pq.read_table("gallery.parquet").column("vector").to_pylist())
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    trained = [item for path in (with_v2.items, with_v2.unlabelled) for item in pq.read_table(path)["id"].to_pylist()]
    items = pq.read_table(with_v2.gallery_items)
    queries = write(items.filter(pc.invert(pc.is_in(items["id"], pa.array(trained)))), "rows.parquet")
    skipfill("encode", "v2", queries, "--onto", "v1", "-o", "new.parquet")
    new = np.stack(pq.read_table("new.parquet").column("vector").to_pylist())
    own = pc.index_in(pq.read_table(queries)["id"], pq.read_table("gallery.parquet")["id"]).to_numpy()

    def first(vectors: np.ndarray) -> np.ndarray:
        scores = vectors @ rows.T
        scores[np.arange(len(own)), own] = -2
        return np.argsort(-scores, axis=1)[:, :5]

    kept = np.mean([len(set(a) & set(b)) / 5 for a, b in zip(first(rows[own]), first(new), strict=True)])
    agreement = ["check", "things", "v2", "--items", queries, "--truth", "neighbours", "--depth", 5, "--json"]
    for more in ([], ["--not-worse", "--margin", "0.99"]):
        result = skipfill(*agreement, *more, expect=3)
        assert "agreement" in findings(result)["agreement is no truth"]
        cells = result.document["check"]["slices"][0]["cells"]
        means = {one["pair"]: one["value"]["mean"] for one in cells if one["metric"] == "recall@5"}
        assert means["new/old"] == pytest.approx(kept, abs=1e-3)
        assert means["old/old"] == 1
    skipfill("policy", "things", "--truth", "neighbours", expect=2)
    strangers = write(with_column(items, "id", [f"s{i}" for i in range(len(items))]), "strangers.parquet")
    assert "expected queries that are rows" in check(skipfill, strangers, "--truth", "neighbours").err
