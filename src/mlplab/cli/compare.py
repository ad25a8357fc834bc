"""``mlplab compare``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from mlplab.cli import show
from mlplab.cli.app import (
    AsJson,
    DataDir,
    DataPath,
    RunsDir,
    app,
    note,
    out,
    path_option,
    print_json,
)
from mlplab.errors import RunError


@app.command(no_args_is_help=True)
def compare(
    sides: Annotated[
        list[str],
        typer.Argument(
            metavar="A B...",
            help="Runs, groups, config_ids, globs of run names in quotes, or STUDY/VARIANT.",
        ),
    ],
    on: Annotated[
        Literal["test", "validation"] | None,
        typer.Option(
            help="The split to compare on; by default test where all have been measured there.",
            show_default=False,
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=100,
            help="Points that a difference must reach to matter; by default half a point.",
            show_default=False,
        ),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    output: Annotated[
        Path | None,
        path_option(
            "--out",
            metavar="FOLDER",
            help="Write a page with pictures there: accuracy against cost, and the images that only"
            " one of two gets right.",
        ),
    ] = None,
    data_dir: DataDir = None,
    data_path: DataPath = None,
    runs_dir: RunsDir = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Compare runs or groups of replicates: is one better, and is that luck?

    The others are compared with the first, seed by seed; in a study, with its reference.

    Example: mlplab compare adam sgd
    """
    from mlplab.report import comparison, comparison_tables, study
    from mlplab.report.configurations import find_sides

    configurations = find_sides(runs_dir, sides)
    if len(configurations) < 2:
        raise RunError("name two or more to compare; `mlplab runs` lists the runs")
    share = comparison.MARGIN if margin is None else margin / 100
    reference = None
    if len(sides) == 1:  # a study, which has a reference of its own
        own = study.load(runs_dir / sides[0]).comparison
        reference = own.reference if own else None
    found = comparison.compare(configurations, on, share, reference)
    if output is not None:
        from mlplab.experiment.split import measured_images
        from mlplab.report import comparison_folder
        from mlplab.runs.run import Run

        reference_side = next(side for side in configurations if side.name == found.reference)
        run = Run(next(iter(reference_side.folders.values())))
        images = measured_images(run, found.split, data_dir, data_path)
        note(f"page {comparison_folder.write(found, configurations, output, images)}")
    if as_json:
        print_json(found.to_json())
    elif markdown:
        out.print(comparison_tables.markdown(found), markup=False)
    else:
        data_ids = next(iter(configurations[0].records.values())).data_ids
        show.comparison(out, found, runs_dir, data_ids)
        for text in found.notes:
            note(text)
