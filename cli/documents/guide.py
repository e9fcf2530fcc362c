"""Documents of the commands that explain: `skipfill guide` and `skipfill schema`; and the document of an error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TopicDocument:
    """A page of the guide in a list.

    Attributes:
        topic: its name.
        summary: what it is about.
    """

    topic: str
    summary: str


@dataclass(frozen=True)
class TopicsDocument:
    """The pages of the guide.

    Attributes:
        topics: in the order in which they are read.
    """

    topics: list[TopicDocument]


@dataclass(frozen=True)
class PageDocument:
    """A page of the guide.

    Attributes:
        topic: its name.
        markdown: its text.
    """

    topic: str
    markdown: str


@dataclass(frozen=True)
class SchemaNameDocument:
    """A JSON Schema in a list.

    Attributes:
        name: as `skipfill schema` takes it.
        title: what it describes.
    """

    name: str
    title: str


@dataclass(frozen=True)
class SchemaNamesDocument:
    """The JSON Schemas of skipfill.

    Attributes:
        schemas: by name.
    """

    schemas: list[SchemaNameDocument]


@dataclass(frozen=True)
class SchemaDocument:
    """A JSON Schema.

    Attributes:
        name: as `skipfill schema` takes it.
        schema: the schema itself.
    """

    name: str
    schema: dict[str, Any]


@dataclass(frozen=True)
class ErrorDocument:
    """The error that ended a command.

    Attributes:
        error: what is wrong, and where.
        hint: the next step; empty for none.
    """

    error: str
    hint: str
