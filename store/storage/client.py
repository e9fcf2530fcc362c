"""Clients of object storage, with a time limit on every request."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url

from skipfill.store.storage.address import SCHEMES, Url
from skipfill.store.storage.object_errors import unreachable

# Settings of a client, with their defaults. A client that is given any settings takes none from the environment, so
# those that may come from there are listed too.
_CLIENT = {
    "allow_http": "",
    "allow_invalid_certificates": "",
    "proxy_url": "",
    "proxy_ca_certificate": "",
    "proxy_excludes": "",
    "connect_timeout": "5s",
    "timeout": "60s",
}


def client(root: Url) -> ObjectStore:
    """A client for the objects under `root`, configured by the environment: see `ObjectStore`."""
    prefix = SCHEMES[root.scheme]
    given = {name: os.environ.get(f"{prefix}_{name.upper()}", default) for name, default in _CLIENT.items()}
    options: Any = {name: value for name, value in given.items() if value}
    retry_config: Any = {"max_retries": 6, "retry_timeout": timedelta(minutes=1)}
    try:
        return from_url(str(root), client_options=options, retry_config=retry_config)
    except (BaseError, ValueError) as error:
        raise unreachable(root, "an object storage that the environment describes", error) from error
