"""What the columns of a Parquet file are, by its schema and what the hub wrote into it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlplab.data.parquet import LARGEST_METADATA
from mlplab.errors import DataError
from mlplab.text import line

LABELS = ("label", "labels", "class", "target")
IMAGES = ("image", "images", "img")


def columns_of(path: Path, schema: Any) -> tuple[str, str]:
    """Return the names of the columns of images and of labels."""
    import pyarrow as pa

    types = dict(zip(schema.names, schema.types, strict=True))
    binary = (pa.binary(), pa.large_binary())
    images = [
        name
        for name, kind in types.items()
        if kind in binary
        or (
            pa.types.is_struct(kind)
            and kind.get_field_index("bytes") >= 0
            and kind.field("bytes").type in binary
        )
    ]
    classes = [name for name, feature in _features(schema).items() if "names" in feature]
    words = [
        name
        for name, kind in types.items()
        if pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)
    ]
    labels = [name for name in words if name in classes] or [
        name for name in words if name.lower() in LABELS
    ]
    return (
        _only(path, "images", images, IMAGES, list(types)),
        _only(path, "labels", labels, LABELS, list(types)),
    )


def _only(
    path: Path, what: str, found: Sequence[str], usual: Sequence[str], columns: Sequence[str]
) -> str:
    likely = [name for name in found if name.lower() in usual] or list(found)
    if len(likely) != 1:
        named = ", ".join(map(line, columns))[:200]
        several = f"several columns that may be its {what}" if likely else f"no column of {what}"
        raise DataError(f"{path} has {several}: its columns are {named}; expected image and label")
    return likely[0]


def _features(schema: Any) -> Mapping[str, Mapping[str, Any]]:
    """Return what the hub's metadata say of the columns."""
    try:
        text = schema.metadata[b"huggingface"]
        features = json.loads(text)["info"]["features"] if len(text) <= LARGEST_METADATA else {}
        return {name: of for name, of in features.items() if isinstance(of, dict)}
    except (TypeError, KeyError, ValueError, AttributeError, RecursionError):
        return {}


def class_names_of(schema: Any, label: str) -> tuple[str, ...] | None:
    """Return the names of the classes that the hub's metadata have, if any."""
    names = _features(schema).get(label, {}).get("names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return tuple(names)
