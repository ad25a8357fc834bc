"""What the tables of a recipe are made of: strict, with "none" for the absent value.

TOML has no null, so recipes use the word ``"none"``, both read and written.
"""

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer


def _none_word(value: Any) -> Any:
    return None if isinstance(value, str) and value.lower() == "none" else value


def _none_written(value: Any) -> Any:
    return "none" if value is None else value


# The annotation of every setting that may be absent: "none" in TOML, None in Python.
Absent = (BeforeValidator(_none_word), PlainSerializer(_none_written))

CUSTOM = re.compile(r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
"""``module:name``: the user's own code, loaded only with ``--trust``."""

GIVEN = "given"
"""Stands for a module in the names of objects that a program passed to mlplab."""


class Table(BaseModel):
    """A table of a recipe: unknown keys and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Named(BaseModel):
    """A name and its parameters, for what Keras (or the user's own code) defines.

    Attributes:
        name: Keras's name, in any capitalisation, or ``module:name``.

    Every further key is a parameter; ``params`` has them as a dict, ``"none"`` read as ``None``.
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)
    name: str

    @property
    def params(self) -> dict[str, Any]:
        return {key: _none_word(value) for key, value in (self.model_extra or {}).items()}

    @property
    def is_custom(self) -> bool:
        return CUSTOM.match(self.name) is not None

    @property
    def is_given(self) -> bool:
        """Whether it was an object of the program that called mlplab."""
        return self.name.startswith(f"{GIVEN}:")

    def with_params(self, params: dict[str, Any]) -> "Named":
        """Return a copy with only these parameters; ``None`` is written as ``"none"``."""
        return Named(name=self.name, **{key: _none_written(value) for key, value in params.items()})


Penalty = Annotated[float, Field(ge=0, allow_inf_nan=False)]
