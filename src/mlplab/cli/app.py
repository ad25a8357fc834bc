"""The application object, and what its commands share: options, errors, output."""

import json
import os
import sys
import sysconfig
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.text import Text
from typer.core import TyperGroup

from mlplab import files
from mlplab.errors import MlplabError
from mlplab.text import plain


class Plain(Console):
    """A console on which names from files can neither move the cursor nor turn the text."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(plain(text), **options)

    def on_broken_pipe(self) -> None:
        """Discard what is printed from now on: a reader that has ended must not end a training."""
        self.quiet = True
        with suppress(OSError):
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self.file.fileno())
            os.close(nothing)


# Results go to stdout; progress, notes and errors to stderr, so that results can be piped.
# What is piped is not cut to a terminal's width.
_on_terminal = sys.stdout is not None and sys.stdout.isatty()
out = Plain(highlight=False, soft_wrap=True, width=None if _on_terminal else 200)
err = Plain(stderr=True, highlight=False, soft_wrap=True)


def path_option(*names: str, **settings: Any) -> Any:
    """Return an option for a path, in which ``~`` is the home folder, whoever expands it."""
    return typer.Option(*names, callback=lambda given: given and files.expanded(given), **settings)


DataDir = Annotated[
    Path | None,
    path_option(help="Folder containing the data set, such as `cifar10/`.", show_default=False),
]
DataPath = Annotated[
    Path | None,
    path_option(help="Where your own images are now, if they were moved.", show_default=False),
]
RunsDir = Annotated[Path, path_option(help="Folder of the runs.", envvar="MLPLAB_RUNS_DIR")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]
Trust = Annotated[bool, typer.Option("--trust", help="Load your own code that the recipe names.")]
RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's name, a unique prefix of it, or 'last'.")
]


# In the order of the help: that in which they are needed.
ORDER = (
    "train",
    "resume",
    "evaluate",
    "predict",
    "export",
    "runs",
    "compare",
    "study",
    "lr-find",
    "report",
    "tensorboard",
    "ui",
    "recipes",
    "data",
)


class Commands(TyperGroup):
    """Turns mlplab's errors into one or two plain lines and the right exit code."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=ORDER.index)

    def invoke(self, ctx: Any) -> Any:
        words = [*getattr(ctx, "_protected_args", ()), *ctx.args]  # the command and what follows
        try:
            return super().invoke(ctx)
        except MlplabError as error:
            if ctx.params.get("debug"):
                raise
            err.print(f"[red]error:[/red] {escape(str(error))}")
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            err.print("stopped")
            raise typer.Exit(130) from None
        except BrokenPipeError:
            # The reader of our output (a pager, head) has exited; that is no failure of ours.
            sys.stderr.close()
            raise typer.Exit(0) from None
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            if line := _as_key(error, words):
                err.print(f"[red]error:[/red] {escape(line)}")
                raise typer.Exit(2) from None
            if ctx.params.get("debug") or hasattr(error, "exit_code"):
                raise  # the latter are usage errors, which Typer prints
            place = _in_code_of_the_user(error)
            where = f"It comes from your own code, {place}" if place else "This should not happen"
            err.print(
                f"[red]error:[/red] {escape(f'{type(error).__name__}: {error}'[:400])}\n"
                f"{escape(where)}; `mlplab --debug …` prints the traceback."
            )
            raise typer.Exit(1) from None


TAKE_KEYS = {"train": "", "lr-find": "", "study": "recipe."}
"""Commands that take overrides of a recipe, and what is written before the keys."""


def _as_key(error: Exception, words: list[str]) -> str | None:
    """Return what to write for an option that does not exist, if it is a key of a recipe."""
    option = getattr(error, "option_name", None)
    if type(error).__name__ != "NoSuchOption" or not option or not words:
        return None
    if words[0] not in TAKE_KEYS:
        return None
    from mlplab.recipes.suggestions import meant

    key = meant(option)
    if key is None:
        return None
    given = next((i for i, word in enumerate(words) if word.partition("=")[0] == option), None)
    value = "VALUE"
    if given is not None:
        own = words[given].partition("=")[2]
        following = words[given + 1 : given + 2]
        value = own or "".join(word for word in following if not word.startswith("--")) or value
    return (
        f"there is no option {option}; keys of a recipe are written without dashes:"
        f" {TAKE_KEYS[words[0]]}{key}={value}"
    )


def _in_code_of_the_user(error: Exception) -> str | None:
    """Return file and line where an error arose, unless that is in mlplab's own code."""
    libraries = [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")]
    ours = Path(__file__).parents[1]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(ours):
            return None
        if path.is_file() and not any(path.is_relative_to(folder) for folder in libraries):
            return f"{path.name}, line {frame.lineno}"
    return None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from mlplab import __version__

        out.print(__version__)
        raise typer.Exit


@app.callback()
def main(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Train, watch and judge multilayer perceptrons: one command per question.

    Example: mlplab train quickstart
    """


def print_json(value: Any) -> None:
    """Print a value as JSON on stdout; what JSON cannot hold (NaN) is null."""
    print(json.dumps(files.finite(value), indent=1))


def note(text: str) -> None:
    """Print a note on stderr."""
    err.print(f"[yellow]note:[/yellow] {escape(text)}")


def recipe_name(given: str) -> str:
    """Return a recipe's name of today; where it had another before, say so."""
    from mlplab import recipes

    if line := recipes.renamed(given):
        note(line)
    return recipes.RENAMED.get(given, given)
