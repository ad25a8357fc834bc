"""A run's folder as one self-contained HTML page: no script, no network, nothing to install."""

import base64
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from mlplab import recipes
from mlplab.errors import RecipeError
from mlplab.files import read_lines, write_text
from mlplab.report import formatting, images, speed
from mlplab.runs import layout
from mlplab.runs.record import Record
from mlplab.runs.store import read_record
from mlplab.statistics.metrics import METRICS, Metric

# Captions in the order of the page; a file may add a split: confusion_matrix-test.png.
CAPTIONS = {
    "curves": "Loss and accuracy, epoch by epoch. The ring marks the epoch that was kept. Training"
    " figures are means over the epoch, of weights that still change, with dropout and"
    " augmentation; the accuracies above are of the final network, without either.",
    "sample_grid": "Images of the data set with their classes, as the network receives them.",
    "confident_mistakes": "The most confident mistakes, each with its true and predicted class.",
    "confusion_matrix": "How often each class (row) is predicted as each class (column).",
    "per_class_accuracy": "Share of each class that is recognised, with 95 % intervals.",
    "calibration": "Accuracy by confidence. Below the dashed line the network is overconfident.",
    "weights": "Weights of single units of the first layer.",
    "receptive_fields": "Where in the image units of the first layer look: the share of their"
    " squared weights at each pixel. A convolution is local by construction; a dense layer has to"
    " learn to be.",
    "sensitivity": "Accuracy on shifted and on noisy images. A dense layer has only as much shift"
    " invariance as it has learnt; a convolution is built to have some.",
}
WIDE = 1.9  # pictures with a larger aspect ratio take the whole width
PNG = b"\x89PNG\r\n\x1a\n"

# Keys whose words do not explain themselves.
LABELS = {
    "training_loss_below_since_epoch": "epoch from which the training loss is the lower one",
    "opened_epoch": "epoch from which training and validation differ",  # in older records
    "validation_loss_turned_epoch": "epoch from which the validation loss rises",
    "local_share": "share of local units",
    "field_spread": "median spread of units",
    "update_ratio": "update size / weight size",
    "dead_share": "share of units that are never active",
    "zero_share": "share of weights that are 0",
}

# Keys of shares, which are shown in percent: val_accuracy, dead_share, accuracy_low ...
SHARE = re.compile(
    "|".join(
        ["accuracy|share|recall|rise|fall|chance", *(m.name for m in METRICS if m.unit == "share")]
    )
)

SPLITS = {
    "test": "Test",
    "cifar10.1": "CIFAR-10.1",
    "validation": "Validation",
    "train": "Training",
}


def run_page(folder: Path, problems: Sequence[str] = ()) -> str:
    """Return the report of a run as HTML, made only from the files of its folder.

    What a run does not have (because it was interrupted, or not tested) is left out.

    Args:
        folder: of the run.
        problems: files that are not as they were recorded, listed first on the page.

    Raises:
        RunError: if ``record.json`` is missing or damaged.
    """
    found = read_record(folder)
    record = found.to_json()
    if record["selected_on"] == "test":
        # Validation was the test split itself; listed twice, it would look like two measurements.
        record["metrics"].pop("validation", None)
    template = environment().get_template("page.html.j2")
    return template.render(
        record=record,
        data=_data(found),
        problems=problems,
        best_epoch=record["best_epoch"] or None,
        splits={key: record["metrics"].get(key) or {} for key in SPLITS},
        split_names=SPLITS,
        findings=record["findings"],
        metrics=METRICS,
        figures=_figures(folder, record),
        numbered=_numbered(record["class_names"]),
        per_class=_per_class(record),
        tables=images.tables(record),
        epochs=_table(read_lines(folder / layout.METRICS)),
        speed=speed.tables(folder, record),
        layers=_table(record["diagnostics"].get("layers") or []),
        recipe=_recipe(folder),
    )


def _data(record: Record) -> str:
    """Return what the run was trained on: ``photos/, 64×64, 3 classes``."""
    if not record.data:
        return ""
    size = "×".join(map(str, record.image_shape[:2]))
    return f"{record.data_title}, {size}, {len(record.class_names)} classes"


def _recipe(folder: Path) -> str:
    try:
        return recipes.text(str(folder / layout.RECIPE))
    except RecipeError:  # failed runs get a page, too
        return ""


