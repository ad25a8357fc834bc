"""``mlplab report``."""

from pathlib import Path

from mlplab.cli.app import AsJson, RunName, RunsDir, app, out, print_json
from mlplab.runs import store


@app.command(no_args_is_help=True)
def report(run: RunName, runs_dir: RunsDir = Path("runs"), as_json: AsJson = False) -> None:
    """Write a run's report anew, one self-contained HTML page, and print where it lies.

    Example: mlplab report last
    """
    from mlplab.report.page import write_run_page

    folder = store.find(runs_dir, run)
    path = write_run_page(folder)
    record = store.read_record(folder)
    record.files = store.hashes(folder)
    store.write_record(folder, record)
    if as_json:
        print_json({"report": str(path)})
    else:
        out.print(str(path), markup=False)
