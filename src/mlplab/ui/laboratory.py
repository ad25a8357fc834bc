"""What the routes share: the folders, the queue, the worker."""

import asyncio
import sys
from pathlib import Path
from weakref import WeakValueDictionary

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from mlplab.errors import RunError
from mlplab.runs import layout, store
from mlplab.ui import live, uploads
from mlplab.ui.jobs import Queue
from mlplab.ui.predict import Warm
from mlplab.ui.summaries import Summaries

TENDED = 0.25  # seconds between two looks at the queue, and at what pages watch


class Laboratory:
    """What the routes share.

    Args:
        runs_dir: the runs folder.
        data_dir: folder that contains the data sets' folders.

    Attributes:
        ending: whether the server is about to end, so that streams have to.
    """

    def __init__(self, runs_dir: Path, data_dir: Path | None) -> None:
        # Whole paths: jobs may be started by another server, in another folder.
        self.runs_dir = runs_dir.resolve()
        self.data_dir = data_dir.resolve() if data_dir is not None else None
        self.queue = Queue(self.runs_dir)
        self.warm = Warm(self.data_dir)
        self.summaries = Summaries(self.runs_dir)
        self.uploads = uploads.Bounds()
        # Of runs that pages watch: one reads for all of them.
        self.watched: WeakValueDictionary[Path, live.State] = WeakValueDictionary()
        self.ending = False

    @property
    def roots(self) -> list[Path]:
        """Folders that images may be in."""
        own = [self.runs_dir / uploads.FOLDER]
        return [*own, self.data_dir] if self.data_dir is not None else own

    @property
    def where(self) -> list[str]:
        """The options of a command that name the folders."""
        given = ["--runs-dir", str(self.runs_dir)]
        return [*given, "--data-dir", str(self.data_dir)] if self.data_dir is not None else given

    def folder(self, request: Request) -> Path:
        """Return the folder of the run that a request is about.

        Raises:
            RunError: if there is none.
        """
        name = str(request.path_params["run"])
        folder = self.runs_dir / name
        if not store.NAME.fullmatch(name) or not (folder / layout.RECORD).is_file():
            raise RunError(f"no run is called '{name}'")
        return folder

    def state(self, folder: Path) -> live.State:
        """Return the state of a run that all pages that watch it share."""
        return self.watched.setdefault(folder, live.State(folder))

    async def tend(self) -> None:
        """Keep the queue going, and what pages watch up to date, until cancelled."""
        while True:
            for act in (self.queue.advance, *(state.refresh for state in self.watched.values())):
                try:
                    await run_in_threadpool(act)
                except Exception as error:  # such as of one damaged file; the others go on
                    print(f"mlplab ui: {type(error).__name__}: {error}", file=sys.stderr)
            self.warm.end_if_idle()
            await asyncio.sleep(TENDED)
