import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlplab.report.images import label_errors, repeated_images
from mlplab.report.page import run_page
from mlplab.runs.record import Record

REPEATED = {
    "test": {
        "images": 6,
        "share": 0.05,
        "other_class": 1,
        "pairs": [[f"test/cat/{n}.png", f"train/cat/{n}.png"] for n in range(6)],
    }
}


def row(name: str, probability: float) -> dict[str, Any]:
    return {
        "image": name,
        "label": "cat",
        "predicted": "dog",
        "label_probability": probability,
        "predicted_probability": 1 - probability,
    }


LABELS = {
    "validation": {"images": 1, "listed": [row("val/cat/9.png", 0.04)]},
    "test": {"images": 2, "listed": [row("test/cat/7.png", 0.01), row("test/cat/8.png", 0.3)]},
}


def record(accuracy: float = 0.9, n: int = 100, **facts: Any) -> Record:
    metrics = {split: {"accuracy": accuracy, "n": n} for split in ("validation", "test")}
    return Record(name="a", recipe="a", config_id="0", seed=0, metrics=metrics, **facts)


def test_repeated_images_are_named_with_their_share() -> None:
    found = repeated_images(record(repeated=REPEATED))
    assert found is not None
    assert found.text.startswith(
        "6 test images (5.0 %) are also in the training images: test/cat/0.png = train/cat/0.png, "
    )
    assert "…" in found.text
    assert "(1 in another class)" in found.text
    assert found.overrides == []
    assert repeated_images(record()) is None


def test_labels_to_check_are_named_the_most_doubted_first() -> None:
    found = label_errors(record(label_candidates=LABELS))
    assert found is not None
    assert "for 3 images that it was not trained on" in found.text
    assert "test/cat/7.png (cat, predicted dog), val/cat/9.png (cat, predicted dog)." in found.text
    assert "8.png" not in found.text
    assert "may be mislabelled" in found.text


def test_a_network_that_is_often_wrong_doubts_no_labels() -> None:
    assert label_errors(record(accuracy=0.6, label_candidates=LABELS)) is None
    assert label_errors(record()) is None


def test_a_few_hard_images_among_many_are_no_finding() -> None:
    assert label_errors(record(n=400, label_candidates=LABELS)) is None


def test_the_page_lists_all_of_them(make_run: Callable[..., Path], tmp_path: Path) -> None:
    folder = shutil.copytree(make_run(), tmp_path / "run")
    facts = json.loads((folder / "record.json").read_text())
    facts |= {"repeated": REPEATED, "label_candidates": LABELS}
    (folder / "record.json").write_text(json.dumps(facts))
    page = run_page(folder)
    for name in ("test/cat/8.png", "val/cat/9.png", "train/cat/5.png"):
        assert name in page
