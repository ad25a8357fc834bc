"""``mlplab train``."""

import contextlib
import json
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape

from mlplab.cli import members, progress, show
from mlplab.cli.app import (
    AsJson,
    DataDir,
    RunsDir,
    Trust,
    app,
    err,
    note,
    out,
    print_json,
    recipe_name,
)
from mlplab.errors import RecipeError
from mlplab.recipes.recipe import Recipe

if TYPE_CHECKING:
    from mlplab.experiment.options import Options
    from mlplab.report.folds import Folds
    from mlplab.runs.run import Run

Resume = Literal["never", "auto"]

EXIT = {"finished": 0, "interrupted": 130, "diverged": 1}


@app.command(no_args_is_help=True)
def train(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, or a .toml file.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Keys to change.")
    ] = None,
    data_dir: DataDir = None,
    runs_dir: RunsDir = Path("runs"),
    seed: Annotated[int | None, typer.Option(help="Seed to use instead of the recipe's.")] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Several runs: 0..4 or 0,3,7.", metavar="A..B")
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            min=2,
            max=100,
            help="Several runs: hold out each of this many equal parts of the training images once."
            " Every image is then predicted by a network that has not seen it.",
        ),
    ] = None,
    population: Annotated[
        list[str] | None,
        typer.Option(
            help="Train several runs in one program: seed=0..9 or"
            " optimizer.learning_rate=1e-4,1e-3; with both, all combinations.",
            metavar="KEY=VALUES",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The run's name; if it is taken, a number is added.")
    ] = None,
    group: Annotated[str | None, typer.Option(help="A label for comparisons.")] = None,
    test: Annotated[
        bool | None,
        typer.Option(
            "--test/--no-test",
            help="Also evaluate on the test set at the end; by default only if the recipe says so.",
        ),
    ] = None,
    profile: Annotated[
        bool,
        typer.Option(
            "--profile", help="Afterwards, time and trace steps and compare with the limit."
        ),
    ] = False,
    layers: Annotated[
        bool,
        typer.Option(
            "--layers",
            help="Measure and draw the layers after each epoch, for the pages of `mlplab ui`.",
        ),
    ] = False,
    devices: Annotated[
        str, typer.Option(help="Devices that share each batch: a number, or all.")
    ] = "1",
    resume: Annotated[
        Resume,
        typer.Option(help="auto: continue the latest unfinished run of this recipe and seed."),
    ] = "never",
    checkpoint: Annotated[
        float,
        typer.Option(
            min=0,
            max=1e9,
            metavar="SECONDS",
            help="Minimum time between checkpoints after epochs; ten times as much within an"
            " epoch.",
        ),
    ] = 30.0,
    trust: Trust = False,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> None:
    """Train a recipe, evaluate the network on validation images, and record the run.

    Example: mlplab train published optimizer.name=sgd optimizer.learning_rate=0.05 --seeds 0..2
    """
    from mlplab import recipes

    if seed is not None and seeds is not None:
        raise RecipeError("--seed and --seeds cannot both be given")
    if population and (seed is not None or seeds is not None):
        raise RecipeError(
            "--population cannot be combined with --seed or --seeds: write --population seed=0..4"
        )
    if folds and test:
        raise RecipeError(
            "--folds cannot be combined with --test: the runs of all folds are judged by validation"
        )
    if folds and any(item.startswith("data.fold=") for item in overrides or []):
        raise RecipeError("--folds sets data.fold for each run; leave data.fold out")
    if folds and (seeds is not None or population):
        raise RecipeError(
            "--folds cannot be combined with --seeds or --population: give one --seed, which"
            " decides the folds"
        )
    if population and (profile or devices != "1"):
        raise RecipeError(
            "--population cannot be combined with --profile or --devices, which are for a single"
            " training; leave them out, or train the runs one by one (--seeds)"
        )
    if population and layers:
        raise RecipeError(
            "--population cannot be combined with --layers, which are of a single training;"
            " leave it out, or train the runs one by one (--seeds)"
        )
    if population and resume != "never":
        raise RecipeError(
            "--population cannot be combined with --resume: resume each member by itself,"
            " `mlplab resume RUN`"
        )
    recipe = recipe_name(recipe)
    chosen = recipes.load(recipe, overrides or [])
    if population:
        variants = members.variants(chosen, population, overrides or [])
    else:
        if seeds and seeds.isdigit():
            note(f"--seeds {seeds} is one run, with seed {seeds}; several seeds are written 0..2")
        numbers = parse_seeds(seeds) if seeds else [chosen.seed if seed is None else seed]
        variants = [recipes.with_seed(chosen, number) for number in numbers]
        if folds:
            variants = recipes.over_folds(variants[0], folds)

    from mlplab.experiment.options import Options

    def command(variant: Recipe) -> str:
        rates = any(item.startswith(members.RATE) for item in population or [])
        return _command(recipe, overrides or [], variant, rates, devices, trust, test)

    options = Options(
        data_dir=data_dir,
        runs_dir=runs_dir,
        name=name,
        group=group,
        recipe_name=Path(recipe).stem,
        test=False if folds else test,
        devices=devices,
        trust=trust,
        profile=profile,
        layers=layers,
        checkpoint_seconds=checkpoint,
    )
    if population:
        done = _together(variants, options, command, quiet, as_json)
    else:
        done = _in_turn(variants, options, command, quiet, as_json, resume)
    whole = _over_folds(done, runs_dir) if folds == len(done) else None
    if as_json:
        records = [run.record.to_json() for run in done]
        several = {"runs": records, **whole.to_json()} if whole else records
        print_json(several if seeds or population or folds else records[0])
    elif population:
        members.show(out, [run.record for run in done])
    elif whole:
        from mlplab.report.folds import place

        show.folds(out, whole, place(done, runs_dir))
    elif len(done) > 1:
        show.replicates(out, [run.record for run in done])
    end_by_status(done)


def _over_folds(done: "list[Run]", runs_dir: Path) -> "Folds | None":
    """Write what finished runs over all folds found together."""
    from mlplab.report import folds

    if any(run.record.status != "finished" for run in done):
        return None
    found = folds.together(done)
    folds.write(found, folds.place(done, runs_dir))
    return found


def end_by_status(done: "list[Run]") -> None:
    """Say why runs did not finish and how to continue them, and exit with the code for that."""
    from mlplab.experiment import interrupt

    if code := max(EXIT[run.record.status] for run in done):
        for reason in dict.fromkeys(run.record.reason for run in done if run.record.reason):
            err.print(f"[red]error:[/red] {escape(reason)}")
        for run in done:
            if command := _continuing(run):
                note(f"{run.name} was interrupted; `{command}` continues it")
        interrupt.end_if_asked()
        raise typer.Exit(code)


def _continuing(run: "Run") -> str | None:
    """Return the command that continues an interrupted run, if one can."""
    population = run.record.population
    if run.record.status != "interrupted" or (population and population.mode == "vmap"):
        return None
    name = run.name if run.folder.parent == Path("runs") else str(run.folder)
    return shlex.join(["mlplab", "resume", name])


def _in_turn(
    variants: list[Recipe],
    options: "Options",
    command: Callable[[Recipe], str],
    quiet: bool,
    as_json: bool,
    resume: Resume,
) -> "list[Run]":
    """Train runs by themselves, until one is interrupted."""
    from mlplab.experiment import execute
    from mlplab.experiment import resume as resuming

    done: list[Run] = []
    for variant in variants:
        several = options.name and len(variants) > 1
        fold = variant.data.fold if variant.seed == variants[0].seed == variants[-1].seed else None
        ending = f"s{variant.seed}" if fold is None else f"f{fold[0]}"
        name = f"{options.name}-{ending}" if several else options.name
        own = replace(options, name=name, command=command(variant))
        begun = resuming.unfinished(variant, own) if resume == "auto" else None
        with watching(variant, 1, quiet, as_json) as shown:
            if begun is not None:
                done.append(resuming.resume(begun, own, shown))
            else:
                done.append(execute.run(variant, own, shown))
        if not as_json:
            show.run(out, done[-1])
        if done[-1].record.status == "interrupted":
            break
    return done


def _together(
    variants: list[Recipe],
    options: "Options",
    command: Callable[[Recipe], str],
    quiet: bool,
    as_json: bool,
) -> "list[Run]":
    """Train runs as one population."""
    from mlplab.experiment import population

    with watching(variants[0], len(variants), quiet, as_json) as shown:
        return population.run(variants, options, shown, command)


@contextmanager
def watching(
    recipe: Recipe, members: int, quiet: bool, as_json: bool
) -> Iterator[progress.NotesOnly]:
    length = recipe.training
    # What the user's own code prints must not stand among the JSON.
    talk = contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()
    images = length.batch_size * members  # that a step of all of them takes
    with talk, progress.bar(length.epochs, images, err, quiet or as_json) as shown:
        yield shown


def parse_seeds(text: str) -> list[int]:
    """Read ``0..4`` (both ends included) or ``0,3,7``.

    Raises:
        RecipeError: if it is neither.
    """
    numbers = members.whole_numbers(text)
    if numbers is None:
        raise RecipeError(f"--seeds {text}: write 0..4 for five runs, or 0,3,7")
    return list(dict.fromkeys(numbers))


def _command(
    recipe: str,
    overrides: list[str],
    variant: Recipe,
    with_rate: bool,
    devices: str,
    trust: bool,
    test: bool | None,
) -> str:
    words = ["mlplab", "train", recipe, *overrides]
    if variant.data.fold is not None and not any(x.startswith("data.fold=") for x in overrides):
        words.append(f"data.fold={json.dumps(variant.data.fold)}")
    if with_rate:
        words.append(f"optimizer.learning_rate={variant.optimizer.params['learning_rate']}")
    words += ["--seed", str(variant.seed)]
    if devices != "1":
        words += ["--devices", devices]
    if test is not None:
        words.append("--test" if test else "--no-test")
    return shlex.join([*words, "--trust"] if trust else words)
