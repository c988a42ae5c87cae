#!/usr/bin/env python3
"""Turns labelled data into what `lorastream evaluate` reads.

The evaluation data of LoraRetriever (Zhao et al. 2024; the authors' repository has them as combined_test.json and
config2.json; they carry no licence, so fetch them yourself):

    python3 zoo/evaluation_data.py --tests combined_test.json --samples config2.json --out results/paper

A zoo of adapters with its test items (adapters/NAME/samples.jsonl, test.jsonl with task, cluster, metric, prompt, target):

    python3 zoo/evaluation_data.py --zoo DIR --out results/zoo

Writes samples.jsonl ({adapter, text}), test.jsonl ({adapter, text, group}; for a zoo also cluster, metric and target, so that
`evaluate generation` reads it as well), and fit-01.txt to fit-10.txt: ids of ten random 40 % of the adapters, always the
same ones. Needs nothing but Python 3.
"""

import argparse
import json
import random
from pathlib import Path

DRAWS = 10
SHARE = 0.4


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", type=Path, help="combined_test.json: inputs, task, domain")
    parser.add_argument("--samples", type=Path, help="config2.json: model_name, sample")
    parser.add_argument("--zoo", type=Path, help="a folder with adapters/ and test.jsonl")
    parser.add_argument("--out", type=Path, required=True, help="a folder for the files")
    given = parser.parse_args()
    if given.zoo is not None:
        samples, tests = read_zoo(given.zoo)
    elif given.tests is not None and given.samples is not None:
        samples, tests = read_paper(given.samples, given.tests)
    else:
        parser.error("--tests and --samples, or --zoo, are needed")
    given.out.mkdir(parents=True, exist_ok=True)
    write_lines(given.out / "samples.jsonl", samples)
    write_lines(given.out / "test.jsonl", tests)
    ids = sorted({sample["adapter"] for sample in samples})
    for draw in range(1, DRAWS + 1):
        chosen = random.Random(draw).sample(ids, round(SHARE * len(ids)))
        (given.out / f"fit-{draw:02}.txt").write_text("".join(f"{name}\n" for name in sorted(chosen)), encoding="utf-8")
    print(f"{given.out}: {len(ids)} adapters, {len(samples)} samples, {len(tests)} test items, {DRAWS} draws")


def read_paper(samples, tests):
    adapters = json.loads(samples.read_text(encoding="utf-8"))
    items = json.loads(tests.read_text(encoding="utf-8"))
    return (
        [
            {"adapter": adapter["model_name"], "text": sample["inputs"]}
            for adapter in adapters
            for sample in adapter["sample"]
        ],
        [{"adapter": item["task"], "text": item["inputs"], "group": item["domain"]} for item in items],
    )


def read_zoo(folder):
    samples = [
        {"adapter": directory.name, "text": line["text"]}
        for directory in sorted((folder / "adapters").iterdir())
        for line in read_lines(directory / "samples.jsonl")
    ]
    tests = [
        {
            "adapter": line["task"],
            "text": line["prompt"],
            "group": line["cluster"],
            "cluster": line["cluster"],
            "metric": {"em": "em", "rougeL": "rouge-l"}[line["metric"]],
            "target": line["target"],
        }
        for line in read_lines(folder / "test.jsonl")
    ]
    return samples, tests


def read_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
