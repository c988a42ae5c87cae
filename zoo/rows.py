"""Reads what an adapter is trained on: JSON lines of a prompt and its target. Needs nothing but Python."""

import hashlib
import json
import pathlib
import random

# A line of training data is a prompt of a few hundred tokens; a file of a gigabyte is a mistake.
MAX_LINE_CHARACTERS = 1024 * 1024
MAX_DATA_BYTES = 1024 * 1024 * 1024
# What the pool takes of a sample (src/adapters/samples.ts).
MAX_SAMPLE_CHARACTERS = 32_768
MAX_SAMPLES = 1000

PROMPT_NAMES = ("prompt", "text")
TARGET_NAMES = ("target", "completion")


class DataError(Exception):
    """Says which file and line, what was found and what was expected."""


def read_rows(path):
    """[(prompt, target)] of a file of JSON lines; blank lines count for nothing, every other must be right."""
    path = pathlib.Path(path)
    try:
        if path.stat().st_size > MAX_DATA_BYTES:
            raise DataError(f"{path}: {path.stat().st_size} bytes, expected at most {MAX_DATA_BYTES}")
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    rows = []
    for number, line in enumerate(data.split(b"\n"), 1):
        where = f"{path} line {number}"
        row = parse_row(where, line)
        if row is not None:
            rows.append(row)
    if not rows:
        raise DataError(f'{path}: no rows, expected JSON lines such as {{"prompt": "…", "target": "…"}}')
    return rows


def parse_row(where, line):
    """(prompt, target), or None of a blank line."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: is not UTF-8 at byte {error.start}") from error
    if text.strip() == "":
        return None
    if len(text) > MAX_LINE_CHARACTERS:
        raise DataError(f"{where}: {len(text)} characters, expected at most {MAX_LINE_CHARACTERS}")
    try:
        row = json.loads(text)
    except ValueError as error:
        raise DataError(f"{where}: is not JSON: {error}") from error
    if not isinstance(row, dict):
        raise DataError(f"{where}: is {shown(row)}, expected an object with a prompt and a target")
    return field(where, row, PROMPT_NAMES), field(where, row, TARGET_NAMES)


def field(where, row, names):
    found = [name for name in names if name in row]
    if len(found) != 1:
        what = " and ".join(found) if found else f"has only {', '.join(row) or 'no fields'}"
        raise DataError(f"{where}: {what}, expected one of {' or '.join(names)}")
    [name] = found
    value = row[name]
    if not isinstance(value, str) or value.strip() == "":
        raise DataError(f"{where}: {name} is {shown(value)}, expected a text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(f"{where}: {name} has half a surrogate pair at {error.start}") from error
    return value


def shown(value):
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"


def draw_samples(rows, count, seed):
    """Prompts that place the adapter in the embedding space: `count` distinct ones, or all when there are fewer."""
    prompts = list(dict.fromkeys(prompt for prompt, _ in rows if len(prompt) <= MAX_SAMPLE_CHARACTERS))
    if len(prompts) <= count:
        return prompts
    return random.Random(seed).sample(prompts, count)


def digest_of(*paths):
    """sha256 over the bytes of files, one after the other, as `cat FILES | sha256sum`."""
    hash_ = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while chunk := file.read(1 << 20):
                hash_.update(chunk)
    return f"sha256:{hash_.hexdigest()}"
