"""The layout of a store: a function for the key of each kind of object, and the names that keys may hold.

store.json                              format of the store
models/NAME/card.json                   card of a model; written last, so that it means a complete bundle
models/NAME/STEM-DIGEST.SUFFIX          a file of its bundle, named by its content
spaces/NAME.json                        a space
galleries/NAME/versions/0000000007.json an entry of the gallery's log
galleries/NAME/files/DIGEST.json        a file list that entries refer to, named by its content
galleries/NAME/rows/CONTENT.npy         hashes of the rows of a file in such a list, named by the content of the file
galleries/NAME/release.json             copy of the newest entry
checks/GALLERY/ID/queries.parquet       results of a check by query
checks/GALLERY/ID/report.json           its report; written after these, so that it means a complete check
checks/GALLERY/by-state/STATE-MODEL/0000000001.json
                                        the check in short. A folder has the checks of one model on one state of the
                                        gallery's rows, whatever the release, in order. A report without such an entry
                                        was cut off before it counted. Every tenth entry also holds those before it
overlays/GALLERY/FINGERPRINT/versions/0000000001.json
                                        an entry of the log of an overlay: vectors by one model for some rows of a
                                        gallery. FINGERPRINT is the first 32 digits of that of the model
overlays/GALLERY/FINGERPRINT/files/DIGEST.parquet
                                        a file of such vectors that entries refer to, named by its content
training/NAME/STAGE.safetensors         checkpoint of an unfinished training
aside/KEY                               an object that a prune is about to delete
probes/ID                               an object that shows whether object storage can refuse to overwrite
.../NAME#DIGITS                         a file that is being written, on a disk only

The log is the truth of a gallery: its entry with the highest number says what is in force. An object is written whole
or not at all, and after every object that it refers to: a reader sees the old state or the new one.
"""

from __future__ import annotations

import re

from skipfill.store.errors import BadInput

MARKER = "store.json"
MODELS = "models"
SPACES = "spaces"
GALLERIES = "galleries"
CHECKS = "checks"
TRAINING = "training"
OVERLAYS = "overlays"
ASIDE = "aside"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_REPORT = re.compile(r"checks/[^/]+/([^/]+)/report\.json")
_VERSION_FILE = re.compile(r"([0-9]{10})\.json")


def is_name(name: str) -> bool:
    """Whether `name` is 1 to 64 letters, digits, `.`, `_` or `-`, starting with a letter or digit."""
    return _NAME.fullmatch(name) is not None and ".." not in name


def valid_name(kind: str, name: str) -> str:
    """Return `name`, which becomes part of a key and must not lead out of the store.

    Raises:
        BadInput: it is not a name but, for example, a path: see `is_name`.
    """
    if not is_name(name):
        raise BadInput(
            f"{kind} name",
            expected="1-64 letters, digits, '.', '_' or '-' with no '..' and no '/'",
            found=repr(name),
            hint="Choose a plain name such as 'products' or 'v2'.",
        )
    return name


def model_folder(model: str) -> str:
    return f"{MODELS}/{valid_name('model', model)}"


def model_file_key(model: str, file: str) -> str:
    """Key of a file of a bundle; `file` has the digest of its content in its name."""
    return f"{model_folder(model)}/{file}"


def card_key(model: str) -> str:
    return model_file_key(model, "card.json")


def space_key(space: str) -> str:
    return f"{SPACES}/{valid_name('space', space)}.json"


def space_of_key(key: str) -> str:
    """Name of the space at a key, or of a file in the folder of spaces."""
    return key.removeprefix(f"{SPACES}/").removesuffix(".json")


def gallery_folder(gallery: str) -> str:
    return f"{GALLERIES}/{valid_name('gallery', gallery)}"


def log_folder(gallery: str) -> str:
    return f"{gallery_folder(gallery)}/versions"


def version_file(number: int) -> str:
    """File name of an entry of a log. These names sort like the numbers."""
    return f"{number:010d}.json"


