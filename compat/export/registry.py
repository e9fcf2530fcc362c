"""Every export format by name. To add one: its file here, and its line below."""

from __future__ import annotations

from skipfill.compat.export.format import Format
from skipfill.compat.export.onnx import Onnx
from skipfill.compat.export.safetensors import Safetensors
from skipfill.compat.export.sentence_transformers import SentenceTransformers

FORMATS: dict[str, Format] = {
    "sentence-transformers": SentenceTransformers(),
    "onnx": Onnx(),
    "safetensors": Safetensors(),
}
