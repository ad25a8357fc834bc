"""Routes that lead to a training: images, recipes, the queue, studies."""

import tempfile
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from mlplab import recipes
from mlplab.errors import UserError
from mlplab.runs import layout, store
from mlplab.ui import forms, studies, uploads
from mlplab.ui.answers import answered, asked, refusal
from mlplab.ui.guard import REPORTS
from mlplab.ui.laboratory import Laboratory
from mlplab.ui.sets import images_there


def routes(lab: Laboratory) -> list[Route]:
    """Return the routes."""

    async def cards(request: Request) -> Any:
        return {"recipes": await run_in_threadpool(forms.cards)}

    async def there(request: Request) -> Any:
        return {"sets": await run_in_threadpool(images_there, lab.runs_dir, lab.data_dir)}

    async def look(request: Request) -> Any:
        changes = {f"data.{key}": value for key, value in (await asked(request)).items()}
        recipe = await run_in_threadpool(forms.draft, "quickstart", changes, lab.roots)
        return await lab.warm.ask(do="images", data=recipes.to_tables(recipe)["data"])

    async def draft(request: Request) -> Any:
        question = await asked(request)
        name, changes = str(question["recipe"]), dict(question["changes"])
        recipe = await run_in_threadpool(forms.draft, name, changes, lab.roots)
        run, seeds = question.get("name"), question.get("seeds", [0])
        if run is not None:
            store.check_name(f"{run}-s0")
        command = forms.command(name, changes, run, seeds)
        return {"command": command, "toml": recipes.to_toml(recipe)}

    async def network(request: Request) -> Any:
        question = await asked(request)
        name, changes = str(question["recipe"]), dict(question["changes"])
        recipe = await run_in_threadpool(forms.draft, name, changes, lab.roots)
        tables = recipes.to_tables(recipe)
        facts = await lab.warm.ask(do="network", name=name, recipe=tables)
        runs = await run_in_threadpool(lab.summaries.all)
        return facts | {"seconds": forms.estimate(facts, recipe, runs)}

    async def train(request: Request) -> Any:
        return await run_in_threadpool(_train, lab, await asked(request))

    async def jobs(request: Request) -> Any:
        found = await run_in_threadpool(lambda: [lab.queue.facts(job) for job in lab.queue.jobs()])
        return {"jobs": found}

    async def stop(request: Request) -> Any:
        await run_in_threadpool(lab.queue.stop, request.path_params["job"])
        return {}

    async def begin_set(request: Request) -> Any:
        name = str((await asked(request))["name"])
        return {"set": await run_in_threadpool(uploads.begin, lab.runs_dir, name)}

    async def upload(request: Request) -> Any:
        folder = uploads.begun(lab.runs_dir, request.path_params["set"])
        path = uploads.target(folder, request.path_params["path"])
        if path is None:  # no image: nothing that training would read
            return {"taken": False}
        lab.uploads.count(folder)
        most = min(uploads.LARGEST_PICTURE, lab.uploads.left(folder))
        lab.uploads.add(folder, await uploads.write(request.stream(), path, most))
        return {"taken": True}

    async def end_set(request: Request) -> Any:
        name = str((await asked(request))["set"])
        return {"set": await run_in_threadpool(uploads.end, lab.runs_dir, name)}

    async def remove_set(request: Request) -> Any:
        await run_in_threadpool(_remove_set, lab, request.path_params["set"])
        return {}

    async def upload_zip(request: Request) -> Any:
        folder = uploads.begun(lab.runs_dir, request.path_params["set"])
        with tempfile.TemporaryDirectory() as aside:
            archive = Path(aside) / "images.zip"
            await uploads.write(request.stream(), archive, uploads.LARGEST_FILE)
            return {"images": await run_in_threadpool(uploads.unpack, archive, folder)}

    async def known_studies(request: Request) -> Any:
        return await run_in_threadpool(studies.known, lab.runs_dir)

    async def start_study(request: Request) -> Any:
        question = await asked(request)
        words = studies.words(str(question["study"]), bool(question.get("quick")))
        title = f"study {question['study']}"
        job = await run_in_threadpool(lab.queue.add, [*words, *lab.where], [], title)
        return {"job": job.id}

    async def study_page(request: Request) -> Response:
        name = request.path_params["study"]
        page = lab.runs_dir / name / layout.REPORT
        if not store.NAME.fullmatch(name) or not page.is_file():
            return refusal("there is no such page", 404)
        return FileResponse(page, headers={"Content-Security-Policy": REPORTS})

    return [
        Route("/api/recipes", answered(cards)),
        Route("/api/data", answered(there)),
        Route("/api/data", answered(look), methods=["POST"]),
        Route("/api/draft", answered(draft), methods=["POST"]),
        Route("/api/network", answered(network), methods=["POST"]),
        Route("/api/train", answered(train), methods=["POST"]),
        Route("/api/jobs", answered(jobs)),
        Route("/api/jobs/{job}", answered(stop), methods=["DELETE"]),
        Route("/api/sets", answered(begin_set), methods=["POST"]),
        Route("/api/sets", answered(end_set), methods=["PUT"]),
        Route("/api/sets/{set}", answered(remove_set), methods=["DELETE"]),
        Route("/api/images/{set}", answered(upload_zip), methods=["POST"]),
        Route("/api/images/{set}/{path:path}", answered(upload), methods=["POST"]),
        Route("/api/studies", answered(known_studies)),
        Route("/api/studies", answered(start_study), methods=["POST"]),
        Route("/api/studies/{study}/report.html", answered(study_page)),
    ]


def _remove_set(lab: Laboratory, name: str) -> None:
    lab.queue.check_unneeded(lab.runs_dir / uploads.FOLDER / name)
    uploads.remove(lab.runs_dir, name)


def _train(lab: Laboratory, question: dict[str, Any]) -> dict[str, Any]:
    """Append the runs of a recipe to the queue, one for each seed."""
    name, changes = str(question["recipe"]), dict(question["changes"])
    recipe = forms.draft(name, changes, lab.roots)
    seeds = [int(seed) for seed in question.get("seeds", [0])]
    if not 0 < len(seeds) <= forms.MOST_SEEDS:
        raise UserError(f"1 to {forms.MOST_SEEDS} seeds can be trained at once")
    for seed in seeds:
        recipes.with_seed(recipe, seed)  # which refuses one that is out of range
    group = ["--group", str(question["group"])] if question.get("group") else []
    made = []
    with lab.queue.changing():
        jobs = [job for job in lab.queue.jobs() if lab.queue.state(job) != "ended"]
        taken = {run for job in jobs for run in job.runs}  # some of them have no folder yet
        for seed in seeds:
            run = forms.free_name(f"{question.get('name') or name}-s{seed}", taken, lab.runs_dir)
            taken.add(run)
            made.append(run)
        for seed, run in zip(seeds, made, strict=True):
            words = ["train", name, *forms.words(name, changes), "--seed", str(seed), "--layers"]
            words += ["--name", run, *group, *lab.where]
            lab.queue.append(words, [run], f"train {run}")
    return {"runs": made}
