"""Generate the table of the published experiment from the records of its runs.

    mlplab train published --seeds 0..2 --runs-dir runs-seed
    mlplab train published-honest --seeds 0..2 --test --runs-dir runs-seed
    python -m benchmarks.results runs-seed docs/results/seed.md

The records and their curves are copied next to the table, into a folder of the same name. The
table can be regenerated from there with ``python -m benchmarks.results docs/results/seed
docs/results/seed.md``.
"""

import argparse
import json
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import sessions
from benchmarks.records import KEPT
from mlplab.runs import store
from mlplab.runs.record import Record

TITLE = "The published experiment, repeated"
MEASURED = Path(__file__).parent / "results"
# The published program itself: with TensorFlow, and with JAX from an earlier session.
PUBLISHED = [MEASURED / name for name in ("published-whole.json", "published.json")]


def main() -> None:
    """Copy the records next to the table, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, help="a runs folder, or a folder of copied records")
    parser.add_argument("table", type=Path, help="the Markdown file to write")
    arguments = parser.parse_args()
    copies: Path = arguments.table.with_suffix("")
    if arguments.runs.resolve() != copies.resolve():
        for folder in store.folders(arguments.runs):
            (copies / folder.name).mkdir(parents=True, exist_ok=True)
            for name in KEPT:
                shutil.copyfile(folder / name, copies / folder.name / name)
    records = [store.read_record(folder) for folder in store.folders(copies)]
    arguments.table.write_text(table(records))


def table(records: Sequence[Record]) -> str:
    """Return the records as Markdown: a row per run, and mean and deviation per recipe."""
    device = records[0].device
    versions = records[0].versions
    lines = [
        f"# {TITLE}",
        "",
        f"On {device['name']} with {device['threads']} threads; Python {versions['python']}, Keras"
        f" {versions['keras']}, JAX {versions['jax']}. Each run lies in [seed/](seed/) with its"
        " record, its curves and its complete recipe; `python -m benchmarks.results"
        " docs/results/seed docs/results/seed.md` makes this page from them.",
        "",
        "| recipe | seed | parameters | epochs (best) | train | validation | test (95 % interval)"
        " | ended | selected on | test opened |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- | ---: |",
    ]
    for recipe in dict.fromkeys(record.recipe for record in records):
        group = sorted((r for r in records if r.recipe == recipe), key=lambda r: r.seed)
        lines += [_row(record) for record in group] + [_mean(group)]
    for path in filter(Path.exists, PUBLISHED):
        lines += _published(json.loads(path.read_text()))
    lines += [
        "",
        "The interval of a run speaks of the 10,000 test images; the deviation of a recipe speaks"
        " of its seeds. `seed` (now `published`) chooses its best epoch on the test split, as the"
        " original did, so that its test accuracy flatters; `seed-honest` (now `published-honest`)"
        " chooses on a tenth of the training images, and opens the test split once a run. The"
        " published program is measured by itself"
        " (`python -m benchmarks.published --whole`; under TensorFlow on an AMD EPYC), with none of"
        " mlplab's engine or networks: what the experiment gives with these versions, beside the"
        " 54.4 % that was published.",
    ]
    return "\n".join(lines) + "\n"


def _published(result: dict[str, Any]) -> list[str]:
    """Return the rows of the published program itself."""
    runs = [run for run in sessions.counted(result) if "published" in run["contestant"]]
    lines = []
    for name in dict.fromkeys(run["contestant"] for run in runs):
        group = [run for run in runs if run["contestant"] == name]
        for run in group:
            lines.append(
                _line(
                    name,
                    run["seed"],
                    f"{run['parameters']:,}",
                    f"{run['epochs']} ({run['best_epoch']})",
                    _percent(run["train_accuracy"]),
                    "–",
                    _percent(run["test_accuracy"]),
                    "EarlyStopping",
                    "test",
                    run["epochs"],
                )
            )
        train, test = (
            _spread([run[f"{split}_accuracy"] for run in group]) for split in ("train", "test")
        )
        lines.append(_line(f"**{name}, mean ± sd**", "", "", "", train, "–", test, "", "", ""))
    return lines


def _row(record: Record) -> str:
    test = record.metrics["test"]
    early = any(finding.kind == "early-stopping" for finding in record.findings)
    on_test = record.selected_on == "test"
    return _line(
        record.recipe,
        record.seed,
        f"{record.parameters:,}",
        f"{record.epochs} ({record.best_epoch})",
        _percent(record.metrics["train"]["accuracy"]),
        "–" if on_test else _percent(record.metrics["validation"]["accuracy"]),
        f"{_percent(test['accuracy'])} ({100 * test['accuracy_low']:.1f}"
        f" to {100 * test['accuracy_high']:.1f})",
        "EarlyStopping" if early else record.status,
        record.selected_on,
        record.test_openings,
    )


def _mean(group: Sequence[Record]) -> str:
    on_test = group[0].selected_on == "test"
    train, validation, test = (
        _spread([record.metrics[split]["accuracy"] for record in group])
        for split in ("train", "validation", "test")
    )
    cells = ["", "", "", train, "–" if on_test else validation, test, "", "", ""]
    return _line(f"**{group[0].recipe}, mean ± sd**", *cells)


def _spread(values: Sequence[float]) -> str:
    deviation = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"**{100 * statistics.mean(values):.1f}{deviation} %**"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _line(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    main()
