"""``mlplab report``."""

from pathlib import Path

from mlplab.cli.app import AsJson, RunName, RunsDir, app, out, print_json
from mlplab.runs import lock, store
from mlplab.runs.run import Run


@app.command(no_args_is_help=True)
def report(run: RunName, runs_dir: RunsDir = Path("runs"), as_json: AsJson = False) -> None:
    """Write a run's findings and report anew, one self-contained page, and print where it lies.

    Example: mlplab report last
    """
    from mlplab.runs.publish import publish

    found = Run(store.find(runs_dir, run))
    if found.record.status == "running":
        path = publish(found.folder, found.record, found.recipe)
    else:
        with lock.writing(found.folder):
            path = publish(found.folder, found.record, found.recipe)
    if as_json:
        print_json({"report": str(path)})
    else:
        out.print(str(path), markup=False)
