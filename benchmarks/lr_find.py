"""The suggestion of lr-find compared with a study's sensitivity curve.

    python -m benchmarks.lr_find runs/optimizers-quick

For each variant of a finished study whose learning rate was searched, runs a range test of its
recipe (with the other knobs as in its best trial), then one training run at the suggested rate with
the trials' seed. Compares its validation accuracy with that of the best trial. Writes
benchmarks/results/lr-find.md.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from mlplab import files
from mlplab.experiment import environment, execute, lr_finder
from mlplab.experiment.options import Options
from mlplab.report import study as results
from mlplab.runs import layout
from mlplab.study import design
from mlplab.training.plan import NoProgress

KEY = "optimizer.learning_rate"


def main(folder: Path) -> None:
    """Test the suggestion for every variant and write the table."""
    found = results.load(folder)
    study = design.read(files.text(folder / layout.STUDY, design.LARGEST), str(folder))
    rows = []
    for variant in found.variants:
        best = variant.best
        if best is None or KEY not in best["point"]:
            continue
        recipe = study.recipe_of(variant.name, best["point"], study.design.seed)
        test = lr_finder.find(recipe, Options(), NoProgress(), 1e-6, 10.0, 200)
        tried = [variant.name, f"{best['point'][KEY]:.2g}", f"{100 * best['value']:.1f}"]
        if test.suggestion is None:
            rows.append([*tried, "none", "–"])
            continue
        point = best["point"] | {KEY: test.suggestion}
        with tempfile.TemporaryDirectory() as runs:
            options = Options(runs_dir=Path(runs), test=False)
            run = execute.run(
                study.recipe_of(variant.name, point, study.design.seed),
                replace(options, keep="results"),
            )
            reached = run.metrics.get("validation", {}).get("accuracy")
        shown = "diverged" if reached is None else f"{100 * reached:.1f}"
        rows.append([*tried, f"{test.suggestion:.2g}", shown])
        print(*rows[-1], flush=True)
    write(folder, rows)


def write(folder: Path, rows: list[list[str]]) -> None:
    """Write the table."""
    headings = [
        "variant",
        "rate of the best trial",
        "its validation",
        "suggested rate",
        "its validation",
    ]
    lines = [
        "# lr-find beside a sensitivity curve",
        "",
        f"`python -m benchmarks.lr_find runs/{folder.name}`; one seed.",
        f"On {environment.device()['name']}.",
        "",
        "| " + " | ".join(headings) + " |",
        "|" + " --- |" * len(headings),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    path = Path(__file__).parent / "results" / "lr-find.md"
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
