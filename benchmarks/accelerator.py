"""mlplab on an accelerator: the questions that cannot be answered on a CPU.

    python -m benchmarks.accelerator
    python -m benchmarks.accelerator --resume

Measures the seconds of training to 54.4 % with ``mlp-fast``, compiled beforehand; the seconds per
epoch of ``published`` and the limit of its step; and populations compared with training their
members one after another. Each answer is written to ``results/accelerator-<device>.json`` as soon
as it is available; ``--resume`` keeps those already there. The races against peers are run by the
other modules, with the same commands as on a CPU.
"""

import argparse
import json
import re
import statistics
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mlplab
from benchmarks import race, report
from benchmarks.time_to_accuracy import SEEDS, TARGET
from mlplab import Run

Answer = dict[str, Any]
NARROW = {"hidden": [64, 64], "dropout": 0.2}  # 201,482 parameters


def main() -> None:
    """Answer the questions in turn."""
    parser = race.options(__doc__)
    parser.add_argument("--resume", action="store_true", help="keep the answers already there")
    parser.add_argument("--members", type=int, default=64, help="number of members of a population")
    asked = race.parse(parser)
    asked.members = 4 if asked.quick else asked.members
    facts = report.facts()
    stem = re.sub(r"[^a-z0-9]+", "-", facts["device"]["name"].lower()).strip("-")
    path = asked.out / f"accelerator-{stem}.json"
    result: dict[str, Any] = {"question": "mlplab on an accelerator", **facts, "data": "CIFAR-10"}
    if asked.resume and path.exists():
        result = json.loads(path.read_text())
    questions: dict[str, Callable[[Path, argparse.Namespace], Answer]] = {
        "mlp-fast": _fast,
        "published": _epoch,
        "population, narrow": lambda folder, asked: _population(folder, asked, NARROW),
        "population, of the seed's": lambda folder, asked: _population(folder, asked, {}),
    }
    for name, answer in questions.items():
        if name not in result:
            with tempfile.TemporaryDirectory() as folder:
                result[name] = answer(Path(folder), asked)
            path.write_text(json.dumps(result, indent=1) + "\n")
            path.with_suffix(".md").write_text(table(result, list(questions)))
    print(path.with_suffix(".md").read_text())


def _fast(folder: Path, asked: argparse.Namespace) -> Answer:
    """Train ``mlp-fast`` with five seeds, after one more run that compiles."""
    seeds = range(1 if asked.quick else 5)
    runs = [_train("mlp-fast", folder, seed) for seed in (0, *seeds)]
    seconds = [run.record.seconds.prepare + run.record.seconds.train for run in runs]
    accuracies = [run.record.metrics["test"]["accuracy"] for run in runs[1:]]
    return {
        "training_seconds_cold": seconds[0],
        "training_seconds_warm": seconds[1:],
        "steps_seconds": [sum(row["seconds"] for row in run.history) for run in runs[1:]],
        "test_accuracy": accuracies,
        "counts": len(accuracies) >= SEEDS and statistics.mean(accuracies) >= TARGET,
    }


def _epoch(folder: Path, asked: argparse.Namespace) -> Answer:
    """Profile the published experiment on its 50,000 images."""
    epochs = 1 if asked.quick else 5
    run = _train("published", folder, 0, training={"epochs": epochs}, profile=True)
    profile = json.loads((run.folder / "profile" / "table.json").read_text())
    limit, step = profile["limit"], profile["step_seconds"]["median"]
    return {
        "epoch_seconds": run.record.seconds.epoch_median,
        "step_seconds": step,
        "limit_seconds": limit["seconds"],
        "bandwidth": limit["bandwidth"],
        "bandwidth_share": limit["optimizer_bytes"] / step / limit["bandwidth"],
    }


def _population(folder: Path, asked: argparse.Namespace, model: Mapping[str, Any]) -> Answer:
    """Time the steps of a population, and those of some of its members trained individually.

    The first epoch of each is left out because it may include one-time work.
    """
    tables: dict[str, Any] = {"training": {"epochs": 3, "batch_size": 512}}
    tables |= {"callbacks": {"early_stopping": "none", "tensorboard": "none"}}
    base = mlplab.recipe("published-honest", **tables, **({"model": model} if model else {}))
    members = [base.model_copy(update={"seed": seed}) for seed in range(asked.members)]
    together = mlplab.train_population(members, runs_dir=folder, test=False)
    alone = [mlplab.train(recipe, runs_dir=folder, test=False) for recipe in members[:3]]
    own = statistics.median(row["seconds"] for run in alone for row in run.history[1:])
    record = together[0].record
    mode = record.population.mode if record.population else ""
    epochs = [[row["seconds"] for row in run.history[1:]] for run in together]
    # An epoch's seconds are those of all members with vmap, and of each member with map.
    all_of_them = statistics.median(map(max if mode == "vmap" else sum, zip(*epochs, strict=True)))
    return {
        "members": len(members),
        "mode": mode,
        "parameters": record.parameters,
        "epoch_seconds": all_of_them,
        "one_after_another_seconds": own * len(members),
        "ratio": own * len(members) / all_of_them,
    }


def _train(
    name: str, folder: Path, seed: int, profile: bool = False, **tables: Mapping[str, Any]
) -> Run:
    recipe = mlplab.recipe(name, seed=seed, **tables)
    return mlplab.train(recipe, runs_dir=folder, profile=profile, test=True)


def table(result: dict[str, Any], names: list[str]) -> str:
    """Return the answers as Markdown, with a section for each question."""
    lines = report.heading(result)
    for name in names:
        if name in result:
            lines += ["", f"## {name}", "", *report.columns("", "")[1:]]
            lines += [report.line(key, _shown(value)) for key, value in result[name].items()]
    return "\n".join(lines) + "\n"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return report.spread(value, 4)
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
