"""The application of ``mlplab ui``: pages, routes and their guard."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from mlplab import report
from mlplab.ui import results, training, uploads
from mlplab.ui.guard import Guard
from mlplab.ui.laboratory import Laboratory

STATIC = Path(__file__).parent / "static"
UPLOT = Path(report.__file__).parent / "uplot"


def create_app(
    runs_dir: Path, data_dir: Path | None, token: str, host: str = "127.0.0.1", port: int = 80
) -> Starlette:
    """Return the application.

    Args:
        runs_dir: the runs folder.
        data_dir: folder that contains the data sets' folders.
        token: that a browser has to have.
        host: where the server listens.
        port: likewise.
    """
    laboratory = Laboratory(runs_dir, data_dir)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        uploads.tidy(laboratory.runs_dir)
        tending = asyncio.create_task(laboratory.tend())
        try:
            yield
        finally:
            tending.cancel()
            await laboratory.warm.close()

    guard = Middleware(Guard, token=token, host=host, port=port, large=_takes_uploads)
    app = Starlette(
        routes=[
            Route("/", _index),
            Mount("/static/uplot", StaticFiles(directory=UPLOT)),
            Mount("/static", StaticFiles(directory=STATIC)),
            *training.routes(laboratory),
            *results.routes(laboratory),
        ],
        middleware=[guard],
        lifespan=lifespan,
    )
    app.state.laboratory = laboratory
    return app


async def _index(request: Request) -> Response:
    return FileResponse(STATIC / "index.html")


def _takes_uploads(path: str) -> bool:
    """Return whether a path takes files, which bounds them itself."""
    return path.startswith("/api/images/") or path.endswith("/predict")