def write_run_page(folder: Path, problems: Sequence[str] = ()) -> Path:
    """Write ``report.html`` into a run's folder and return its path.

    Raises:
        RunError: if ``record.json`` is missing or damaged.
        StorageError: if the page cannot be written.
    """
    path = folder / layout.REPORT
    write_text(path, run_page(folder, problems))
    return path


def environment() -> Environment:
    """Return the template environment, which escapes all text that is not our own markup."""
    environment = Environment(
        loader=PackageLoader("mlplab", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=formatting.percent,
        number=formatting.number,
        duration=formatting.duration,
        moment=formatting.moment,
        size=formatting.size,
        times=formatting.times,
        value=_value,
        label=lambda key: LABELS.get(str(key), str(key).replace("_", " ")),
        metric=_metric,
        with_code=with_code,
    )
    return environment


def _figures(folder: Path, record: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the folder's pictures as data URIs, in the order of :data:`CAPTIONS`."""
    order = list(CAPTIONS)
    sensitivity = record["learnt"].get("sensitivity") or {}
    captions = CAPTIONS
    if "split" in sensitivity:
        of = SPLITS.get(sensitivity["split"], sensitivity["split"]).lower()
        captions = CAPTIONS | {
            "sensitivity": f"{CAPTIONS['sensitivity']} Measured on a sample of {of} images."
        }
    found = []
    for path in sorted((folder / layout.FIGURES).glob("*.png")):
        content = path.read_bytes()
        if not content.startswith(PNG) or len(content) < 24:
            continue
        name, _, split = path.stem.partition("-")
        width, height = struct.unpack(">II", content[16:24])
        heading = name.replace("_", " ").capitalize() + (f" ({split})" if split else "")
        found.append(
            {
                "rank": order.index(name) if name in order else len(order),
                "heading": heading,
                "caption": captions.get(name, ""),
                "width": width,
                "height": height,
                "wide": height > 0 and width / height > WIDE,
                "source": "data:image/png;base64," + base64.b64encode(content).decode(),
            }
        )
    return sorted(found, key=lambda figure: figure["rank"])


def _numbered(names: Sequence[str]) -> list[tuple[int, str]]:
    """Return the classes that figures show by their numbers, for want of a font."""
    if all(name.isascii() for name in names):
        return []
    from mlplab.figures.fonts import drawable  # and with it Matplotlib

    return [(index, name) for index, name in enumerate(names) if not drawable(name)]


def _per_class(record: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return a table of the classes for each held-out split that has one."""
    names = record["class_names"]
    tables = {}
    for split in ("validation", "test"):
        columns = (record["metrics"].get(split) or {}).get("per_class") or {}
        count = max((len(values) for values in columns.values()), default=0)
        rows = []
        for index in range(count):
            row = {key: values[index] for key, values in columns.items() if index < len(values)}
            other = row.get("confused_with")
            row["name"] = _name(names, index)
            row["confused_with"] = None if other is None else _name(names, other)
            rows.append(row)
        if rows:
            tables[split] = rows
    return tables


def _name(names: list[str], index: int) -> str:
    return names[index] if 0 <= index < len(names) else f"class {index}"


def _table(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return the columns that any row has, in order of appearance, and the rows' cells."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return {"columns": columns, "rows": [[row.get(key) for key in columns] for row in rows]}


def _value(value: Any, key: str = "") -> str:
    """Return any value of a record's tables as text; shares, known by their key, in percent."""
    if isinstance(value, float) and key.startswith("gap"):
        return formatting.points(value)
    if isinstance(value, float) and SHARE.search(key):
        return formatting.percent(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or isinstance(value, float):
        return formatting.number(value)
    return formatting.number(value) if isinstance(value, int) else str(value)


def _metric(metrics: dict[str, Any], metric: Metric) -> str:
    """Return a metric of a split as its table shows it."""
    value = metrics.get(metric.name)
    return formatting.percent(value) if metric.unit == "share" else formatting.number(value)


def with_code(text: str) -> Markup:
    """Return a sentence, escaped, with the parts in backticks set as code."""
    parts = [escape(part) for part in text.split("`")]
    if len(parts) % 2 == 0:  # a name with a backtick in it
        return escape(text)
    for place in range(1, len(parts), 2):
        parts[place] = Markup("<code>{}</code>").format(parts[place])
    return Markup("").join(parts)
