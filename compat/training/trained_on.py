"""Items that a training and the models it builds on used, by id and content. No check may ask them as queries.

Items held out to choose the epoch are among them, because the epoch was chosen to suit them.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.training.sources import OpenedSources
from skipfill.store.models.cards import Card
from skipfill.store.models.files import TrainedContent, trained_content, trained_ids
from skipfill.store.parquet.digests.item_digests import content_digests
from skipfill.store.parquet.ids import IdSet
from skipfill.store.parquet.items import Items
from skipfill.store.storage.object_store import ObjectStore


@dataclass(frozen=True)
class TrainedOn:
    """The items of a training and of the models that it builds on.

    Attributes:
        ids: ids of the items, integers or strings.
        content: digests of the items.
    """

    ids: IdSet
    content: TrainedContent

    @classmethod
    def by(cls, objects: ObjectStore, opened: OpenedSources) -> TrainedOn:
        """The items of a training. They are read once more."""
        own = [items for items in (opened.items, opened.unlabelled) if items is not None]
        read = [TrainedContent(content_digests(items), complete=True) for items in own]
        return cls._joined(objects, [model.card for model in opened.builds_on], [items.ids for items in own], read)

    @classmethod
    def by_models(cls, objects: ObjectStore, *models: LoadedModel, queries: Items | None = None) -> TrainedOn:
        """The items of models that are combined into a new model without training.

        Args:
            queries: queries that chose a setting of the new model. Only their content is kept: their ids need not be
                ids of items.
        """
        chose = [] if queries is None else [TrainedContent(content_digests(queries), complete=True)]
        return cls._joined(objects, [model.card for model in models], [], chose)

    @classmethod
    def _joined(
        cls, objects: ObjectStore, cards: list[Card], ids: list[pa.Array], contents: list[TrainedContent]
    ) -> TrainedOn:
        earlier_ids = [trained_ids(objects, card) for card in cards]
        earlier_contents = [trained_content(objects, card) for card in cards]
        return cls(
            IdSet.of([*ids, *(part for one in earlier_ids for part in one.parts)]),
            TrainedContent.joined([*contents, *earlier_contents]),
        )
