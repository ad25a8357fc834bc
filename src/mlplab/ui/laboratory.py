"""What the routes share: the folders, the queue, the worker."""

import asyncio
import sys
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from mlplab.errors import RunError
from mlplab.runs import layout, store
from mlplab.ui import uploads
from mlplab.ui.jobs import Queue
from mlplab.ui.predict import Warm
from mlplab.ui.summaries import Summaries

TENDED = 0.25  # seconds between two looks at the queue


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

    async def tend(self) -> None:
        """Keep the queue going until cancelled."""
        while True:
            try:
                await run_in_threadpool(self.queue.advance)
            except Exception as error:  # the queue goes on whatever happens to one of its files
                print(f"the queue: {type(error).__name__}: {error}", file=sys.stderr)
            self.warm.end_if_idle()
            await asyncio.sleep(TENDED)
