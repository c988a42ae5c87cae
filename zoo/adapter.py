"""Writes an adapter's directory as the pool admits it."""

import json
import os
import pathlib
import re
import shutil
import tempfile

from safetensors.torch import save_file

from rows import DataError, digest_of

CONFIG, WEIGHTS, SAMPLES, README = "adapter_config.json", "adapter_model.safetensors", "samples.jsonl", "README.md"


def check_target(out, force):
    """The directory's name is the adapter's id, so it must be one; nothing is replaced unless it is asked for."""
    out = pathlib.Path(out)
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,128}", out.name) or out.name in (".", ".."):
        raise DataError(f"{out}: the name of the directory is the adapter's id, expected 1 to 128 of A-Z a-z 0-9 . _ -")
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file, expected a directory to be made")
    if not force and out.is_dir() and any(out.iterdir()):
        raise DataError(f"{out}: is there already; --force replaces it")
    return out


def write_adapter(out, trained, samples, readme):
    """Writes all files aside, then moves them in at once: a pool that follows the folder sees no half of an adapter."""
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = pathlib.Path(tempfile.mkdtemp(prefix=".training-", dir=out.parent))
    try:
        # Not under its own name: a hidden directory with a configuration would count as an adapter.
        config = aside / "config"
        config.write_text(json.dumps(trained.config, indent=2) + "\n", encoding="utf-8")
        save_file(trained.weights, aside / WEIGHTS, metadata={"format": "pt"})
        (aside / WEIGHTS).chmod(config.stat().st_mode)
        lines = [json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in samples]
        (aside / SAMPLES).write_text("".join(lines), encoding="utf-8")
        digest = digest_of(config, aside / WEIGHTS)
        (aside / README).write_text(readme(digest), encoding="utf-8")
        out.mkdir(exist_ok=True)
        for name in (WEIGHTS, SAMPLES, README):
            os.replace(aside / name, out / name)
        os.replace(config, out / CONFIG)
    finally:
        shutil.rmtree(aside)
    return digest
