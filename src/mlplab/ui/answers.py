"""Questions and answers in JSON."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from mlplab import files
from mlplab.errors import MlplabError, UserError

Answer = Callable[[Request], Awaitable[Response]]


def answered(answer: Callable[[Request], Awaitable[Any]]) -> Answer:
    """Return a route that answers in JSON, also to what cannot be done: ``{"error": …}``."""

    async def route(request: Request) -> Response:
        try:
            found = await answer(request)
        except MlplabError as error:
            return refusal(str(error), 400)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            return refusal(f"the question is wrong: {error}", 400)
        except ClientDisconnect:  # or more than :class:`mlplab.ui.guard.Guard` lets through
            return refusal("the request is too large, or was broken off", 413)
        except TimeoutError:
            return refusal("it took too long", 504)
        except OSError as error:
            return refusal(str(error), 500)
        if isinstance(found, Response):
            return found
        # A list of thousands of runs would otherwise hold up all others.
        text = await run_in_threadpool(lambda: json.dumps(files.finite(found)))
        return Response(text, media_type="application/json")

    return route


def refusal(text: str, code: int) -> Response:
    """Return why there is no answer."""
    # As ASCII: what was asked may hold half a character.
    return Response(json.dumps({"error": text}), code, media_type="application/json")


async def asked(request: Request) -> dict[str, Any]:
    """Return the JSON object that a request brings.

    Raises:
        UserError: if it is none.
    """
    found = json.loads(await request.body() or b"{}")
    if not isinstance(found, dict):
        raise UserError("the request is no JSON object")
    return found
