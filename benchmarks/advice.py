"""Is the advice of findings right? Experiments with known faults, their first advice followed.

    python -m benchmarks.advice                         # trains what is missing, writes the page
    python -m benchmarks.advice --version OTHER/src     # the same for another version's findings

Each experiment of :mod:`benchmarks.faults` is trained on three data sets with three seeds. Its
first advice is the first override of the first finding that has one. The training is repeated with
that override. Two questions: does a finding name the true fault, and does following the advice
raise validation accuracy? All runs choose and are judged on validation; no test split is opened.
"""

import argparse
import collections
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import pictures
from benchmarks.faults import EXPERIMENTS, SOUND, Experiment
from mlplab import files, recipes
from mlplab.experiment import population
from mlplab.experiment.complete import complete
from mlplab.experiment.options import Options
from mlplab.recipes.recipe import Recipe
from mlplab.report.findings import findings
from mlplab.runs import store
from mlplab.runs.record import ENDED, Finding, Record

RESULTS = Path(__file__).parent / "results"
SEEDS = (0, 1, 2)
LOSS = 0.01  # a point


@dataclass(frozen=True)
class Trained:
    """A finished training."""

    folder: Path
    record: Record
    recipe: Recipe

    def figure(self, name: str) -> float:
        """Return a figure on validation; nothing was learnt where a training diverged."""
        metrics = self.record.metrics.get("validation")
        return float(metrics[name]) if metrics else 1 / len(self.record.class_names)


@dataclass(frozen=True)
class Answer:
    """What came of an experiment on a data set, seed by seed.

    Attributes:
        experiment: what was trained.
        data: the data set.
        kinds: of the first finding with advice, or else of the first one; empty without any.
        advice: the first override; empty without any.
        before: the experiment's figure on validation.
        after: the same, with the advice followed.
    """

    experiment: Experiment
    data: str
    kinds: tuple[str, ...]
    advice: tuple[str, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]

    @property
    def change(self) -> float:
        """Mean change of the figure by following the advice; without advice, 0."""
        return statistics.mean(b - a for a, b in zip(self.before, self.after, strict=True))

    @property
    def named(self) -> bool:
        """Whether the true fault was named with most seeds; for a sound one, whether none was."""
        allowed = self.experiment.kinds
        right = [
            kind in allowed if allowed else not advice
            for kind, advice in zip(self.kinds, self.advice, strict=True)
        ]
        return sum(right) > len(right) / 2


