"""Print the findings of whichever mlplab is on the path for run folders, as JSON.

    PYTHONPATH=<its src folder> python benchmarks/other_findings.py FOLDER…

So that ``benchmarks.advice`` can judge another version's advice on the same trainings. Imports
only what both versions have; facts that the other version does not record are left out.
"""

import json
import sys
from pathlib import Path

from mlplab import files, recipes
from mlplab.report.findings import findings
from mlplab.runs.record import Record


def main() -> None:
    """Print a list of findings for each folder, in their order."""
    told = []
    for folder in map(Path, sys.argv[1:]):
        tables = json.loads((folder / "record.json").read_text())
        known = {"schema", *Record.model_fields}
        record = Record.from_json({key: tables[key] for key in tables if key in known})
        rows = files.read_lines(folder / "metrics.jsonl")
        recipe = recipes.load(str(folder / "recipe.toml"))
        told.append([finding.model_dump() for finding in findings(record, rows, recipe)])
    print(json.dumps(told))


if __name__ == "__main__":
    main()
