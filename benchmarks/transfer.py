"""How much does starting from another run save? Five classes of CIFAR-10, then the other five.

    python -m benchmarks.transfer            # trains what is missing, then writes the page

``cnn-narrow`` is trained on five classes. Starting from there with ``model.init_from``, it is
trained on the other five with 100, 500 and 2,500 labels, and compared with training from scratch:
with the same splits, the same steps, and for each of the two the best of four learning rates on
validation (mean over the seeds). The test split is opened for the chosen runs. Records go to
docs/results/transfer/.
"""

import argparse
import itertools
import json
import shutil
import statistics
from pathlib import Path
from typing import Any

import mlplab
from benchmarks import records
from mlplab import figures
from mlplab.experiment import inference
from mlplab.figures.charts import chart
from mlplab.runs.run import Run
from mlplab.statistics import significance

PAGE = Path(__file__).parents[1] / "docs" / "results" / "transfer.md"
FIRST = ["airplane", "automobile", "bird", "cat", "deer"]
THEN = ["dog", "frog", "horse", "ship", "truck"]
SEEDS = (0, 1, 2)
RATES = (0.005, 0.02, 0.08, 0.32)
VALIDATION = 1_000
TRAINED = 25_000 - VALIDATION
# Epochs by number of labels: 200, 500 and 1,250 steps of 50 images.
SIZES = {100: 100, 500: 50, 2500: 25}
STARTS = {"from the run": True, "from nothing": False}


def main() -> None:
    """Train what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs-dir", type=Path, default=Path("runs-transfer"))
    runs_dir = parser.parse_args().runs_dir
    for seed in SEEDS:
        train(runs_dir, f"first-s{seed}", seed, FIRST, epochs=20, rate=0.05, batch=250)
    chosen = {}
    for labels in SIZES:
        for start in STARTS:
            chosen[labels, start] = best(runs_dir, labels, start)
    shutil.rmtree(PAGE.with_suffix(""), ignore_errors=True)
    for run in itertools.chain(*chosen.values()):
        records.keep(run.folder, PAGE)
    write(chosen)


def best(runs_dir: Path, labels: int, start: str) -> list[Run]:
    """Return the runs of one size and start, all seeds, at the best learning rate on validation."""
    found = []
    for rate in RATES:
        runs = [
            train(
                runs_dir,
                f"{start.removeprefix('from ').removeprefix('the ')}-{labels}-{rate}-s{seed}",
                seed,
                THEN,
                epochs=SIZES[labels],
                rate=rate,
                batch=50,
                share=labels / TRAINED,
                first=f"first-s{seed}" if STARTS[start] else None,
            )
            for seed in SEEDS
        ]
        found.append((statistics.mean(accuracy(run, "validation") for run in runs), runs))
    runs = max(found, key=lambda pair: pair[0])[1]
    for run in runs:
        if "test" not in run.metrics:
            inference.evaluate(run, "test")
    return runs


def accuracy(run: Run, split: str) -> float:
    """Return the accuracy of a run."""
    return float(run.metrics[split]["accuracy"])


def train(
    runs_dir: Path,
    name: str,
    seed: int,
    classes: list[str],
    *,
    epochs: int,
    rate: float,
    batch: int,
    share: float = 1.0,
    first: str | None = None,
) -> Run:
    """Return a run on some of the classes; train it if it does not exist."""
    recipe = mlplab.recipe(
        "cnn-narrow",
        seed=seed,
        data={"classes": classes, "share": share, "validation": VALIDATION / 25_000},
        model={"init_from": first or "none"},
        optimizer={"learning_rate": rate},
        schedule={"warmup_epochs": epochs / 10},
        training={"epochs": epochs, "batch_size": batch, "precision": "float32"},
        evaluation={"splits": ["validation"], "tta_flip": False, "tta_shift": 0},
    )
    return records.trained(recipe, runs_dir, name)


def write(chosen: dict[tuple[int, str], list[Run]]) -> None:
    """Write the page, its figure and the numbers behind it."""
    lines = [
        "# Beginning from another run",
        "",
        "Written by `python -m benchmarks.transfer`. `cnn-narrow`, trained on five classes of"
        f" CIFAR-10 ({', '.join(FIRST)}), is the start (`model.init_from`) of networks that tell"
        f" the other five apart ({', '.join(THEN)}), of which only some images have labels;"
        " beside it, the same network from nothing. Both take the same steps; the start has"
        f" taken 20 epochs on {TRAINED:,} images before. Of {len(RATES)} learning rates"
        f" ({', '.join(map(str, RATES))}) each has the one that is best on validation"
        f" ({VALIDATION:,} images, more than a practitioner with 100 labels would have). Three"
        " seeds, paired: test accuracy, mean ± standard deviation, and"
        " the 95 % interval of the mean difference. The numbers of epochs were not searched: more"
        " of them would help the network from nothing, which has further to go. The rate of 0.32"
        " was added after a first look at test, in which the network from nothing was best at the"
        " upper end of the rates, 0.08.",
        "",
        "| labels | epochs | from the run | from nothing | difference | learning rates |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    series: dict[str, list[list[float]]] = {start: [] for start in STARTS}
    for labels, epochs in SIZES.items():
        pair = [chosen[labels, start] for start in STARTS]
        values = [[100 * accuracy(run, "test") for run in runs] for runs in pair]
        for start, numbers in zip(STARTS, values, strict=True):
            series[start].append(numbers)
        apart = significance.paired([a - b for a, b in zip(*values, strict=True)])
        rates = [runs[0].recipe.optimizer.params["learning_rate"] for runs in pair]
        said = [f"{statistics.mean(v):.1f} ± {statistics.stdev(v):.1f}" for v in values]
        lines.append(
            f"| {labels:,} | {epochs} | {said[0]} | {said[1]} | {apart.mean:+.1f}"
            f" ({apart.low:.1f} to {apart.high:.1f}) | {rates[0]},"
            f" {rates[1]} |"
        )
    lines += [
        "",
        "![Test accuracy against labels](transfer/accuracy.png)",
        "",
        "Lines are means, bands reach from the lowest to the highest of three seeds.",
        "",
    ]
    PAGE.write_text("\n".join(lines))
    drawn: dict[str, Any] = {
        "kind": "lines",
        "log": True,
        "percent": True,
        "x": "labels",
        "y": "test accuracy",
        "title": "Five classes after five others",
        "series": [
            {
                "name": start,
                "place": place,
                "x": list(SIZES),
                "y": [statistics.mean(v) / 100 for v in values],
                "low": [min(v) / 100 for v in values],
                "high": [max(v) / 100 for v in values],
            }
            for place, (start, values) in enumerate(series.items())
        ],
    }
    figures.save(chart(drawn), PAGE.with_suffix("") / "accuracy.png")
    (PAGE.with_suffix("") / "numbers.json").write_text(json.dumps(series, indent=1))


if __name__ == "__main__":
    main()