def version_number(file: str) -> int:
    """Number of the entry with this file name; 0 for a file that is not an entry."""
    entry = _VERSION_FILE.fullmatch(file)
    return int(entry[1]) if entry else 0


def version_key(gallery: str, number: int) -> str:
    return f"{log_folder(gallery)}/{version_file(number)}"


def file_list_key(gallery: str, digest: str) -> str:
    return f"{gallery_folder(gallery)}/files/{valid_name('file list', digest)}.json"


def row_marks_folder(gallery: str) -> str:
    return f"{gallery_folder(gallery)}/rows"


def row_marks_key(gallery: str, content: str) -> str:
    return f"{row_marks_folder(gallery)}/{valid_name('content', content)}.npy"


def release_copy_key(gallery: str) -> str:
    return f"{gallery_folder(gallery)}/release.json"


def checks_folder(gallery: str) -> str:
    """The folder of all checks of a gallery."""
    return f"{CHECKS}/{valid_name('gallery', gallery)}"


def check_folder(gallery: str, check: str) -> str:
    return f"{checks_folder(gallery)}/{valid_name('check', check)}"


def report_key(gallery: str, check: str) -> str:
    return f"{check_folder(gallery, check)}/report.json"


def check_of_report(key: str) -> str:
    """Id of the check whose report has this key; empty for the key of anything else."""
    report = _REPORT.fullmatch(key)
    return report[1] if report and is_name(report[1]) else ""


def per_query_key(gallery: str, check: str) -> str:
    return f"{check_folder(gallery, check)}/queries.parquet"


def by_state_folder(gallery: str) -> str:
    """The folder of the index of a gallery's checks."""
    return f"{checks_folder(gallery)}/by-state"


def index_folder(gallery: str, rows_state: str, fingerprint: str) -> str:
    """The folder of the checks of a model, by its fingerprint, on a state of a gallery's rows."""
    return f"{by_state_folder(gallery)}/{valid_name('state', f'{rows_state}{_of_model(fingerprint)}')}"


def states_of(folders: list[str], fingerprint: str) -> list[str]:
    """The states of the rows that a model was checked on, from the names of the folders of an index."""
    ending = _of_model(fingerprint)
    return [name.removesuffix(ending) for name in folders if name.endswith(ending)]


def _of_model(fingerprint: str) -> str:
    return f"-{fingerprint[:32]}"


def index_key(gallery: str, rows_state: str, fingerprint: str, number: int) -> str:
    return f"{index_folder(gallery, rows_state, fingerprint)}/{version_file(number)}"


def overlay_folder(gallery: str, fingerprint: str) -> str:
    """The folder of a gallery's overlay by the model with this fingerprint; its first 32 digits are enough."""
    return f"{OVERLAYS}/{valid_name('gallery', gallery)}/{valid_name('fingerprint', fingerprint[:32])}"


def overlay_log_folder(gallery: str, fingerprint: str) -> str:
    return f"{overlay_folder(gallery, fingerprint)}/versions"


def overlay_version_key(gallery: str, fingerprint: str, number: int) -> str:
    return f"{overlay_log_folder(gallery, fingerprint)}/{version_file(number)}"


def overlay_file_key(gallery: str, fingerprint: str, digest: str) -> str:
    return f"{overlay_folder(gallery, fingerprint)}/files/{valid_name('overlay file', digest)}.parquet"


def training_folder(model: str) -> str:
    return f"{TRAINING}/{valid_name('model', model)}"


def checkpoint_key(model: str, stage: str) -> str:
    return f"{training_folder(model)}/{stage}.safetensors"


def aside_key(key: str) -> str:
    """Key that the object at `key` has while it is set aside."""
    return f"{ASIDE}/{key}"


def original_key(key: str) -> str:
    """The key without `aside/` in front, if it has that."""
    return key.removeprefix(f"{ASIDE}/")


def probe_key(identity: str) -> str:
    return f"probes/{identity}"
