"""A network of keras.applications on real images: weights from a file, a new head, fine-tuning.

    python -m benchmarks.pretrained          # trains what is missing, then writes the page

ImageNet weights would need a download, so the weights file is first created on this machine:
MobileNet is trained from scratch on five classes of CIFAR-10, and its weights are saved in Keras's
format. Starting from this file, as from any other, a new head is trained on the other five classes,
and then the last layers with it. The head's first epoch waits for the features: a run that finds
them in the cache needs that much less time to prepare. This shows that it works end to end, and
what it costs. How much another network's weights save is measured by ``benchmarks.transfer``.
"""

import argparse
import json
import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

import mlplab
from benchmarks import records
from benchmarks.transfer import FIRST, THEN
from mlplab.experiment import inference
from mlplab.experiment.networks import load_network
from mlplab.runs.run import Run

PAGE = Path(__file__).parents[1] / "docs" / "results" / "pretrained.md"
NETWORK, SIDE = "MobileNet", 48


def main() -> None:
    """Train what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs-dir", type=Path, default=Path("runs-pretrained"))
    runs_dir = parser.parse_args().runs_dir
    runs_dir.mkdir(parents=True, exist_ok=True)
    file = weights(runs_dir)
    first = {"weights": str(file), "trainable": 0}
    head = trained("head", runs_dir, THEN, first, epochs=20)
    tuning = {**first, "trainable": 8, "init_from": "head"}
    tuned = trained("tuned", runs_dir, THEN, tuning, rate=2e-4, epochs=3)
    for run in (head, tuned):
        if "test" not in run.metrics:
            inference.evaluate(run, "test")
    write({"head": head, "head and 8 layers": tuned}, seconds(runs_dir, first))


def seconds(runs_dir: Path, model: dict[str, Any]) -> dict[str, float]:
    """Return the seconds of the features and of a head epoch on them, with everything compiled."""
    cache = runs_dir / "cache"
    os.environ["MLPLAB_CACHE_DIR"] = str(cache)
    prepared = []
    for name in ("compiling", "computing", "finding"):
        shutil.rmtree(runs_dir / name, ignore_errors=True)
        if name == "computing":
            shutil.rmtree(cache / "features")
        run = trained(name, runs_dir, THEN, model, epochs=10, splits=["validation"])
        prepared.append(run.record.seconds.prepare)
    features = prepared[1] - prepared[2]
    found = run.record.seconds
    epoch = (found.train - found.compile) / len(run.history)
    return {"features": features, "first": features + epoch, "second": epoch}


def weights(runs_dir: Path) -> Path:
    """Return a file with the network's weights, without its top layers, trained on this machine."""
    file = runs_dir / "mobilenet.weights.h5"
    if not file.exists():
        settings = {"weights": "random", "trainable": "all"}
        run = trained("first", runs_dir, FIRST, settings, rate=1e-3, epochs=4, batch=100)
        source = keras.applications.MobileNet(
            include_top=False, weights=None, input_shape=(SIDE, SIDE, 3)
        )
        source.set_weights(load_network(run).get_weights()[:-2])  # all except the head's
        source.save_weights(file)
    return file


def trained(
    name: str,
    runs_dir: Path,
    classes: list[str],
    model: dict[str, Any],
    *,
    epochs: int,
    rate: float = 1e-3,
    batch: int = 250,
    splits: Sequence[str] = ("train", "validation"),
) -> Run:
    """Return a run on some of the classes; train it if it does not exist."""
    recipe = mlplab.recipe(
        "pretrained",
        data={"classes": classes},
        model={"network": NETWORK, "image_size": SIDE, **model},
        optimizer={"learning_rate": rate},
        training={"epochs": epochs, "batch_size": batch},
        evaluation={"splits": list(splits)},
    )
    return records.trained(recipe, runs_dir, name)


def write(runs: dict[str, Run], seconds: dict[str, float]) -> None:
    """Write the page and copy the records behind it."""
    device = runs["head"].record.device
    lines = [
        "# A pretrained network",
        "",
        f"Written by `python -m benchmarks.pretrained`, on {device['name']} with"
        f" {device['threads']} threads. {NETWORK} of `keras.applications` at {SIDE}×{SIDE} pixels"
        f" (CIFAR-10's are enlarged within the model). Its weights come from a file that was made"
        f" here: four epochs on five classes ({', '.join(FIRST)}). The classes below are the other"
        f" five ({', '.join(THEN)}). One seed, learning rates and epochs chosen beforehand, not"
        " searched: this shows that it works, end to end. Statistics of batch"
        " normalisation stay as the file has them. With the weights of ImageNet: not measured"
        " here.",
        "",
        "| | trained parameters | epochs | test accuracy | seconds, features and report included |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, run in runs.items():
        record = run.record
        lines.append(
            f"| {name} | {trainable(run):,} | {len(run.history)} |"
            f" {100 * run.metrics['test']['accuracy']:.1f} % | {record.seconds.total:.0f} |"
        )
        records.keep(run.folder, PAGE)
    lines += [
        "",
        f"With everything compiled, the head's first epoch takes {seconds['first']:.1f} s, of which"
        f" {seconds['features']:.1f} s compute the features of the training and validation images,"
        f" and a later one {seconds['second']:.2f} s, validation and callbacks included:"
        f" {seconds['first'] / seconds['second']:.0f} times less. Later heads on the same images"
        " find the features in the cache. `head and 8 layers` goes on from `head`.",
        "",
    ]
    PAGE.write_text("\n".join(lines))
    (PAGE.with_suffix("") / "seconds.json").write_text(json.dumps(seconds, indent=1))


def trainable(run: Run) -> int:
    """Return the number of trained parameters."""
    return sum(math.prod(weight.shape) for weight in load_network(run).trainable_weights)


if __name__ == "__main__":
    main()
