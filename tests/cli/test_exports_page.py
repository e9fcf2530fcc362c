"""The page on exports: its commands run as written, and its service needs onnxruntime and tokenizers alone."""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np

from skipfill.cli.guide.registry import page
from skipfill.compat.serving import released
from tests.compat.encoders.samples import bert
from tests.compat.inference.bundles import write_items
from tests.conftest import Skipfill

PAGE = page("exports")
TEXTS = ["ab", "cab bac", "abcdefgh", "zz y"]


def commands() -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", PAGE, re.S)
    return [line for text in blocks for line in text.splitlines()]


def service() -> str:
    return next(code for code in re.findall(r"```python\n(.*?)```", PAGE, re.S) if "HTTPServer" in code)


def upgraded(skipfill: Skipfill, folder: Path) -> None:
    """A gallery `products` of the space `ada`, and v2 in use, a text model with a map onto that space."""
    write_items(["ab" * (1 + row % 5) + chr(97 + row % 26) for row in range(64)])
    encoder = ["--encoder", f"hf:{bert(folder)}", "--set", "hf.frozen=true"]
    skipfill("init")
    skipfill("train", "ada", "--items", "items.parquet", *encoder, "--dim", 6, "--epochs", 1)
    skipfill("encode", "ada", "items.parquet", "-o", "gallery.parquet")
    skipfill("gallery", "add", "products", "gallery.parquet", "--space", "ada")
    skipfill("train", "v2", "--items", "items.parquet", "--gallery", "products", "--method", "ridge", *encoder)
    skipfill("swap", "products", "v2", "--without-check", "small")


def test_the_page_runs_as_written(skipfill: Skipfill, tmp_path: Path) -> None:
    upgraded(skipfill, tmp_path)
    expected = released(".skipfill", "products").encode(TEXTS)
    story = commands()
    assert len(story) == 3
    for line in story:
        skipfill(*shlex.split(line)[1:])

    from sentence_transformers import SentenceTransformer

    np.testing.assert_allclose(SentenceTransformer("v2-st", device="cpu").encode(TEXTS), expected, atol=1e-5)
    assert len([line for line in service().splitlines() if line.strip()]) <= 20
    np.testing.assert_allclose(served(TEXTS), expected, atol=1e-5)


def served(texts: list[str]) -> np.ndarray:
    """The answer of the page's service, run in a process of its own on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    blocked = "import sys; sys.modules.update(dict.fromkeys(('torch', 'skipfill', 'transformers')))\n"
    Path("service.py").write_text(blocked + service().replace("8080", str(port)))
    with subprocess.Popen([sys.executable, "service.py"], stderr=subprocess.DEVNULL) as running:
        try:
            return asked(f"http://127.0.0.1:{port}", texts, running)
        finally:
            running.kill()


def asked(address: str, texts: list[str], running: subprocess.Popen[bytes]) -> np.ndarray:
    request = urllib.request.Request(address, json.dumps(texts).encode())
    while running.poll() is None:
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
                return np.array(json.load(answer), np.float32)
        except ConnectionRefusedError:
            pass
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError):
                raise
        time.sleep(0.05)
    raise AssertionError(f"the service ended with exit {running.returncode}")
