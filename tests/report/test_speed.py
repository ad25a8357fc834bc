"""Where a run's time went."""

import json
from pathlib import Path

from mlplab.report import speed

PROFILE = {
    "seconds": 5.0,
    "step_seconds": {"median": 0.021},
    "limit": {"products_seconds": 0.010, "optimizer_seconds": 0.004, "seconds": 0.014},
}
RECORD = {"seconds": {"total": 100.0, "compile": 1.0, "train": 80.0}}


def test_a_step_stands_beside_its_limit() -> None:
    rows = speed.step_rows(PROFILE)
    assert [row[1:] for row in rows] == [
        ("10", "0.71"),
        ("4", "0.29"),
        ("14", "1.00"),
        ("21", "1.50"),
    ]


def test_the_shares_make_up_the_whole() -> None:
    rows = speed.share_rows(RECORD, [{"seconds": 30.0}, {"seconds": 40.0}], PROFILE)
    assert [row[1] for row in rows] == ["70.00", "1.00", "9.00", "5.00", "15.00"]
    assert rows[0][2] == "70.0 %"


def test_a_run_without_a_profile_or_with_a_torn_one_has_no_tables(tmp_path: Path) -> None:
    assert speed.tables(tmp_path, RECORD) == {}
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile" / "table.json").write_text('{"seconds": ')
    assert speed.tables(tmp_path, RECORD) == {}


def test_what_a_profile_lacks_is_a_dash(tmp_path: Path) -> None:
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile" / "table.json").write_text(json.dumps({"limit": None}))
    step = speed.tables(tmp_path, RECORD)["step"]["rows"]
    assert {row[1] for row in step} == {"–"}
