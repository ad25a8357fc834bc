"""Python source, written as ``ruff format`` writes it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH = 88
STEP = "    "


@dataclass(frozen=True)
class Part:
    """A part of a program.

    Attributes:
        code: statements at the top level; empty for none.
        definitions: functions and classes that the code uses.
        imports: lines that import what code and definitions use, besides Keras and NumPy.
    """

    code: str = ""
    definitions: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()


def literal(value: Any) -> str:
    """Return a value of a recipe as Python, with double quotes."""
    if isinstance(value, str):
        return f'"{escaped(value)}"' if '"' not in value else repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(literal, value))}]"
    return repr(value)


def escaped(text: str) -> str:
    """Return text as it is written inside double quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def repeated(values: Sequence[int]) -> str:
    """Return a list of numbers, ``[1024] * 4`` where they are all equal."""
    if len(values) > 1 and len(set(values)) == 1:
        return f"[{values[0]}] * {len(values)}"
    return literal(list(values))


def keywords(params: Mapping[str, Any]) -> list[str]:
    """Return keyword arguments with literal values."""
    return [f"{key}={literal(value)}" for key, value in params.items()]


def bracketed(head: str, items: Iterable[str], tail: str = ")", indent: int = 0) -> str:
    """Return ``head item, item tail`` on one line, or on as many as it needs.

    Args:
        head: up to and with the opening bracket.
        items: between the brackets.
        tail: from the closing bracket on.
        indent: how deep the statement is.
    """
    parts, margin = list(items), STEP * indent
    whole = f"{margin}{head}{', '.join(parts)}{tail}"
    if len(whole) <= WIDTH and "\n" not in whole:
        return whole
    inside = f"{margin}{STEP}{', '.join(parts)}"
    if len(inside) > WIDTH or "\n" in inside or head.endswith("["):
        inside = "\n".join(f"{margin}{STEP}{_deeper(part)}," for part in parts)
    return f"{margin}{head}\n{inside}\n{margin}{tail}"


def _deeper(part: str) -> str:
    return part.replace("\n", f"\n{STEP}")


def loop(name: str, values: Sequence[int]) -> str:
    """Return ``for name in [...]:``, with the list on a line of its own if it is long."""
    line = f"for {name} in {repeated(values)}:"
    if len(line) <= WIDTH:
        return line
    return bracketed("numbers = [", map(str, values), "]") + f"\nfor {name} in numbers:"


def block(*lines: str, indent: int = 0) -> str:
    """Return lines below each other without the empty ones, indented."""
    text = "\n".join(line for line in lines if line)
    return "\n".join(f"{STEP * indent}{line}" if line else line for line in text.split("\n"))
