"""``mlplab resume``."""

from pathlib import Path
from typing import Annotated

import typer

from mlplab.cli import show
from mlplab.cli.app import AsJson, DataDir, DataPath, RunName, RunsDir, Trust, app, out, print_json
from mlplab.cli.train import end_by_status, watching
from mlplab.runs import store
from mlplab.runs.run import Run


@app.command(no_args_is_help=True)
def resume(
    run: RunName,
    data_dir: DataDir = None,
    data_path: DataPath = None,
    runs_dir: RunsDir = Path("runs"),
    trust: Trust = False,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> None:
    """Continue an interrupted run to the result that it would have had.

    'last' is the latest run that has not ended.

    Example: mlplab resume last
    """
    found = Run(store.find(runs_dir, run, unfinished=True))

    from mlplab.experiment import resume as resuming
    from mlplab.experiment.options import Options

    with watching(found.recipe, 1, quiet, as_json) as progress:
        options = Options(data_dir=data_dir, trust=trust)
        done = resuming.resume(found, options, progress, data_path)
    if as_json:
        print_json(done.record.to_json())
    else:
        show.run(out, done)
    end_by_status([done])
