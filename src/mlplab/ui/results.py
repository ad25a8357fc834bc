"""Routes about runs: the list, one run, its events, comparisons, mistakes, predictions."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from mlplab import files, recipes
from mlplab.errors import MlplabError, RunError, UserError
from mlplab.runs import layout, lock, store, tidy
from mlplab.runs.run import Run
from mlplab.ui import forms, live, mistakes, uploads
from mlplab.ui.answers import answered, asked, refusal
from mlplab.ui.guard import REPORTS, inside
from mlplab.ui.jobs import Job
from mlplab.ui.laboratory import Laboratory

POLLED = 0.25  # seconds between two looks at a run that is watched
QUIET = 15.0  # seconds after which a stream without news says that it is there
SHOWN = (".png", ".svg", ".json", ".jsonl", ".csv", ".toml", ".md", ".txt", ".html")
"""Endings of files of a run that a page may open."""
MOST_PICTURES = 100


def routes(lab: Laboratory) -> list[Route]:
    """Return the routes."""

    async def runs(request: Request) -> Any:
        return {"runs": await run_in_threadpool(lab.summaries.all)}

    async def run(request: Request) -> Any:
        return await run_in_threadpool(_of, lab.folder(request))

    async def delete(request: Request) -> Any:
        await run_in_threadpool(_remove, lab, store.check_name(request.path_params["run"]))
        return {}

    async def stop(request: Request) -> Any:
        await run_in_threadpool(_stop, lab, lab.folder(request))
        return {}

    async def go_on(request: Request) -> Any:
        job = await run_in_threadpool(_go_on, lab, lab.folder(request))
        return {"job": job.id}

    async def open_test(request: Request) -> Any:
        name = lab.folder(request).name
        words = ["evaluate", str(lab.runs_dir / name), "--split", "test", *lab.where]
        title = f"evaluate {name} on the test set"
        return {"job": (await run_in_threadpool(lab.queue.add, words, [], title)).id}

    async def file(request: Request) -> Response:
        path = inside(lab.folder(request), request.path_params["path"])
        if path is None or not path.is_file() or path.suffix not in SHOWN:
            return refusal("there is no such file", 404)
        policy = {"Content-Security-Policy": REPORTS} if path.suffix in (".html", ".svg") else {}
        return FileResponse(path, headers=policy)

    async def events(request: Request) -> Response:
        last = request.headers.get("last-event-id") or request.query_params.get("after", "0")
        name = store.check_name(str(request.path_params["run"]))
        stream = _stream(lab, lab.runs_dir / name, int(last) if last.isdigit() else 0)
        return StreamingResponse(stream, media_type="text/event-stream")

    async def compare(request: Request) -> Any:
        return await run_in_threadpool(_compare, lab, request.query_params.getlist("side"))

    async def errors(request: Request) -> Any:
        given = request.query_params
        cell = (int(given["label"]), int(given["answer"])) if "label" in given else None
        split = given.get("split", "validation")
        return await run_in_threadpool(mistakes.of, lab.folder(request), split, cell)

    async def pictures(request: Request) -> Any:
        question = await asked(request)
        indices = [int(index) for index in question["indices"]][:MOST_PICTURES]
        split, folder = str(question["split"]), str(lab.folder(request).resolve())
        return await lab.warm.ask(do="pictures", run=folder, split=split, indices=indices)

    async def explain(request: Request) -> Any:
        question, folder = await asked(request), str(lab.folder(request).resolve())
        do = "activations" if question.get("layers") else "predict"
        split, index = str(question["split"]), int(question["index"])
        return await lab.warm.ask(do=do, run=folder, split=split, index=index)

    async def predict(request: Request) -> Any:
        folder = str(lab.folder(request).resolve())
        with tempfile.TemporaryDirectory() as aside:
            path = Path(aside) / "picture"
            await uploads.write(request.stream(), path, uploads.LARGEST_PICTURE)
            try:
                return await lab.warm.ask(do="predict", run=folder, path=str(path))
            except MlplabError as error:  # which names a file that the user does not know
                raise UserError(str(error).replace(str(path), "the picture")) from None

    one = "/api/runs/{run}"
    return [
        Route("/api/runs", answered(runs)),
        Route("/api/compare", answered(compare)),
        Route(one, answered(run)),
        Route(one, answered(delete), methods=["DELETE"]),
        Route(f"{one}/events", answered(events)),
        Route(f"{one}/stop", answered(stop), methods=["POST"]),
        Route(f"{one}/continue", answered(go_on), methods=["POST"]),
        Route(f"{one}/test", answered(open_test), methods=["POST"]),
        Route(f"{one}/mistakes", answered(errors)),
        Route(f"{one}/pictures", answered(pictures), methods=["POST"]),
        Route(f"{one}/explain", answered(explain), methods=["POST"]),
        Route(f"{one}/predict", answered(predict), methods=["POST"]),
        Route(f"{one}/files/{{path:path}}", answered(file)),
    ]


def _of(folder: Path) -> dict[str, Any]:
    """Return what a page shows of a run."""
    found = Run(folder)
    outline = folder / layout.PICTURES / layout.OUTLINE
    return {
        "record": found.record.to_json(),
        "recipe": found.recipe_text,
        "history": found.history,
        "again": _again(found),
        "pictures": sorted(path.name for path in (folder / layout.PICTURES).glob("*.png")),
        "outline": json.loads(outline.read_text("utf-8")) if outline.is_file() else None,
    }


def _again(run: Run) -> dict[str, Any] | None:
    """Return what the page on which trainings begin needs in order to begin with a run's recipe."""
    try:
        asked = forms.of_command(run.record.command)
        settings = recipes.to_tables(run.recipe)["data"] if asked else {}
    except (MlplabError, ValueError):  # such as of a later version
        return None
    if asked is None:
        return None
    images = {key: settings.get(key) for key in forms.IMAGES}
    return {"recipe": asked[0], "changes": asked[1], "data": images}


