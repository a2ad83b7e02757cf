"""The problems that the bundled model is made of: questions, the reasoning shown before an answer, and the answer.

Everything is made up from a seed. Of all problems one in 32, chosen by a hash of what is asked in whatever wording, is
never trained on: `Problem.is_held_out`.

    python3 problems.py sample 6 --family addition
    python3 problems.py held-out 200 > problems.jsonl
"""

import argparse
import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import words

PLACES = ("ones", "tens", "hundreds", "thousands", "myriads", "lakhs")
# Operands of sums, differences and comparisons have at most so many digits.
DIGITS = 5
# Factors of products: any with one digit, or two smaller ones.
LONG_FACTOR_DIGITS = (3, 2)
# Numbers to sort, which are below a hundred, digits of a number of days, and syllables of a made-up word, at most.
SORTED, DAYS_DIGITS, WORD_SYLLABLES = 6, 3, 5
# Questions asked before one that has nothing to do with them, at most.
EARLIER = 5
# Problems that are not trained on, of 256.
HELD_OUT = 8


@dataclass(frozen=True)
class Problem:
    """A question with its answer."""

    family: str
    # What is asked, in no wording: equal for problems that are the same.
    key: tuple
    question: str
    thinking: str
    answer: str
    # What was asked and answered before.
    earlier: tuple["Problem", ...] = ()
    system: str = ""

    @property
    def is_held_out(self) -> bool:
        """Whether the problem is for tests only."""
        text = " ".join(map(str, self.key))
        return bool(self.key) and hashlib.sha256(text.encode()).digest()[0] < HELD_OUT

    @property
    def may_be_trained_on(self) -> bool:
        """Whether neither it nor what was asked before is for tests only."""
        return not any(problem.is_held_out for problem in (self, *self.earlier))

    def messages(self) -> list[dict[str, str]]:
        """The conversation up to the question."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        turns = [
            message
            for problem in self.earlier
            for message in (
                {"role": "user", "content": problem.question},
                {"role": "assistant", "content": problem.answer},
            )
        ]
        return [*system, *turns, {"role": "user", "content": self.question}]


class Draw(random.Random):
    """Random choices, easier or harder: `hard` is 1 for problems of full size."""

    def __init__(self, seed, hard: float = 1.0):
        super().__init__(seed)
        self.hard = hard

    def number(self, digits: int = DIGITS) -> int:
        """A number of up to `digits` digits; short ones are as frequent as long ones."""
        most = max(1, round(digits * self.hard))
        count = self.randint(1, most)
        return self.randint(10 ** (count - 1) if count > 1 else 0, 10**count - 1)

    def count(self, least: int, most: int) -> int:
        """A number of things."""
        return self.randint(least, least + round((most - least) * self.hard))


def digit(number: int, place: int) -> int:
    return number // 10**place % 10


def spelt(number: int) -> str:
    """A number with the place of each digit: models look a digit up by its place."""
    text = str(number)
    return ", ".join(f"{PLACES[len(text) - 1 - index]} {each}" for index, each in enumerate(text))


def length(*numbers: int) -> int:
    return max(len(str(number)) for number in numbers)


def asked(draw: Draw, wordings: tuple[str, ...], **fields) -> str:
    """One of several wordings, as carelessly written as people write."""
    question = draw.choice(wordings).format(**fields)
    if draw.random() < 0.15:
        question = question.rstrip("?.").rstrip()
    if draw.random() < 0.15:
        question = question[0].lower() + question[1:]
    return question


# Sums, differences and products: what is thought, a line for each digit.


def sum_lines(a: int, b: int) -> list[str]:
    lines, carry = [f"{a}: {spelt(a)}", f"{b}: {spelt(b)}"], 0
    for place in range(length(a, b)):
        one, other = digit(a, place), digit(b, place)
        total = one + other + carry
        lines.append(f"{PLACES[place]} {one}+{other}+{carry}={total}, write {total % 10}, carry {total // 10}")
        carry = total // 10
    if carry:
        lines.append(f"{PLACES[length(a, b)]} write {carry}")
    return [*lines, f"{spelt(a + b)}"]


def comparison_lines(a: int, b: int) -> list[str]:
    """The digits of both, and the first place that tells them apart."""
    lines = [f"{a}: {spelt(a)}", f"{b}: {spelt(b)}"]
    if length(a) != length(b):
        return [*lines, f"digits {length(a)}{sign(length(a), length(b))}{length(b)}"]
    for place in reversed(range(length(a))):
        one, other = digit(a, place), digit(b, place)
        lines.append(f"{PLACES[place]} {one}{sign(one, other)}{other}")
        if one != other:
            break
    return lines


def difference_lines(a: int, b: int) -> list[str]:
    """For `a >= b`."""
    lines, borrow = [], 0
    for place in range(length(a)):
        one, other = digit(a, place), digit(b, place)
        rest = one - other - borrow
        lines.append(f"{PLACES[place]} {one}-{other}-{borrow}={rest}, write {rest % 10}, borrow {int(rest < 0)}")
        borrow = int(rest < 0)
    return [*lines, f"{spelt(a - b)}"]


def product_lines(a: int, b: int) -> list[str]:
    """For a `b` of one digit."""
    lines, carry = [f"{a}: {spelt(a)}"], 0
    for place in range(length(a)):
        one = digit(a, place)
        total = one * b + carry
        lines.append(
            f"{PLACES[place]} {one}x{b}={one * b}, {one * b}+{carry}={total}, write {total % 10}, carry {total // 10}"
        )
        carry = total // 10
    if carry:
        lines.append(f"{PLACES[length(a)]} write {carry}")
    return [*lines, f"{spelt(a * b)}"]


def addition_of(a: int, b: int) -> tuple[tuple, list[str], int]:
    return ("sum", *sorted((a, b))), sum_lines(a, b), a + b


def subtraction_of(a: int, b: int) -> tuple[tuple, list[str], int]:
    rest = difference_lines(a, b) if a >= b else [f"minus {b}-{a}", *difference_lines(b, a)]
    return ("difference", *sorted((a, b))), [*comparison_lines(a, b), *rest], a - b


def multiplication_of(a: int, b: int) -> tuple[tuple, list[str], int]:
    key = ("product", *sorted((a, b)))
    if length(a) < length(b):
        a, b = b, a
    if b < 10:
        return key, product_lines(a, b), a * b
    tens, ones = divmod(b, 10)
    parts = a * ones, 10 * a * tens
    lines = [
        f"{a}x{ones}",
        *product_lines(a, ones),
        f"{a}x{tens}",
        *product_lines(a, tens),
        f"{parts[0]}+{parts[1]}",
        *sum_lines(*parts),
    ]
    return key, lines, a * b


def can_multiply(a: int, b: int) -> bool:
    short, long = sorted((length(a), length(b)))
    return short == 1 and long <= DIGITS or (short, long) <= (LONG_FACTOR_DIGITS[1], LONG_FACTOR_DIGITS[0])


SUMS = (
    "What is {a} + {b}?",
    "Add {a} and {b}.",
    "{a} + {b} = ?",
    "{a}+{b}",
    "What is {a} plus {b}?",
    "How much is {a} + {b}?",
    "Calculate {a} + {b}.",
    "What is the sum of {a} and {b}?",
)
DIFFERENCES = (
    "What is {a} - {b}?",
    "Subtract {b} from {a}.",
    "{a} - {b} = ?",
    "{a}-{b}",
    "What is {a} minus {b}?",
    "How much is {a} - {b}?",
    "Calculate {a} - {b}.",
)
PRODUCTS = (
    "What is {a} x {b}?",
    "Multiply {a} by {b}.",
    "{a} x {b} = ?",
    "{a}*{b}",
    "What is {a} times {b}?",
    "How much is {a} * {b}?",
    "Calculate {a} x {b}.",
    "What is the product of {a} and {b}?",
)


LARGER = (
    "Which is {word}, {a} or {b}?",
    "Which number is {word}: {a} or {b}?",
    "What is {word}, {a} or {b}?",
)
WORDS_FOR_LARGER, WORDS_FOR_SMALLER = ("larger", "bigger", "greater"), ("smaller", "less")
LETTERS = (
    "How many times does the letter {letter} occur in the word {word}?",
    "How many {letter}'s are in {word}?",
    "How often is the letter {letter} in {word}?",
    "Count the letter {letter} in {word}.",
)
SORTS = (
    "Sort these numbers: {numbers}.",
    "Sort {numbers}.",
    "Put these numbers in order: {numbers}.",
    "Sort the numbers {numbers} from smallest to largest.",
)
DAYS_AFTER = (
    "What day is {days} days after {day}?",
    "Today is {day}. What day is it in {days} days?",
    "Which day comes {days} days after {day}?",
)
DAYS_BEFORE = (
    "What day is {days} days before {day}?",
    "Today is {day}. What day was it {days} days ago?",
    "Which day comes {days} days before {day}?",
)


def calculation(family: str, question: str, result: tuple[tuple, list[str], int]) -> Problem:
    key, lines, value = result
    return Problem(family, key, question, "\n".join(lines), f"The answer is {value}.")


def addition(draw: Draw) -> Problem:
    a, b = draw.number(), draw.number()
    return calculation("addition", asked(draw, SUMS, a=a, b=b), addition_of(a, b))


def subtraction(draw: Draw) -> Problem:
    a, b = draw.number(), draw.number()
    if a < b and draw.random() < 0.5:
        a, b = b, a
    return calculation("subtraction", asked(draw, DIFFERENCES, a=a, b=b), subtraction_of(a, b))


def factors(draw: Draw) -> tuple[int, int]:
    if draw.random() < 0.35 * draw.hard:
        a, b = draw.number(LONG_FACTOR_DIGITS[0]), draw.randint(10, 99)
    else:
        a, b = draw.number(), draw.randint(0, 9)
    return (a, b) if draw.random() < 0.7 else (b, a)


def multiplication(draw: Draw) -> Problem:
    a, b = factors(draw)
    return calculation("multiplication", asked(draw, PRODUCTS, a=a, b=b), multiplication_of(a, b))


def comparison(draw: Draw) -> Problem:
    a = draw.number()
    if draw.random() < 0.4:
        b = draw.number()
    else:
        b = int("".join(each if draw.random() < 0.6 else str(draw.randint(0, 9)) for each in str(a)))
    if a == b:
        b = a + 1 if length(a + 1) <= DIGITS else a - 1
    lines = comparison_lines(a, b)
    larger = draw.random() < 0.5
    # Which is which, whatever is asked: what the question asks for and how the digits compare are not weighed at once.
    lines.append(f"smaller {min(a, b)}, larger {max(a, b)}")
    question = asked(draw, LARGER, word=draw.choice(WORDS_FOR_LARGER if larger else WORDS_FOR_SMALLER), a=a, b=b)
    best = max(a, b) if larger else min(a, b)
    return Problem("comparison", ("compare", *sorted((a, b))), question, "\n".join(lines), f"The answer is {best}.")


def sign(a: int, b: int) -> str:
    return "=" if a == b else ">" if a > b else "<"


def counting(draw: Draw) -> Problem:
    word = words.word(draw, WORD_SYLLABLES)
    letter = draw.choice(word) if draw.random() < 0.85 else draw.choice("aeiourstln")
    count, lines = 0, []
    # Both letters side by side, and a yes or no: with the one that is asked for far away nothing is learned.
    for each in word:
        count += each == letter
        lines.append(f"{each}={letter} {'yes' if each == letter else 'no'} {count}")
    question = asked(draw, LETTERS, letter=letter, word=word)
    return Problem("counting", ("count", letter, word), question, "\n".join(lines), f"The answer is {count}.")


def sorting(draw: Draw) -> Problem:
    # Pairs of one digit are rare among all numbers, and have to be learned, too.
    below = 20 if draw.random() < 0.25 else 100
    numbers = draw.sample(range(below), draw.count(2, SORTED))
    if draw.random() < 0.15:
        numbers[draw.randrange(len(numbers))] = draw.choice(numbers)
    left, lines = list(numbers), []
    # The smallest so far meets each of the others in turn.
    while len(left) > 1:
        best = left[0]
        lines.append(f"left {', '.join(map(str, left))}")
        for other in left[1:]:
            lines.append(f"{best}{sign(best, other)}{other}, keep {min(best, other)}")
            best = min(best, other)
        lines.append(f"smallest {best}")
        left.remove(best)
    lines.append(f"last {left[0]}")
    question = asked(draw, SORTS, numbers=", ".join(map(str, numbers)))
    answer = ", ".join(map(str, sorted(numbers)))
    return Problem("sorting", ("sort", *sorted(numbers)), question, "\n".join(lines), f"The answer is {answer}.")


def weekdays(draw: Draw) -> Problem:
    days, start, forward = draw.number(DAYS_DIGITS), draw.randrange(7), draw.random() < 0.6
    rest, lines = 0, []
    # Long division by seven, a digit at a time; then a day at a time.
    for each in str(days):
        part = 10 * rest + int(each)
        lines.append(f"{part}: {part // 7}x7={part // 7 * 7}, left {part % 7}")
        rest = part % 7
    step = 1 if forward else -1
    lines += [f"{index} {words.DAYS[(start + step * index) % 7]}" for index in range(rest + 1)]
    question = asked(draw, DAYS_AFTER if forward else DAYS_BEFORE, days=days, day=words.DAYS[start])
    key = ("day", step * days, start)
    return Problem("weekdays", key, question, "\n".join(lines), f"The answer is {words.DAYS[(start + step * rest) % 7]}.")


def word_problem(draw: Draw) -> Problem:
    one, other = draw.sample(words.NAMES, 2)
    things, have = draw.choice(words.ITEMS), draw.randint(2, 40)
    story, lines, key = f"{one} has {have} {things}.", [f"start {have}"], ["story", have]
    for _ in range(draw.count(1, 3)):
        change = draw.randint(1, 9)
        if draw.random() < 0.5 and have >= change:
            told = draw.choice(("{one} gives {n} to {other}.", "{one} loses {n}.", "{other} takes {n}."))
            lines.append(f"{have}-{change}={have - change}")
            have -= change
            key.append(-change)
        else:
            told = draw.choice(("{one} finds {n} more.", "{other} gives {one} {n} more.", "{one} buys {n}."))
            lines.append(f"{have}+{change}={have + change}")
            have += change
            key.append(change)
        story += " " + told.format(one=one, other=other, n=change)
    question = f"{story} How many {things} does {one} have now?"
    return Problem("word problems", tuple(key), question, "\n".join(lines), f"{one} has {have} {things}.")


def possession(draw: Draw) -> Problem:
    people, things = draw.sample(words.NAMES, 4), draw.sample(words.THINGS, 2)
    owners = dict(zip(things, people))
    story = [f"{owner} has the {thing}." for thing, owner in owners.items()]
    # A line for each sentence, which repeats what the other thing's owner is, and what is asked for right before its owner.
    lines = [f"{thing} {owner}" for thing, owner in owners.items()]
    for _ in range(draw.count(1, 5)):
        thing = draw.choice(things)
        giver = owners[thing]
        owners[thing] = draw.choice([person for person in people if person != giver])
        story.append(f"{giver} gives the {thing} to {owners[thing]}.")
        other = things[thing == things[0]]
        lines.append(f"{thing} {owners[thing]}, {other} {owners[other]}")
    thing = draw.choice(things)
    return Problem(
        "who has what",
        ("who", thing, *story),
        f"{' '.join(story)} Who has the {thing} now?",
        "\n".join([*lines, f"{thing}: {owners[thing]}"]),
        f"{owners[thing]} has the {thing}.",
    )


# Conversations.


FOLLOW_UPS = (
    ("and plus {n}?", "Now add {n}.", "plus {n}", "And what is that plus {n}?", "Add {n} to that."),
    ("and minus {n}?", "Now subtract {n}.", "minus {n}", "And what is that minus {n}?"),
    ("and times {n}?", "Now multiply that by {n}.", "times {n}", "And what is that times {n}?"),
)


def asked_before(draw: Draw) -> tuple[tuple[Problem, ...], int]:
    """Calculations of which one may go on with the last, and its result."""
    while True:
        family = follow_up if draw.random() < 0.3 else draw.choice((addition, subtraction, multiplication))
        last = family(draw)
        value = int(last.answer.removeprefix("The answer is ").rstrip("."))
        if value >= 0 and length(value) <= DIGITS:
            return (*last.earlier, last), value


def follow_up(draw: Draw) -> Problem:
    """A calculation that goes on with the last answer."""
    earlier, value = asked_before(draw)
    kind, n = draw.randrange(3), draw.number()
    if kind == 2:
        n = draw.randint(0, 99 if can_multiply(value, 99) and draw.random() < 0.5 else 9)
    key, lines, after = (addition_of, subtraction_of, multiplication_of)[kind](value, n)
    thinking = "\n".join([f"{value}{'+-x'[kind]}{n}", *lines])
    answer = f"The answer is {after}."
    return Problem("follow-ups", key, asked(draw, FOLLOW_UPS[kind], n=n), thinking, answer, earlier)


def greeting(draw: Draw) -> Problem:
    questions, thinking, answer = draw.choice(words.CHAT)
    return Problem("greetings", (), draw.choice(questions), thinking, answer)


def refusal(draw: Draw) -> Problem:
    """What it was not made for."""
    kind, earlier = draw.random(), ()
    if kind < 0.2:
        question, answer = too_large(draw)
    elif kind < 0.25:
        earlier, _ = asked_before(draw)
        question, answer = asked(draw, draw.choice(FOLLOW_UPS), n=max(too_large_numbers(draw))), words.TOO_LARGE
    elif kind < 0.4:
        question, answer = draw.choice((too_many, too_far, too_long))(draw)
    elif kind < 0.65:
        question, answer = draw.choice(OTHER_CALCULATIONS)(draw)
    else:
        question, answer = words.strange_question(draw), words.ONLY
    thinking = "This is too much for me." if answer in words.TOO_MUCH else "This is not what I do."
    return Problem("refusals", ("refuse", question.lower().rstrip("?. ")), question, thinking, answer, earlier)


def too_large_numbers(draw: Draw) -> tuple[int, int]:
    large = draw.randint(10**DIGITS, 10 ** draw.randint(DIGITS + 1, 9) - 1)
    other = draw.number() if draw.random() < 0.7 else draw.randint(10**DIGITS, 10**8)
    return (large, other) if draw.random() < 0.6 else (other, large)


def too_large(draw: Draw) -> tuple[str, str]:
    """Numbers with too many digits, or too many for a product."""
    wordings = draw.choice((SUMS, DIFFERENCES, PRODUCTS, LARGER, None))
    if wordings:
        a, b = too_large_numbers(draw)
    else:
        wordings, a, b = PRODUCTS, draw.number(), draw.number()
        while can_multiply(a, b):
            a, b = draw.randint(100, 99999), draw.randint(10, 99999)
    question = asked(draw, wordings, a=a, b=b, word=draw.choice(WORDS_FOR_LARGER + WORDS_FOR_SMALLER))
    return question, words.TOO_LARGE


def too_many(draw: Draw) -> tuple[str, str]:
    """More numbers than it sorts, or larger ones."""
    if draw.random() < 0.5:
        numbers = draw.sample(range(100), draw.randint(SORTED + 1, 2 * SORTED))
    else:
        numbers = [draw.randint(0, 10 ** draw.randint(1, 4)) for _ in range(draw.randint(3, SORTED))]
        numbers[draw.randrange(len(numbers))] = draw.randint(100, 10 ** draw.randint(3, 5))
    return asked(draw, SORTS, numbers=", ".join(map(str, numbers))), words.TOO_MANY


def too_far(draw: Draw) -> tuple[str, str]:
    """More days than it counts."""
    days = draw.randint(10**DAYS_DIGITS, 10 ** draw.randint(DAYS_DIGITS + 1, 7) - 1)
    return asked(draw, DAYS_AFTER + DAYS_BEFORE, days=days, day=draw.choice(words.DAYS)), words.TOO_FAR


def too_long(draw: Draw) -> tuple[str, str]:
    """A word of more letters than it counts."""
    word = words.made_up(draw, WORD_SYLLABLES + 2, 2 * WORD_SYLLABLES + 2)
    return asked(draw, LETTERS, letter=draw.choice(word), word=word), words.TOO_LONG


def other_calculation(draw: Draw) -> tuple[str, str]:
    a, b = draw.number(), draw.number(2)
    wordings = (
        "What is {a} / {b}?",
        "Divide {a} by {b}.",
        "What is {a} divided by {b}?",
        "What is {a} to the power of {b}?",
        "What is the square root of {a}?",
        "What is {b} percent of {a}?",
        "Is {a} a prime number?",
        "What is {a} mod {b}?",
        "{a}/{b}",
        "{a}^{b}",
    )
    return asked(draw, wordings, a=a, b=b), words.ONLY


def other_numbers(draw: Draw) -> tuple[str, str]:
    """Fractions and numbers below zero."""
    numbers = [draw.number(), draw.number()]
    for index in draw.choice(((0,), (1,), (0, 1))):
        numbers[index] = draw.choice((f"{numbers[index]}.{draw.number(2)}", f"-{numbers[index] + 1}"))
    wordings = draw.choice((SUMS, DIFFERENCES, PRODUCTS, LARGER))
    word = draw.choice(WORDS_FOR_LARGER + WORDS_FOR_SMALLER)
    return asked(draw, wordings, a=numbers[0], b=numbers[1], word=word), words.WHOLE


def more_than_two(draw: Draw) -> tuple[str, str]:
    """Several calculations at once."""
    space = draw.choice(("", " "))
    text = str(draw.number())
    for _ in range(draw.randint(2, 4)):
        text += f"{space}{draw.choice('+-*x')}{space}{draw.number(4)}"
    return asked(draw, ("What is {text}?", "Calculate {text}.", "{text} = ?", "{text}"), text=text), words.TWO


def written_out(draw: Draw) -> tuple[str, str]:
    """Numbers in words."""
    a, b = (words.number_in_words(draw) for _ in range(2))
    return asked(draw, draw.choice((SUMS, DIFFERENCES, PRODUCTS)), a=a, b=b), words.IN_DIGITS


def other_order(draw: Draw) -> tuple[str, str]:
    numbers = ", ".join(str(draw.randrange(100)) for _ in range(draw.count(2, SORTED)))
    wordings = (
        "Sort {numbers} from largest to smallest.",
        "Sort the numbers {numbers} from largest to smallest.",
        "Sort these numbers from largest to smallest: {numbers}.",
        "Sort {numbers} in descending order.",
        "Put these numbers in descending order: {numbers}.",
    )
    return asked(draw, wordings, numbers=numbers), words.RISING


OTHER_CALCULATIONS = (other_calculation, other_numbers, more_than_two, written_out, other_order)


# Each family and how often it is drawn. Those that are slow to learn are drawn more often.
FAMILIES: dict[str, tuple[Callable[[Draw], Problem], float]] = {
    "addition": (addition, 2),
    "subtraction": (subtraction, 2.5),
    "multiplication": (multiplication, 4.5),
    "comparison": (comparison, 3.5),
    "counting": (counting, 5),
    "sorting": (sorting, 3),
    "weekdays": (weekdays, 7),
    "word problems": (word_problem, 3.5),
    "who has what": (possession, 2.5),
    "follow-ups": (follow_up, 2),
    "greetings": (greeting, 0.4),
    "refusals": (refusal, 4.5),
}
SCORED = tuple(name for name in FAMILIES if name != "greetings")


def trained(draw: Draw, family: str | None = None) -> Problem:
    """A problem to train on."""
    names = list(FAMILIES)
    family = family or draw.choices(names, [weight for _, weight in FAMILIES.values()])[0]
    while True:
        problem = FAMILIES[family][0](draw)
        # Some come late in a conversation, or behind a system prompt.
        if draw.random() < 0.12:
            before = draw.choices([name for name in names if name != "follow-ups"], k=draw.randint(1, EARLIER))
            problem = replace(problem, earlier=(*(FAMILIES[name][0](draw) for name in before), *problem.earlier))
        if draw.random() < 0.08:
            problem = replace(problem, system=draw.choice(words.SYSTEM))
        if problem.may_be_trained_on:
            return problem


def held_out(seed, family: str, count: int) -> list[Problem]:
    """Different problems that are never trained on."""
    draw, found = Draw(seed), {}
    while len(found) < count:
        problem = FAMILIES[family][0](draw)
        if problem.is_held_out:
            found.setdefault(problem.key, problem)
    return list(found.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    sample = commands.add_parser("sample", help="print problems as they are trained on")
    sample.add_argument("count", type=int, nargs="?", default=6)
    sample.add_argument("--family", choices=FAMILIES)
    sample.add_argument("--seed", type=int, default=0)
    table = commands.add_parser("held-out", help="print problems for tests, a JSON object a line")
    table.add_argument("count", type=int, help="of each family")
    table.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.command == "sample":
        draw = Draw(arguments.seed)
        for _ in range(arguments.count):
            problem = trained(draw, arguments.family)
            for message in problem.messages():
                print(f"{message['role']}: {message['content']}")
            print(f"<think>\n{problem.thinking}\n</think>\n\n{problem.answer}\n")
        return
    for family in SCORED:
        for problem in held_out(arguments.seed, family, arguments.count):
            line = {"family": family, "messages": problem.messages(), "answer": problem.answer}
            print(json.dumps(line, ensure_ascii=False))


if __name__ == "__main__":
    main()
