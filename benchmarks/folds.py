"""What folds are good for: whether their interval covers, and whether wrong labels are found.

    python -m benchmarks.folds coverage      # 2,000 simulated data sets for each classifier
    python -m benchmarks.folds labels        # 5 % of the labels of digits and CIFAR-10 made wrong

Coverage: five folds of 300 simulated images. The true value is the mean accuracy, over new data
sets, of the classifier trained on as many images as a fold's. The interval corrected for common
training images (Nadeau and Bengio 2003) is listed beside the usual one.

Labels: networks of five folds judge images of which one in twenty has another, random label. Those
are candidates that are predicted as another class with more than that class's mean probability.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import report
from mlplab.data.folds import folds_of
from mlplab.data.given import arrays as given_arrays
from mlplab.statistics.significance import corrected, paired

SETS, IMAGES, INPUTS, FOLDS, TRUTH = 2_000, 300, 8, 5, 20_000
WRONG = 0.05
SHARE = 10_000  # of CIFAR-10's training images
RESULTS = Path(__file__).parent / "results"


def classifiers() -> dict[str, Callable[[], Any]]:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.tree import DecisionTreeClassifier

    return {
        "linear discriminant": LinearDiscriminantAnalysis,
        "nearest neighbour": lambda: KNeighborsClassifier(1),
        "decision tree": lambda: DecisionTreeClassifier(random_state=0),
    }


def drawn(n: int, random: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return images of two classes that overlap."""
    labels = random.integers(0, 2, n).astype(np.int32)
    return random.normal(0, 1, (n, INPUTS)) + 0.5 * labels[:, None], labels


def coverage() -> list[dict[str, Any]]:
    """Return how often intervals of the mean over folds contain the true accuracy."""
    new_x, new_y = drawn(TRUTH, np.random.default_rng(1))
    rows = []
    for name, make in classifiers().items():
        random = np.random.default_rng(0)
        values, truths = [], []
        for seed in range(SETS):
            x, y = drawn(IMAGES, random)
            fold = folds_of(y, FOLDS, seed, ("a", "b"))
            found = []
            for number in range(FOLDS):
                kept = fold != number
                model = make().fit(x[kept], y[kept])
                found.append(model.score(x[~kept], y[~kept]))
                if number == 0:
                    truths.append(model.score(new_x[:2_000], new_y[:2_000]))
            values.append(found)
        true = float(np.mean(truths))
        row: dict[str, Any] = {"classifier": name, "true": true}
        accuracies = np.array(values)
        for key, interval in (
            ("corrected", corrected(accuracies, 1 / (FOLDS - 1))),
            ("usual", paired(accuracies)),
        ):
            inside = (interval.low <= true) & (true <= interval.high)
            row[key] = float(inside.mean())
            row[f"{key} width"] = float(np.nanmean(interval.high - interval.low))
        rows.append(row)
        print(row, flush=True)
    return rows


def labels() -> list[dict[str, Any]]:
    """Return how many wrong labels are found, and how many of those found are wrong."""
    import tempfile

    import mlplab
    from mlplab import data

    rows = []
    for name, recipe, tables in (
        ("digits", "quickstart", {}),
        ("CIFAR-10, 10,000 images", "airnet-small", {"training": {"epochs": 10}}),
    ):
        chosen = mlplab.recipe(recipe, **tables)
        dataset = data.load(chosen.data)
        count = min(SHARE, len(dataset.train))
        random = np.random.default_rng(0)
        places = random.permutation(len(dataset.train))[:count]
        images, right = dataset.train.images[places], dataset.train.labels[places]
        wrong = random.random(count) < WRONG
        classes = len(dataset.class_names)
        given = np.where(wrong, (right + random.integers(1, classes, count)) % classes, right)
        arrays = given_arrays(images, given)
        with tempfile.TemporaryDirectory() as folder:
            found = mlplab.cross_validate(
                chosen, FOLDS, data=arrays, runs_dir=folder, progress=None
            )
        index = {int(row["file"].split()[-1]): place for place, row in enumerate(found.labels)}
        kept = found.predictions["index"]
        ranks = [index.get(int(i)) for i in kept]
        order = sorted(
            (rank, i) for rank, i in zip(ranks, kept.tolist(), strict=True) if rank is not None
        )
        hits = np.cumsum([wrong[i] for _, i in order])
        total = int(wrong[kept].sum())
        recall = hits / total
        precision = hits / np.arange(1, len(hits) + 1)
        at = int(np.searchsorted(recall, 0.6)) if len(recall) and recall[-1] >= 0.6 else None
        rows.append(
            {
                "data": name,
                "images": len(kept),
                "wrong": total,
                "listed": len(order),
                "precision": float(precision[-1]),
                "recall": float(recall[-1]),
                "precision at recall 0.6": None if at is None else float(precision[at]),
            }
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure and add to ``results/folds.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("coverage", "labels"))
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    path = asked.out / "folds.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    known[asked.what] = {
        **report.facts(),
        "rows": coverage() if asked.what == "coverage" else labels(),
    }
    path.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
