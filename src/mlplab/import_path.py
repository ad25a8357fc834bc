"""Where the processes of mlplab import from: never the current folder.

A file there with a library's name, such as ``random.py``, would run in its place. The user's own
code is imported from there only when it is trusted (:mod:`mlplab.models.user_code`). Only ``os``
and ``sys`` may be imported here, which Python itself has loaded before.
"""

import os
import sys

PROGRAMS = ("mlplab", "mlplab.exe", "mlplab-script.py")


def leave_out_current_folder() -> None:
    """Take the current folder out of ``sys.path``, if this process runs mlplab's command line.

    Processes that it starts do not import from there either. A path that ``PYTHONPATH`` names in
    full stays.
    """
    as_module = _is_started_as_module()
    if not as_module and os.path.basename(sys.argv[0]) not in PROGRAMS:  # noqa: PTH119
        return
    here, entries = _current(), _entries()
    times = int(as_module and not sys.flags.safe_path)
    if not sys.flags.ignore_environment and here not in entries:
        times += any(map(_is_here, entries))
    os.environ.update(environment())
    for _ in range(times):
        if here in sys.path and not _has_mlplab(here):
            sys.path.remove(here)


def environment() -> dict[str, str]:
    """Return variables with which Python does not import from the folder that it is started in."""
    kept = [entry for entry in _entries() if not _is_here(entry) or _has_mlplab(_current())]
    # Empty, PYTHONPATH is as if it were not set.
    return {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(kept)}


def _is_started_as_module() -> bool:
    # While Python looks for the module of -m, this is its name.
    if sys.argv[:1] != ["-m"]:
        return False
    return "mlplab" in [word.removeprefix("-m").partition(".")[0] for word in sys.orig_argv]


def _entries() -> list[str]:
    given = os.environ.get("PYTHONPATH")
    return given.split(os.pathsep) if given else []


def _is_here(entry: str) -> bool:
    """Return whether an entry of PYTHONPATH is the current folder, without its full name."""
    return not os.path.isabs(entry) and os.path.normpath(entry or ".") == "."  # noqa: PTH117


def _current() -> str:
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError:  # it was removed
        return ""


def _has_mlplab(folder: str) -> bool:
    """Return whether a folder is the one that mlplab is imported from."""
    return folder == os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
