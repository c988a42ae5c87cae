#!/usr/bin/env python3
"""Says a zoo's test items in other words, to see what a retriever makes of prompts that no sample is phrased like.

    python3 zoo/rephrase.py --zoo DIR --out results/zoo/rephrased.jsonl

Runs of one to three words that many of a task's training prompts share are its template: they are taken out of every item,
and one of two instructions, written by hand in other words than the samples have, is put around the rest. What is left
is often broken English; harder than people's own words, and the same for every scorer. Needs nothing but Python 3.
"""

import argparse
import json
import re
from collections import Counter
from pathlib import Path

INSTRUCTIONS = {
    "adversarial_qa_dbidaf": (
        "Look through this encyclopedia passage and copy out the phrase that replies to what I ask.\n{}",
        "{}\nWhich words from the text above settle the query? Quote them.",
    ),
    "adversarial_qa_droberta": (
        "From this tricky reading excerpt, lift the span that resolves my query.\n{}",
        "{}\nQuote the part of the excerpt that resolves this.",
    ),
    "ag_news_reader": (
        "{}\nWho would enjoy this news story the most: somebody in sport, business, government or research?",
        "Name the kind of professional to whom you'd forward this newspaper story.\n{}",
    ),
    "ag_news_topic": (
        "{}\nUnder which newspaper section should this be filed - global affairs, athletics, finance or tech?",
        "Categorise the story by its subject: {}",
    ),
    "amazon_polarity": (
        "A shopper wrote this about something they bought: {}\nHappy or unhappy customer?",
        "{}\n\nDid the buyer like it? Reply Positive or Negative.",
    ),
    "app_rating": (
        "{}\nHow many stars did this user probably give the phone app?",
        "Guess the number of stars (out of five) from an Android user's feedback: {}",
    ),
    "common_gen": (
        "Please compose one line that mentions all of these words: {}",
        "{} -> build a short natural statement out of those words.",
    ),
    "common_gen_keywords": (
        "{}\nList the main nouns and verbs in there.",
        "Pick out the important words: {}",
    ),
    "commonsense_closed": (
        "Use everyday knowledge to reply. {}",
        "{} Tell me in a word or two.",
    ),
    "commonsense_qa": (
        "Pick whichever choice makes the most sense.\n{}",
        "{}\nWhich one of those is right?",
    ),
    "commonsense_question": (
        "Here is a set of choices; invent the quiz item that somebody could be asking with them.\n{}",
        "{}\nThink up what could have been asked if these are the alternatives.",
    ),
    "cosmos_question": (
        "Read the story and the reply that was given, then work out what had been asked.\n{}",
        "{}\nWhat would one ask to get this reply about the story?",
    ),
    "gigaword_article": (
        "Headline: {}\nExpand the headline into the opening line of the news report.",
        "Compose the lead of a news report headlined '{}'",
    ),
    "gigaword_title": (
        "{}\nGive a suitable headline.",
        "Boil this news lead down to a short headline: {}",
    ),
    "hotpotqa_closed": (
        "Trivia needing several hops: {}",
        "{}\nPut together what you know from several sources and give me the reply.",
    ),
    "mrpc": (
        "Are these two news lines saying equal things?\n{}",
        "{}\nDo both lines carry equal content? equivalent / not equivalent",
    ),
    "paws": (
        "Careful, the wording is nearly identical; is the sense identical as well?\n{}",
        "{}\nIs line two just a rewording of line one? Yes or No",
    ),
    "qasc": (
        "Two science statements follow with a query and choices; combine them.\n{}",
        "{}\nUse the statements to pick.",
    ),
    "qqp": (
        "Two users on a forum asked this. Duplicates?\n{}",
        "{}\nCould those threads be merged as duplicates?",
    ),
    "quarel": (
        "Reason about the physics in this mini scenario and choose A or B.\n{}",
        "{}\nA or B?",
    ),
    "quartz": (
        "Apply the principle stated in the passage to the scenario.\n{}",
        "{}\nFill in or choose according to the stated principle.",
    ),
    "ropes": (
        "Background and a scenario are below; infer the reply from both.\n{}",
        "{}\nReason from the background to the scenario and reply.",
    ),
    "samsum": (
        "Chat log:\n{}\nTell me in a line what they talked about.",
        "In brief, what happened in this messenger conversation?\n{}",
    ),
    "sciq_closed": (
        "Pop quiz in biology, chemistry or physics! {}",
        "{} (school science, short reply)",
    ),
    "social_i_qa": (
        "A situation between people: {}\nSelect the most likely reply.",
        "{}\nWhich reply fits people's feelings and motives best?",
    ),
    "social_question": (
        "A situation and someone's reply are given. Recover what had been asked.\n{}",
        "{}\nWhat had been asked?",
    ),
    "wiqa_effect": (
        "Some stages are listed; would the change lead to more, less, or make no difference?\n{}",
        "{}\nMore, less, or no difference?",
    ),
    "wiqa_step": (
        "{}\nWhich stage comes at the end?",
        "Stages in order:\n{}\nCopy the last (or missing) stage.",
    ),
    "wiqa_yesno": (
        "{}\nIs the second thing influenced by the supposed change? y/n",
        "Decide if the supposed change has any influence.\n{}",
    ),
    "xsum": (
        "TL;DR of this BBC story please:\n{}",
        "{}\nSquash the above news report into a single line.",
    ),
    "yelp_stars": (
        "A diner or customer left this note about a local business: {}\nStars?",
        "{}\nHow many stars would this visitor hand out?",
    ),
}

