"""What callbacks watch, and whether they were told the right direction."""

from collections.abc import Mapping

from mlplab.recipes.schema import Named


def contradictions(callbacks: Mapping[str, Named]) -> list[str]:
    """Return a line on each callback that takes a loss for better when it is higher, or the like.

    Args:
        callbacks: complete, by their names in the recipe.
    """
    lines = []
    for key, settings in callbacks.items():
        monitor, mode = settings.params.get("monitor"), settings.params.get("mode")
        if not isinstance(monitor, str) or mode not in ("min", "max"):
            continue
        right = "max" if monitor.endswith("accuracy") else "min"
        if mode != right:
            worst = "lowest" if mode == "min" else "highest"
            lines.append(
                f"callbacks.{key}: mode = '{mode}' takes the {worst} {monitor} for the best;"
                f" leave mode out, or set it to '{right}'"
            )
    return lines