def main() -> None:
    """Train what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs-dir", type=Path, default=Path("runs-advice"))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--sets", nargs="*", default=list(SOUND))
    parser.add_argument("--faults", nargs="*", help="only these")
    parser.add_argument("--version", type=Path, help="src folder of another version of mlplab")
    parser.add_argument("--out", type=Path, default=RESULTS / "advice.json")
    arguments = parser.parse_args()
    answers = []
    for name in arguments.sets:
        for experiment in EXPERIMENTS:
            if not arguments.faults or experiment.fault in arguments.faults:
                answers.append(
                    answer(
                        experiment,
                        name,
                        arguments.runs_dir,
                        arguments.data_dir,
                        version=arguments.version,
                    )
                )
                print(line(answers[-1]), flush=True)
    print("\n".join(summary(answers)))
    arguments.out.write_text(json.dumps([to_json(found) for found in answers], indent=1) + "\n")
    command = f"python -m benchmarks.advice --sets {' '.join(arguments.sets)}"
    if arguments.version:
        command += f" --version {arguments.version} --out {os.path.relpath(arguments.out)}"
    arguments.out.with_suffix(".md").write_text(page(answers, command))


def answer(
    experiment: Experiment,
    name: str,
    runs_dir: Path,
    data_dir: Path | None,
    seeds: Sequence[int] = SEEDS,
    version: Path | None = None,
) -> Answer:
    """Train an experiment on a data set, follow the first advice, and train again.

    Args:
        experiment: what to train.
        name: of the data set.
        runs_dir: where the runs are kept.
        data_dir: where downloaded data sets are kept.
        seeds: one training for each.
        version: the source folder of the mlplab whose findings count; this one by default.
    """
    chosen = [recipe(experiment, name, seed, runs_dir, data_dir) for seed in seeds]
    first = trained(chosen, runs_dir)
    found = findings_of(first, version)
    told = [next((each for each in own if each.overrides), None) for own in found]
    headings = [
        finding or (own[0] if own else None) for finding, own in zip(told, found, strict=True)
    ]
    followed = [
        follow(chosen[i], finding.overrides[0]) if finding else chosen[i]
        for i, finding in enumerate(told)
    ]
    after = trained(followed, runs_dir)
    return Answer(
        experiment,
        name,
        kinds=tuple(finding.kind if finding else "" for finding in headings),
        advice=tuple(finding.overrides[0] if finding else "" for finding in told),
        before=tuple(run.figure(experiment.figure) for run in first),
        after=tuple(run.figure(experiment.figure) for run in after),
    )


def findings_of(runs: Sequence[Trained], version: Path | None) -> list[list[Finding]]:
    """Return each run's findings, by this version of mlplab or by the one in a source folder."""
    if version is None:
        return [
            findings(run.record, files.read_lines(run.folder / "metrics.jsonl"), run.recipe)
            for run in runs
        ]
    command = [sys.executable, str(Path(__file__).with_name("other_findings.py"))]
    printed = subprocess.run(
        [*command, *(str(run.folder) for run in runs)],
        env=os.environ | {"PYTHONPATH": str(version)},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    return [[Finding(**each) for each in own] for own in json.loads(printed)]


def follow(recipe: Recipe, advice: str) -> Recipe:
    """Return a recipe with an override applied."""
    tables = recipe.model_dump(mode="json", exclude_unset=True)
    return recipes.validate(recipes.override(tables, [recipes.parse_override(advice)]))


def recipe(
    experiment: Experiment, name: str, seed: int, runs_dir: Path, data_dir: Path | None
) -> Recipe:
    """Return the recipe of an experiment."""
    folder = pictures.folder(runs_dir / "pictures", name, experiment.pictures, data_dir)
    data = {"name": "folder", "path": str(folder), "validation": 0.25, "test": 0.05}
    tables: dict[str, Any] = {**SOUND[name], "seed": seed}
    tables["data"] = SOUND[name]["data"] | data
    tables["evaluation"] = {"splits": ["train", "validation"]}
    overrides = [recipes.parse_override(word) for word in experiment.overrides]
    return recipes.validate(recipes.override(tables, overrides))


def trained(chosen: Sequence[Recipe], runs_dir: Path) -> list[Trained]:
    """Return finished trainings; train those that do not exist.

    Recipes that differ only in their seed are trained together, as a population.
    """
    names = [recipes.config_id(complete(recipe))[:12] for recipe in chosen]
    folders = [
        runs_dir / f"{name}-s{recipe.seed}" for name, recipe in zip(names, chosen, strict=True)
    ]
    for name in dict.fromkeys(names):
        missing = [
            recipe
            for recipe, own, folder in zip(chosen, names, folders, strict=True)
            if own == name and not has_ended(folder)
        ]
        if missing:
            for folder in folders:
                if not has_ended(folder):
                    shutil.rmtree(folder, ignore_errors=True)
            options = Options(runs_dir=runs_dir, name=name, keep="model", test=False)
            population.run(missing, options)
    found = []
    for recipe, folder in zip(chosen, folders, strict=True):
        (folder / "model.keras").unlink(missing_ok=True)
        found.append(Trained(folder, store.read_record(folder), recipe))
    return found


def has_ended(folder: Path) -> bool:
    """Return whether a training has come to its end."""
    return (folder / "record.json").is_file() and store.read_record(folder).status in ENDED


def line(answer: Answer) -> str:
    """Return an answer in a line of text."""
    before, after = (100 * statistics.mean(seeds) for seeds in (answer.before, answer.after))
    kinds = " ".join(sorted(set(answer.kinds))) or "-"
    advice = " | ".join(sorted(set(answer.advice))) or "-"
    marks = f"{'named' if answer.named else 'MISSED'}"
    return (
        f"{answer.data:7} {answer.experiment.name:38} {marks:7} {before:5.1f} -> {after:5.1f}"
        f"  {kinds}: {advice}"
    )


def summary(answers: Sequence[Answer]) -> list[str]:
    """Return the shares that count, as lines of Markdown."""
    faulty = [found for found in answers if found.experiment.kinds]
    sound = [found for found in answers if not found.experiment.kinds]
    rows = [
        ("fault named by the first finding with advice", [a.named for a in faulty], "≥ 85 %"),
        ("advice raises validation accuracy", [a.change > 0 for a in faulty], "≥ 80 %"),
        ("advice lowers it by more than a point", [a.change < -LOSS for a in answers], "≤ 2 %"),
        ("sound experiments without advice", [a.named for a in sound], "≥ 90 %"),
    ]
    return [
        f"| {what} | {sum(found)} of {len(found)} | {share(found)} | {asked} |"
        for what, found, asked in rows
        if found
    ]


def share(found: Sequence[bool]) -> str:
    """Return how often something holds, in percent."""
    return f"{100 * statistics.mean(found):.1f} %"


def page(answers: Sequence[Answer], command: str) -> str:
    """Return the results as a page."""
    names = list(dict.fromkeys(found.data for found in answers))
    head = [
        "# Advice, followed",
        "",
        f"Written by `{command}`. Experiments with one known fault each, and sound ones,"
        f" on {' and '.join(names)}, with three seeds. *Advice* is the first override of the"
        " first finding that has one; the experiment is repeated with it. Figures are validation"
        " accuracy in percent (balanced accuracy for uneven classes), means over the seeds.",
        "",
        "| | experiments | share | asked |",
        "| --- | ---: | ---: | ---: |",
        *summary(answers),
    ]
    for name in names:
        head += ["", f"## {name}", "", "| experiment | finding | advice | before | after |"]
        head += ["| --- | --- | --- | ---: | ---: |"]
        head += [row(found) for found in answers if found.data == name]
    return "\n".join(head) + "\n"


def row(answer: Answer) -> str:
    """Return an answer as a row of a table."""
    before, after = (
        f"{100 * statistics.mean(seeds):.1f}" for seeds in (answer.before, answer.after)
    )
    kinds = ", ".join(most_common(answer.kinds)) or "none"
    advice = ", ".join(f"`{word}`" for word in most_common(answer.advice)) or "none"
    mark = "" if answer.named else " ✗"
    return f"| {answer.experiment.name} | {kinds}{mark} | {advice} | {before} | {after} |"


def most_common(words: Iterable[str]) -> list[str]:
    """Return the words that are not empty, the most frequent first."""
    return [word for word, _ in collections.Counter(words).most_common() if word]


def to_json(answer: Answer) -> dict[str, Any]:
    """Return an answer as JSON-able tables."""
    return {
        "experiment": answer.experiment.name,
        "fault": answer.experiment.fault,
        "data": answer.data,
        "figure": answer.experiment.figure,
        "kinds": answer.kinds,
        "advice": answer.advice,
        "before": answer.before,
        "after": answer.after,
        "named": answer.named,
    }


if __name__ == "__main__":
    main()
