"""``mlplab evaluate``, ``mlplab predict`` and ``mlplab export``."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape

from mlplab import files
from mlplab.api.comparing import load_run
from mlplab.cli import show
from mlplab.cli.app import (
    AsJson,
    DataDir,
    DataPath,
    RunName,
    RunsDir,
    Trust,
    app,
    err,
    note,
    out,
    path_option,
    print_json,
)
from mlplab.errors import RunError
from mlplab.report import formatting
from mlplab.runs import store
from mlplab.runs.run import Run

Split = Literal["train", "validation", "test", "cifar10.1"]


@app.command(no_args_is_help=True)
def evaluate(
    run: RunName,
    split: Annotated[Split, typer.Option(help="The split, or a second test set.")] = "validation",
    tta_flip: Annotated[
        bool | None,
        typer.Option(help="Also average over mirror images; by default as in the recipe."),
    ] = None,
    tta_shift: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Also over images moved by N pixels; by default as in the recipe.",
        ),
    ] = None,
    data_dir: DataDir = None,
    data_path: DataPath = None,
    runs_dir: RunsDir = Path("runs"),
    trust: Trust = False,
    as_json: AsJson = False,
) -> None:
    """Evaluate a trained run on a split; each use of a test set is counted.

    Example: mlplab evaluate last --split test --tta-flip --tta-shift 2
    """
    found = Run(store.find(runs_dir, run))

    from mlplab.experiment import inference

    given = {"tta_flip": tta_flip, "tta_shift": tta_shift}
    views = {key: value for key, value in given.items() if value is not None}
    metrics = inference.evaluate(found, split, data_dir, trust, note, views, data_path)
    if as_json:
        print_json(metrics)
        return
    out.print(f"[bold]{found.name}[/bold] on {split}, {metrics['n']:,} images")
    _print(metrics, metrics["top_k"])
    if over_views := metrics.get("tta"):
        out.print(f"averaged over {show.views(over_views)}")
        _print(over_views, metrics["top_k"])
    counts = found.record.ledger if split == "test" else metrics.get("ledger")
    if counts:
        name = "test set" if split == "test" else split
        out.print(f"{name} evaluated {formatting.openings(counts)} in this runs folder")


def _print(metrics: dict[str, Any], top_k: int) -> None:
    from mlplab.statistics.metrics import METRICS  # and with it SciPy, a sixth of a second

    wide = max(len(metric.label) for metric in METRICS)
    for metric in METRICS:
        if metrics.get(metric.name) is None:
            continue
        label = metric.label.replace("top-k", f"top-{top_k}")
        text = show.metric_text(metrics, metric, decimals=4)
        around = f" ({show.interval(metrics)})" if metric.name == "accuracy" else ""
        out.print(f"{label:{wide}}  {text}{around}")


@app.command(no_args_is_help=True)
def predict(
    run: RunName,
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Image files, or folders of them.")
    ],
    top: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 3,
    explain: Annotated[
        Path | None,
        path_option(
            metavar="FOLDER",
            help="Write a picture for each image there: the pixels that the answer depends on.",
        ),
    ] = None,
    runs_dir: RunsDir = Path("runs"),
    trust: Trust = False,
    as_json: AsJson = False,
) -> None:
    """Classify image files of any size and format that Pillow reads.

    RUN may also be a folder that `mlplab export` wrote.

    Example: mlplab predict last photo.jpg
    """
    exported = (files.expanded(run) / "network.onnx").is_file()
    if exported and explain:
        raise RunError(
            "--explain needs the gradients of a run's network, which an export does not have"
        )
    folder = files.expanded(run) if exported else store.find(runs_dir, run)

    from mlplab.experiment import inference

    images = [files.expanded(image) for image in images]
    if exported:
        predictions = inference.predict_exported(folder, images)
    else:
        predictions = inference.predict(Run(folder), images, trust, explain)
    if as_json:
        print_json([asdict(prediction) for prediction in predictions])
    for prediction in predictions:
        if prediction.error:
            err.print(f"[red]error:[/red] {escape(prediction.error)}")
        elif not as_json:
            best = zip(prediction.classes[:top], prediction.probabilities[:top], strict=True)
            words = ", ".join(f"{name} {formatting.percent(share)}" for name, share in best)
            out.print(f"{escape(prediction.path)}: {escape(words)}")
            if prediction.explained:
                out.print(f"  depends on  {prediction.explained}", markup=False)
    if any(prediction.error for prediction in predictions):
        raise typer.Exit(2)


@app.command(no_args_is_help=True)
def export(
    run: RunName,
    format: Annotated[
        Literal["onnx", "keras"],
        typer.Option(
            "--format",
            help="`onnx`: a folder with the network's file; `keras`: a Python program that trains"
            " the network with plain Keras.",
        ),
    ] = "onnx",
    output: Annotated[
        Path | None,
        path_option("--out", help="What to create; by default the folder RUN-onnx, or RUN.py."),
    ] = None,
    runs_dir: RunsDir = Path("runs"),
    trust: Trust = False,
    as_json: AsJson = False,
) -> None:
    """Export a trained network: for other programs, or as a program of its own.

    Example: mlplab export last --format keras --out published.py
    """
    written = load_run(run, runs_dir).export(format, output, trust=trust)
    if as_json:
        print_json({"file" if format == "keras" else "folder": str(written)})
    else:
        out.print(str(written), markup=False)
