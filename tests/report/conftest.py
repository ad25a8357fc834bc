"""A run folder as training leaves it, small but complete: real digits, a classifier of a kind."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from mlplab import figures, recipes
from mlplab.report.findings import findings
from mlplab.runs.record import Record
from mlplab.statistics.metrics import classification_metrics, confusion

EPOCHS = np.arange(1, 12)
HISTORY = [
    {
        "epoch": int(epoch),
        "loss": 1.0 + 0.9 * np.exp(-epoch / 4),
        "accuracy": 0.66 - 0.35 * np.exp(-epoch / 4),
        "val_loss": 1.32 + 0.5 * np.exp(-epoch / 2) + 0.006 * max(0, int(epoch) - 8) ** 2,
        "val_accuracy": 0.545 - 0.2 * np.exp(-epoch / 2),
        "learning_rate": 1e-4,
        "seconds": 17.2,
    }
    for epoch in EPOCHS
]
RECIPE = '# mlplab train published\nseed = 0\n\n[model]\nname = "mlp"\nhidden = [1024, 1024]\n'


def record(class_names: list[str], metrics: dict[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "schema": 1,
        "name": "seed-20260101-120000-s0",
        "status": "finished",
        "recipe": "seed",
        "command": "mlplab train published --data-dir data --seed 0",
        "config_id": "9f2c1b7a",
        "seed": 0,
        "data_id": "sha256:" + "4a" * 32,
        "class_names": class_names,
        "image_shape": [8, 8, 1],
        "parameters": 6305802,
        "flops_per_example": 12611604,
        "epochs": 11,
        "best_epoch": 8,
        "metrics": metrics,
        "selected_on": "test",
        "test_openings": 11,
        "ledger": {"openings": 37, "configurations": 12},
        "seconds": {"total": 205.3, "compile": 0.6, "train": 198.0, "epoch_median": 17.2},
        "peak_memory_bytes": 1_536_000_000,
        "device": {"kind": "cpu", "name": "AMD EPYC 7763", "count": 1},
        "versions": {"python": "3.11.7", "keras": "3.15.1", "jax": "0.10.2"},
        "git": {"commit": "0a1b2c3d", "dirty": False},
        "started": "2026-01-01T12:00:00+00:00",
        "ended": "2026-01-01T12:03:25+00:00",
        "diagnostics": {
            "layers": [
                {"layer": "dense", "gradient_norm": 0.031, "update_ratio": 8e-4, "dead_share": 0.2},
                {"layer": "output", "gradient_norm": 0.2, "update_ratio": 2e-3, "dead_share": None},
            ]
        },
        "model_summary": "Layer        Output       Parameters\n" * 3,
        "files": {"model.keras": "sha256:" + "5b" * 32, "recipe.toml": "sha256:" + "6c" * 32},
    }
    found = findings(Record.from_json(facts), HISTORY, recipes.load("published"))
    return {**facts, "findings": [finding.model_dump() for finding in found]}


def draw(
    folder: Path,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    names: list[str],
) -> None:
    matrix = confusion(probabilities, labels, len(names))
    judged = classification_metrics(probabilities, labels, top_k=5)["per_class"]
    columns = {key: [row[key] for row in HISTORY] for key in HISTORY[0]}
    pictures = {
        "curves": figures.curves(columns, 8),
        "sample_grid": figures.sample_grid(images, labels, names),
        "confusion_matrix": figures.confusion_matrix(matrix, names),
        "per_class_accuracy": figures.per_class_accuracy(
            judged["recall"], judged["support"], names
        ),
    }
    (folder / "figures").mkdir()
    for name, figure in pictures.items():
        figures.save(figure, folder / "figures" / f"{name}.png")


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that writes a finished run's folder, with these class names."""

    def make(class_names: list[str] | None = None, recipe: str = RECIPE) -> Path:
        digits, rng = load_digits(), np.random.default_rng(0)
        images, labels = (digits.images * 255 / 16).astype(np.uint8)[..., None], digits.target
        names = class_names or [f"digit {number}" for number in range(10)]
        metrics = {}
        for split, strength in (("train", 3.0), ("test", 2.0)):
            logits = 2 * (rng.normal(size=(len(labels), 10)) + strength * np.eye(10)[labels])
            logits -= 2 * np.eye(10)[3] * (labels == 3)[:, None]
            chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            judged = classification_metrics(chances, labels, top_k=5)
            metrics[split] = {**judged, "loss": 0.93}
        folder = tmp_path_factory.mktemp("runs") / "seed-20260101-120000-s0"
        folder.mkdir()
        (folder / "record.json").write_text(json.dumps(record(names, metrics)))
        (folder / "recipe.toml").write_text(recipe)
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in HISTORY))
        draw(folder, images, labels, chances, names)
        return folder

    return make