WORD = re.compile(r"\w+|[^\w\s]")
# How many of a task's prompts share a run of words before it counts as template, by its length.
SHARES = {3: 0.08, 2: 0.15, 1: 0.3}
LEAST = 3
COMMON = set(
    "the a an of to in and is for on that with it as was he she they i you be are at by from his her this".split()
)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zoo", type=Path, required=True, help="a folder with train/NAME.jsonl and test.jsonl")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", choices=["test", "train"], default="test", help="say these rows in other words")
    given = parser.parse_args()
    tests = [json.loads(line) for line in (given.zoo / "test.jsonl").read_text(encoding="utf-8").splitlines()]
    out = []
    for task, instructions in INSTRUCTIONS.items():
        path = given.zoo / "train" / f"{task}.jsonl"
        train = [json.loads(line)["prompt"] for line in path.read_text(encoding="utf-8").splitlines()]
        seen = Counter(run for text in train for run in set(runs(words(text))))
        rows = [row["prompt"] for row in tests if row["task"] == task] if given.rows == "test" else train[:20]
        for number, text in enumerate(rows):
            rest = without_template(text, seen, len(train))
            out.append({"adapter": task, "text": instructions[number % 2].format(rest)})
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in out), encoding="utf-8")
    print(f"{given.out}: {len(out)} items")


def words(text):
    return [match.group().lower() for match in WORD.finditer(text)]


def runs(found):
    for length in SHARES:
        for start in range(len(found) - length + 1):
            yield tuple(found[start : start + length])


def without_template(text, seen, count):
    places = list(WORD.finditer(text))
    found = [place.group().lower() for place in places]
    dropped = [False] * len(found)
    for length, share in SHARES.items():
        for start in range(len(found) - length + 1):
            run = tuple(found[start : start + length])
            if length == 1 and (run[0] in COMMON or not run[0][0].isalnum()):
                continue
            if seen[run] >= max(LEAST, share * count):
                dropped[start : start + length] = [True] * length
    kept, before = [], None
    for at, place in enumerate(places):
        if dropped[at]:
            continue
        if before is not None:
            gap = text[places[before].end() : place.start()]
            kept.append(gap if before == at - 1 else "\n" if "\n" in gap else " ")
        kept.append(place.group())
        before = at
    return "".join(kept).strip()


if __name__ == "__main__":
    main()
