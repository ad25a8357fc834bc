"""How fast can a convolutional network be trained to 94 % and 96 % on one large GPU?

    python -m benchmarks.airnet                    # five seeds of each; trains what is missing
    python -m benchmarks.airnet --only airnet      # one recipe only

The recipes were chosen on validation, with 45,000 training images (the page lists the trials). The
final runs are trained on all but 500 of the 50,000 images, select nothing, and open the test split
once. Seconds are those of the training loop, including validation but not compilation. Records go
to docs/results/airnet/.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path

import mlplab
from benchmarks import records
from benchmarks.mlps_table import values
from mlplab.runs import store
from mlplab.runs.record import Record
from mlplab.statistics import significance

PAGE = Path(__file__).parents[1] / "docs" / "results" / "airnet.md"
RECIPES = {"airnet": (94, 5), "airnet-wide": (96, 40)}
"""Required test accuracy in percent, and the maximum number of seconds."""
HELD_OUT = 0.01


def main() -> None:
    """Train what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs-dir", type=Path, default=Path("runs-airnet"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", choices=RECIPES)
    asked = parser.parse_args()
    for name in [asked.only] if asked.only else RECIPES:
        for seed in range(asked.seeds):
            train(name, seed, asked.runs_dir)
    PAGE.write_text(page())
    print(PAGE.read_text())


def train(name: str, seed: int, runs_dir: Path) -> None:
    """Train a recipe with a seed and keep its record, unless that is already done."""
    called = f"{name}-s{seed}"
    if not (PAGE.with_suffix("") / called).exists():
        run = records.trained(
            mlplab.recipe(name, seed=seed, data={"validation": HELD_OUT}),
            runs_dir,
            called,
            group=name,
            recipe_name=name,
            command=f"mlplab train {name} --seed {seed} data.validation={HELD_OUT} --test",
            test=True,
            keep="results",
        )
        records.keep(run.folder, PAGE)


def page() -> str:
    """Return the page for the existing records."""
    kept = [store.read_record(folder) for folder in store.folders(PAGE.with_suffix(""))]
    machines = {record.device["name"] for record in kept}
    if len(machines) != 1 or any(record.test_openings != 1 for record in kept):
        raise SystemExit(
            f"records must be from one machine and open the test split once each: {machines}"
        )
    lines = [
        "# A convolutional network in seconds",
        "",
        f"Written by `python -m benchmarks.airnet` on one {machines.pop()}. Trained on 49,500"
        " images of CIFAR-10 for a settled number of epochs; the test split was opened once a run."
        " What is asked is of ten views of an image (test-time augmentation), mean over the seeds,"
        " and of the seconds of the training loop: validation after each epoch included; start,"
        " whitening, compiling and judgement left out, which the whole run contains (the first one"
        " compiles, the others find that in the cache). Accuracies in percent: mean and its 95 %"
        " interval; seconds: median, and the most of any run.",
        "",
        "| recipe | seeds | asked | reached | test, ten views | test | parameters | epochs"
        " | training, s | at most | whole run, s | the first |",
        "| --- | ---: | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, (percent, most) in RECIPES.items():
        found = sorted((r for r in kept if r.group == name), key=lambda record: record.seed)
        if not found:
            continue
        seconds = [record.seconds.train - record.seconds.compile for record in found]
        whole = [record.seconds.total for record in found]
        short = percent - statistics.mean(values(found, "test", tta=True))
        reached = f"short by {short:.2f} points" if short > 0 else "yes"
        if max(seconds) > most:
            reached += ", but too slow"
        lines.append(
            f"| `{name}` | {len(found)} | {percent} % within {most} s | {reached}"
            f" | {figure(found, tta=True)} | {figure(found)} | {found[0].parameters:,}"
            f" | {found[0].epochs} | {statistics.median(seconds):.1f} | {max(seconds):.1f}"
            f" | {statistics.median(whole[1:] or whole):.1f} | {whole[0]:.1f} |"
        )
    return "\n".join([*lines, *trials()]) + "\n"


def trials() -> list[str]:
    """Return the table of the earlier trials on validation."""
    lines = [
        "",
        "## How the recipes were settled",
        "",
        "On validation (5,000 images, the other 45,000 trained on), one run each, on the same"
        " machine: `mlplab train` and what the row says. One seed alone each: small differences"
        " decide nothing.",
        "",
        "| ten views | as they are | training, s | recipe, with what changes |",
        "| ---: | ---: | ---: | --- |",
    ]
    for row in json.loads((PAGE.with_suffix("") / "trials.json").read_text()):
        lines.append(
            f"| {row['views']:.2f} | {row['validation']:.2f} | {row['seconds']:.1f}"
            f" | `{row['recipe']}` |"
        )
    return lines


def figure(found: Sequence[Record], tta: bool = False) -> str:
    """Return the mean test accuracy and its interval, in percent."""
    known = values(found, "test", tta)
    if len(known) < significance.FEWEST:
        return ", ".join(f"{value:.2f}" for value in known)
    mean, low, high, _ = significance.paired(known)  # against 0: the interval of the mean itself
    return f"{mean:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
