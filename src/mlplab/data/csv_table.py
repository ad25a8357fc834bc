"""CSV files, as spreadsheets and other programs write them."""

import csv
import io
from pathlib import Path

from mlplab import files
from mlplab.data.cache import Warn
from mlplab.errors import DataError
from mlplab.text import counted, line

LARGEST = 2**28
"""Bytes; a million rows of file names and labels take 50 MB."""


def read_table(path: Path, warn: Warn, least: int = 2) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a CSV file, cells without spaces around them.

    Its cells may be separated by commas, semicolons or tabs. It may be UTF-8, another Unicode with
    a mark at its start, or Windows-1252, which is said to ``warn``. It needs ``least`` rows, the
    header among them.

    Raises:
        DataError: it cannot be read, is no such text, has no rows, or rows of different lengths.
    """
    text = _text(path, warn)
    first = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        rows = [
            row for row in csv.reader(io.StringIO(text), delimiter=delimiter, strict=True) if row
        ]
    except csv.Error as error:
        raise DataError(f"{path} is no CSV file: {error}") from None
    rows = [[cell.strip() for cell in row] for row in rows]
    rows = [row for row in rows if any(row)]
    if len(rows) < least:
        raise DataError(
            f"{path} is empty: expected a row of column names, then a row for each image"
        )
    header, *table = rows
    for number, row in enumerate(table, start=2):
        if len(row) != len(header):
            cells, columns = counted(len(row), "cell"), counted(len(header), "column")
            raise DataError(f"{path}: row {number} has {cells}, but there are {columns}")
    return header, table


def _text(path: Path, warn: Warn) -> str:
    try:
        text = files.text(path, LARGEST)
        if "\0" not in text:
            return text
        raise DataError(f"{path} is no text, or UTF-16 without its mark; save it as UTF-8")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeError:
        pass
    try:
        text = path.read_text("cp1252")
    except UnicodeError:
        raise DataError(f"{path} is in no encoding that is known here; save it as UTF-8") from None
    warn(f"{line(str(path))} is not UTF-8; it was read as Windows-1252, as older programs save it")
    return text
