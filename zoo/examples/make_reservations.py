"""Makes reservations.jsonl and reservations-test.jsonl: table requests in plain words, and a line for the book.

    python zoo/examples/make_reservations.py

All of it is made up here, and free of rights (CC0-1.0). Names, wishes and half of the phrasings of the test do not occur in training.
"""

import json
import pathlib
import random

HERE = pathlib.Path(__file__).parent
DAYS = {"Monday": "Mon", "Tuesday": "Tue", "Wednesday": "Wed", "Thursday": "Thu", "Friday": "Fri", "Saturday": "Sat", "Sunday": "Sun"}
NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
TIMES = {"noon": "12:00", "one": "13:00", "half past one": "13:30", "six": "18:00", "half past six": "18:30", "seven": "19:00", "half past seven": "19:30", "eight": "20:00", "half past eight": "20:30"}
NAMES = "Anna Boris Chloe Dmitri Elena Farid Greta Hugo Ines Jonas Karin Luca Marta Nils Olga Pedro Rosa Sven Tara Viktor".split()
OTHERS = "Abdul Bianca Conrad Doreen Erik Fatima Gustav Helga Ivan Judith".split()
PHRASINGS = [
    "Book a table: {name} would like to come with {others} friends on {day} at {time}.",
    "Book a table: {people} people on {day} at {time}, under the name {name}.",
    "Book a table: {name} called. They are {people}, {day}, {time}.",
    "Book a table: on {day} at {time} for {people}, please. My name is {name}.",
    "Book a table: {name} wants dinner for {people} at {time} on {day}.",
    "Note this reservation: {name}, {day} at {time}, {people} guests.",
    "Note this reservation: we are a party of {people}, led by {name}, and arrive at {time} on {day}.",
    "Note this reservation: could you keep {people} seats for {name} on {day} at {time}?",
    "Take down the booking: {day}, {time}, {people} persons, {name}.",
    "Take down the booking: it is {name} again, for {people} this {day} at {time}.",
]
UNSEEN = [
    "Book a table: hello, {name} here, we would love to eat with you on {day} at {time}, {people} of us.",
    "Take down the booking: {people} seats, the guest is called {name}, {day} at {time}.",
    "Note this reservation: {name} asks for {day} at {time} and brings a group of {people}.",
]


def row(rng, names, phrasings):
    name, (day, short), (people, count) = rng.choice(names), rng.choice(list(DAYS.items())), rng.choice(list(NUMBERS.items()))
    (time, clock), phrasing = rng.choice(list(TIMES.items())), rng.choice(phrasings)
    # Who comes with friends is one more than they are.
    others = next((word for word, number in NUMBERS.items() if number == count - 1), None)
    if "{others}" in phrasing and others is None:
        return row(rng, names, phrasings)
    prompt = phrasing.format(name=name, day=day, people=people, time=time, others=others)
    return {"prompt": prompt, "target": f"{short} {clock} | {count} | {name}"}


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def distinct(rng, count, names, phrasings):
    rows = {}
    while len(rows) < count:
        made = row(rng, names, phrasings)
        rows[made["prompt"]] = made
    return list(rows.values())


if __name__ == "__main__":
    rng = random.Random(1)
    write(HERE / "reservations.jsonl", distinct(rng, 200, NAMES, PHRASINGS))
    seen, unseen = distinct(rng, 10, OTHERS, PHRASINGS), distinct(rng, 10, OTHERS, UNSEEN)
    write(HERE / "reservations-test.jsonl", seen + unseen)
