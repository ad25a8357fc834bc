from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import pytest

from mlplab.training.compilation import keep_compiled


def kept_in() -> Any:
    return jax.config.values["jax_compilation_cache_dir"]


def keep_in(folder: Any) -> None:
    jax.config.update("jax_compilation_cache_dir", folder)  # type: ignore[no-untyped-call]


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MLPLAB_CACHE_DIR", str(tmp_path))
    before = kept_in()
    yield
    keep_in(before)


def test_programs_are_kept_in_a_folder_of_the_users_alone(tmp_path: Path) -> None:
    keep_compiled(pytest.fail)
    assert kept_in() == str(tmp_path / "compiled")
    assert (tmp_path / "compiled").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_can_write_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "compiled").mkdir()
    (tmp_path / "compiled").chmod(0o777)
    keep_in(None)
    notes: list[str] = []
    keep_compiled(notes.append)
    assert "written by others" in notes[0]
    assert kept_in() is None


def test_training_continues_where_nothing_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "compiled").write_text("")
    notes: list[str] = []
    keep_compiled(notes.append)
    assert "not kept" in notes[0]