def _remove(lab: Laboratory, name: str) -> None:
    """Remove a run, if it is still there."""
    folder = lab.runs_dir / name
    if folder.exists():
        if lab.queue.expects(name):
            raise RunError(f"{name} is being trained, or is in the queue: stop it first")
        for found in tidy.removable(lab.runs_dir, [name]):
            tidy.remove(found)


def _go_on(lab: Laboratory, folder: Path) -> Job:
    """Append what continues an interrupted run to the queue."""
    status = store.read_record(folder).status
    if status != "interrupted":
        what = "is being trained" if status == "running" else f"is {status}"
        raise RunError(f"{folder.name} {what}: only an interrupted run can be continued")
    words = ["resume", str(folder), *lab.where]
    return lab.queue.add(words, [folder.name], f"continue {folder.name}")


def _stop(lab: Laboratory, folder: Path) -> None:
    """Stop the training of a run, whoever began it."""
    for job in lab.queue.jobs():
        if folder.name in job.runs and lab.queue.state(job) == "running":
            lab.queue.stop(job.id)
            return
    lab.queue.interrupt(lock.owner_process(folder))


def _compare(lab: Laboratory, sides: list[str]) -> dict[str, Any]:
    # SciPy and what else it loads would delay the server's start.
    from mlplab.report import comparison
    from mlplab.report.configurations import find_sides

    if len(sides) < 2:
        raise UserError("choose two or more to compare")
    runs = lab.summaries.all()
    known = {run[key] for run in runs for key in ("name", "group", "config_id")}
    if unknown := [side for side in sides if side not in known]:  # it might be a path
        raise UserError(f"no run, group or configuration is called '{unknown[0]}'")
    return comparison.compare(find_sides(lab.runs_dir, sides)).to_json()


async def _stream(lab: Laboratory, folder: Path, after: int) -> AsyncIterator[str]:
    """Yield a run's events in the form of server-sent events."""
    yield "retry: 1000\n\n"
    quiet = 0.0
    state = lab.state(folder)
    await run_in_threadpool(state.refresh)
    for found in live.news(state, after, lambda: lab.queue.expects(folder.name)):
        for event in found:
            number = f"id: {event.number}\n" if event.number is not None else ""
            yield f"{number}event: {event.kind}\ndata: {json.dumps(files.finite(event.data))}\n\n"
        quiet = 0.0 if found else quiet + POLLED
        if quiet >= QUIET:  # a proxy in between may close what is silent
            yield ": still here\n\n"
            quiet = 0.0
        if lab.ending:
            return
        await asyncio.sleep(POLLED)
