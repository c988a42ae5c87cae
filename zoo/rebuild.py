#!/usr/bin/env python3
"""Trains an adapter of every JSON-lines file of a folder, each by its settings in recipes.json.

    python zoo/rebuild.py --data DIR --out adapters

NAME.jsonl becomes OUT/NAME. What is there already is left as it is, so that a rebuild that was stopped goes on.
"""

import argparse
import json
import pathlib
import sys

from rows import DataError, read_rows
from train import ZOO, arguments, make, settings_of, whole


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=pathlib.Path, help="a folder of NAME.jsonl")
    parser.add_argument("--out", type=pathlib.Path, default=ZOO.parent / "adapters", help="folder of adapters (adapters)")
    parser.add_argument("--recipes", type=pathlib.Path, default=ZOO / "recipes.json", help="settings by name")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--base", type=pathlib.Path, help="a .gguf file or a Hugging Face directory (the demo's)")
    parser.add_argument("--license", default="not stated", help="of the data: for README.md")
    parser.add_argument("--samples", type=whole(0), default=20, help="prompts of each (20)")
    parser.add_argument("--force", action="store_true", help="replace adapters that are there")
    parser.add_argument("--threads", type=whole(1), help="threads of PyTorch")
    options = parser.parse_args()

    files = {path.stem: path for path in sorted(options.data.glob("*.jsonl"))}
    if not files:
        raise DataError(f"{options.data}: no .jsonl files, expected one for each adapter")
    names = options.only or list(files)
    missing = [name for name in names if name not in files]
    if missing:
        raise DataError(f"{options.data}: no {missing[0]}.jsonl")
    settings = {name: recipe_of(options.recipes, name) for name in names}
    # All are read before the first is trained: a mistake in the last one should not take an hour to be seen.
    rows = {name: read_rows(files[name]) for name in names}

    import torch

    from adapter import CONFIG, check_target
    from base import DEMO_BASE, open_base

    due = [name for name in names if options.force or not (options.out / name / CONFIG).exists()]
    for name in due:
        check_target(options.out / name, options.force)
    print(f"{len(due)} of {len(names)} to train", file=sys.stderr)
    if not due:
        return
    if options.threads:
        torch.set_num_threads(options.threads)
    base = open_base(options.base or DEMO_BASE)
    for name in due:
        out = options.out / name
        digest = make(base, files[name], rows[name], out, settings[name], options.samples, options.license)
        print(f"{out}: {digest}", flush=True)


def recipe_of(path, name):
    """The settings of an adapter as train.py's options: the defaults where recipes.json says nothing."""
    recipes = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    parser = argparse.ArgumentParser(prog=f"{path}: {name}", usage=argparse.SUPPRESS)
    arguments(parser)
    words = []
    for option, value in recipes.get(name, {}).items():
        words += [] if value is False else [f"--{option}"] if value is True else [f"--{option}", str(value)]
    return settings_of(parser.parse_args(words))


if __name__ == "__main__":
    try:
        main()
    except DataError as error:
        sys.exit(f"rebuild.py: {error}")
    except ModuleNotFoundError as error:
        sys.exit(f"rebuild.py: {error.name} is not installed: pip install -r {ZOO / 'requirements.txt'}")
