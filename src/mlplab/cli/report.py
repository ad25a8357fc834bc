"""``mlplab report``."""

from pathlib import Path
from typing import Annotated

from mlplab.cli.app import AsJson, RunName, RunsDir, app, note, out, path_option, print_json
from mlplab.errors import RunError
from mlplab.runs import layout, lock, store, tidy
from mlplab.runs.run import Run
from mlplab.text import counted


@app.command(no_args_is_help=True)
def report(
    run: RunName,
    markdown: Annotated[
        Path | None,
        path_option(help="For a study: also write Markdown here, with pictures next to it."),
    ] = None,
    runs_dir: RunsDir = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Write the report of a run or a study again, one self-contained page, and print its path.

    Example: mlplab report last
    """
    from mlplab.experiment.publish import publish_again

    if store.NAME.fullmatch(run) and store.is_study(runs_dir / run):
        from mlplab.report.study_page import write_study_page

        page = write_study_page(runs_dir / run)
        if markdown is not None:
            from mlplab.report.study import load
            from mlplab.report.study_markdown import write_study_markdown

            write_study_markdown(load(runs_dir / run), markdown)
        if as_json:
            print_json({"report": str(page)})
        else:
            out.print(str(page), markup=False)
        return
    if markdown is not None:
        raise RunError(f"--markdown is for studies, and there is no study {run} in {runs_dir}")
    found = Run(store.find(runs_dir, run))
    record = found.record
    if record.status == "running":
        page = publish_again(found.folder, record, found.recipe)
    else:
        with lock.writing(found.folder):
            record = store.read_own_record(found.folder)
            found_wrong = tidy.check(found.folder).problems
            problems = [text for text in found_wrong if not text.startswith(layout.REPORT)]
            for problem in problems:
                note(f"{found.name}: {problem}")
            page = publish_again(found.folder, record, found.recipe, problems=problems)
    if record.status != "finished":
        epochs = counted(record.epochs, "epoch")
        note(f"{found.name} is {record.status}: the page shows what there is, {epochs} so far")
    if as_json:
        print_json({"report": str(page)})
    else:
        out.print(str(page), markup=False)
