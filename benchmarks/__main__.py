"""Run all benchmarks in turn, each as a separate command.

make bench                       # or: python -m benchmarks [--rounds N] [--quick]
"""

import argparse
import subprocess
import sys

QUESTIONS = (
    ("memory",),
    ("start",),
    ("same_work",),
    ("same_work", "--network", "cnn-small", "--images", "10000"),
    ("same_work", "--network", "airnet-small", "--images", "10000"),
    ("same_work", "--network", "vit", "--images", "10000"),
    ("bfloat16",),
    ("published",),
    ("published", "--whole"),
    ("time_to_accuracy",),
    ("time_to_accuracy", "--recipe", "mlp-budget", "--seeds", "3", "--cold"),
    ("augmentation",),
    ("long_mlps",),
    ("ui",),
    ("scaling",),
)


def main() -> None:
    """Run the benchmarks; a failure does not stop the others."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    options = ["--rounds", str(asked.rounds), *(["--quick"] if asked.quick else [])]
    failed = []
    for module, *own in QUESTIONS:
        command = [sys.executable, "-m", f"benchmarks.{module}", *own, *options]
        print("\n$", " ".join(["python", *command[1:]]), flush=True)
        if subprocess.run(command).returncode:
            failed.append(" ".join([module, *own]))
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
