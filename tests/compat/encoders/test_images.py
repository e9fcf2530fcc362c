"""Images of a closed list of formats: a decoder must not run what a file contains."""

from __future__ import annotations

import io
import stat
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from skipfill.compat.encoders.images import FORMATS, ImageSpec, natural_size, pixels
from skipfill.store.errors import BadInput
from tests.compat.encoders.samples import block


def saved(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((16, 16, 3), 99, np.uint8)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
def test_formats(kind: str) -> None:
    images = block([saved(kind)])
    assert natural_size(images) == (16, 3)
    assert abs(pixels(images, ImageSpec(8, 8, 3)).astype(int) - 99).max() < 9


def test_no_program_is_run_for_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow hands EPS, which is a program, to Ghostscript."""
    ghostscript = tmp_path / "gs"
    ghostscript.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    ghostscript.chmod(ghostscript.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    with pytest.raises(BadInput, match="row 0: expected an image"):
        pixels(block([saved("EPS")]), ImageSpec(8, 8, 3))
    assert not (tmp_path / "ran").exists()
