"""``python -m mlplab`` is ``mlplab``."""

from mlplab.cli import main

main()
