"""The search spaces of a study: ranges and choices, at the leaves of a recipe's tables."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mlplab.errors import RecipeError

Tables = dict[str, Any]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Range(_Table):
    """Numbers from ``low`` to ``high``, uniform, or uniform in their logarithm."""

    low: Annotated[float, Field(allow_inf_nan=False)] | int
    high: Annotated[float, Field(allow_inf_nan=False)] | int
    log: bool = False

    @model_validator(mode="after")
    def _in_order(self) -> "Range":
        if not self.low < self.high:
            raise ValueError(f"low = {self.low} is not below high = {self.high}")
        if self.log and self.low <= 0:
            raise ValueError("a range with log = true must start above 0")
        return self

    @property
    def whole(self) -> bool:
        """Whether it has whole numbers: if both ends are written as such."""
        return isinstance(self.low, int) and isinstance(self.high, int)


class Choices(_Table):
    """Some values, in order."""

    choices: list[Any] = Field(min_length=1, max_length=1000)


Space = Range | Choices


def ends(space: Space) -> list[Any]:
    """Return both ends of a range, or all choices."""
    return [space.low, space.high] if isinstance(space, Range) else space.choices


def space_of(value: Any) -> Space | None:
    """Return what a leaf searches, or ``None`` if it is a value or a table of the recipe."""
    if not isinstance(value, dict):
        return None
    if "choices" in value:
        return Choices.model_validate(value)
    if "low" in value or "high" in value:
        return Range.model_validate(value)
    return None


def searched(tables: Tables, path: tuple[str, ...] = ()) -> dict[str, Space]:
    """Return what is searched, by ``table.key``."""
    found: dict[str, Space] = {}
    for key, value in tables.items():
        try:
            space = space_of(value)
        except ValidationError as error:
            message = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise RecipeError(f"{'.'.join((*path, key))}: {message}") from None
        if space is not None:
            found[".".join((*path, key))] = space
        elif isinstance(value, dict):
            found |= searched(value, (*path, key))
    return found


def leaves(tables: Tables, path: tuple[str, ...] = ()) -> list[tuple[list[str], Any]]:
    """Return the values that are not searched, by their path."""
    pairs: list[tuple[list[str], Any]] = []
    for key, value in tables.items():
        if space_of(value) is not None:
            continue
        if isinstance(value, dict):
            pairs += leaves(value, (*path, key))
        else:
            pairs.append(([*path, key], value))
    return pairs
