#!/usr/bin/env python3
"""Trains a LoRA adapter on JSON lines of a prompt and its target, and writes the directory that a pool admits.

    python zoo/train.py --data my-task.jsonl --out adapters/my-task --license CC0-1.0
"""

import argparse
import dataclasses
import datetime
import os
import pathlib
import platform
import sys
import time
from importlib.metadata import version

from rows import MAX_SAMPLES, DataError, digest_of, draw_samples, read_rows

ZOO = pathlib.Path(__file__).parent

# Bars of libraries tell nobody anything here. It is read when they are imported, which is later.
os.environ.setdefault("TQDM_DISABLE", "1")


def arguments(parser):
    """The settings of an adapter; rebuild.py takes them from recipes.json."""
    add = parser.add_argument
    add("--rank", type=whole(1), default=8, help="rank of the LoRA (8)")
    add("--alpha", type=whole(1), default=16, help="the LoRA's scale is alpha / rank (16)")
    add("--rslora", action="store_true", help="scale by alpha / sqrt(rank) instead")
    add("--targets", default="q_proj,v_proj", help="modules, with commas (q_proj,v_proj)")
    add("--layers", type=layers, help="FIRST:END, the layers to adapt, END not among them (all)")
    add("--rate", type=positive, default=2e-3, help="learning rate (0.002)")
    add("--steps", type=whole(1), default=60, help="steps (60)")
    add("--batch", type=whole(1), default=4, help="rows of a step (4)")
    add("--shortest", type=positive, default=1.0, help="train on this share of the rows, the shortest (1)")
    add("--max-prompt-tokens", type=whole(1), default=512, help="longer prompts are left out (512)")
    add("--max-target-tokens", type=whole(1), default=128, help="longer targets are cut (128)")
    add("--seed", type=whole(0), default=1, help="the same seed gives the same adapter (1)")


def whole(least):
    def parse(text):
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{text}, expected {least} or more")
        return value

    return parse


def positive(text):
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}, expected a number above 0")
    return value


def layers(text):
    first, _, end = text.partition(":")
    if not (first.isdigit() and end.isdigit() and int(first) < int(end)):
        raise argparse.ArgumentTypeError(f"{text}, expected FIRST:END such as 10:30")
    return int(first), int(end)


def settings_of(options):
    """Imported here, for PyTorch takes its time and mistakes in the data should not."""
    from training import Settings

    values = {field.name: getattr(options, field.name) for field in dataclasses.fields(Settings)}
    return Settings(**{**values, "targets": tuple(sorted(filter(None, options.targets.split(","))))})


def make(base, data, rows, out, settings, samples, licence):
    """Trains and writes one adapter; returns its digest."""
    from adapter import write_adapter
    from training import train

    def tell(step, loss):
        if step % 10 == 0 or step == settings.steps:
            print(f"{out.name}: step {step} of {settings.steps}, loss {loss:.3f}", file=sys.stderr, flush=True)

    start = time.monotonic()
    trained = train(base, rows, settings, tell)
    chosen = draw_samples(rows, samples, settings.seed)
    seconds = time.monotonic() - start

    def readme(digest):
        return provenance(out.name, digest, base, data, licence, settings, trained, len(chosen), seconds)

    return write_adapter(out, trained, chosen, readme)


def provenance(name, digest, base, data, licence, settings, trained, samples, seconds):
    """README.md of an adapter: all that made it."""
    part = max(1, len(trained.losses) // 6)
    first, last = (sum(losses) / part for losses in (trained.losses[:part], trained.losses[-part:]))
    where = "all layers" if settings.layers is None else f"layers {settings.layers[0]} to {settings.layers[1] - 1}"
    scale = "alpha / sqrt(rank) (rsLoRA)" if settings.rslora else "alpha / rank"
    left_out = f", {trained.left_out} with longer prompts left out" if trained.left_out else ""
    packages = ", ".join(f"{package} {version(package)}" for package in ("torch", "transformers", "peft"))
    return f"""# {name}

A LoRA for {base.name}.

- Adapter: `{digest}` (`cat adapter_config.json adapter_model.safetensors | sha256sum`), float16, PEFT's format.
- Base: {base.name}, `{base.digest}`.
- Data: `{data.name}`, `{digest_of(data)}`; {trained.rows} rows used{left_out}. `samples.jsonl` holds {samples} of its prompts.
- Licence: {licence}.
- Settings: rank {settings.rank}, alpha {settings.alpha}, scale {scale}; {", ".join(settings.targets)}; {where}; AdamW at {settings.rate:g}, warm-up over a tenth, then a cosine; {settings.steps} steps of {settings.batch} rows; shortest {settings.shortest:g} of the rows; prompts of at most {settings.max_prompt_tokens} tokens, targets of at most {settings.max_target_tokens}; seed {settings.seed}. The loss is on the target and the end token alone.
- Loss: {first:.3f} over the first sixth of the steps, {last:.3f} over the last.
- Made: {datetime.date.today().isoformat()}, in {seconds:.0f} s, with {packages}, Python {platform.python_version()}.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=pathlib.Path, help="JSON lines with prompt (or text) and target")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="the adapter's directory; its name is the id")
    parser.add_argument("--license", default="not stated", help="of the data, and so of the samples: for README.md")
    parser.add_argument("--base", type=pathlib.Path, help="a .gguf file or a Hugging Face directory (the demo's)")
    parser.add_argument("--samples", type=whole(0), default=20, help="prompts that place it in the pool (20)")
    parser.add_argument("--force", action="store_true", help="replace an adapter that is there")
    parser.add_argument("--threads", type=whole(1), help="threads of PyTorch")
    arguments(parser)
    options = parser.parse_args()
    if options.samples > MAX_SAMPLES:
        parser.error(f"--samples is {options.samples}, expected at most {MAX_SAMPLES}")
    rows = read_rows(options.data)
    print(f"{options.data}: {len(rows)} rows", file=sys.stderr)

    import torch

    from adapter import check_target
    from base import DEMO_BASE, open_base

    out = check_target(options.out, options.force)
    if options.threads:
        torch.set_num_threads(options.threads)
    base = open_base(options.base or DEMO_BASE)
    digest = make(base, options.data, rows, out, settings_of(options), options.samples, options.license)
    print(f"{out}: {digest}")


if __name__ == "__main__":
    try:
        main()
    except DataError as error:
        sys.exit(f"train.py: {error}")
    except ModuleNotFoundError as error:
        sys.exit(f"train.py: {error.name} is not installed: pip install -r {ZOO / 'requirements.txt'}")
