"""What must hold of the problems, whatever is trained on them."""

import re
import unittest

import words
from problems import FAMILIES, SCORED, Draw, held_out, trained

SOME = 200


class Problems(unittest.TestCase):
    def problems(self, family: str):
        draw = Draw(f"test {family}")
        return [FAMILIES[family][0](draw) for _ in range(SOME)]

    def numbers(self, text: str) -> list[int]:
        return [int(number) for number in re.findall(r"\d+", text)]

    def value(self, problem) -> int:
        return int(re.fullmatch(r"The answer is (-?\d+)\.", problem.answer)[1])

    def test_calculations_are_right(self):
        for family, result in (
            ("addition", lambda a, b: a + b),
            ("multiplication", lambda a, b: a * b),
        ):
            for problem in self.problems(family):
                a, b = self.numbers(problem.question)
                self.assertEqual(self.value(problem), result(a, b), problem)
        for problem in self.problems("subtraction"):
            a, b = self.numbers(problem.question)
            if problem.question.lower().startswith("subtract"):
                a, b = b, a
            self.assertEqual(self.value(problem), a - b, problem)

    def test_every_line_of_thinking_is_right(self):
        pattern = re.compile(r"(?<![\w+x-])(-?\d+)((?:[-+x]\d+)+)=(-?\d+)")
        for family in ("addition", "subtraction", "multiplication", "word problems", "weekdays", "follow-ups"):
            checked = 0
            for problem in self.problems(family):
                for first, rest, result in pattern.findall(problem.thinking):
                    value = int(first)
                    for sign, number in re.findall(r"([-+x])(\d+)", rest):
                        value = {"+": value + int(number), "-": value - int(number), "x": value * int(number)}[sign]
                    self.assertEqual(value, int(result), problem)
                    checked += 1
            self.assertGreater(checked, SOME / 2, family)

    def test_comparisons_and_sorts_are_right(self):
        for problem in self.problems("comparison"):
            wants_least = any(word in problem.question for word in ("smaller", "less"))
            numbers = self.numbers(problem.question)
            self.assertNotEqual(*numbers)
            self.assertEqual(self.value(problem), (min if wants_least else max)(numbers))
        for problem in self.problems("sorting"):
            self.assertEqual(self.numbers(problem.answer), sorted(self.numbers(problem.question)))

    def test_letters_and_days_are_right(self):
        for problem in self.problems("counting"):
            _, letter, word = problem.key
            self.assertIn(word, problem.question)
            self.assertEqual(self.value(problem), word.count(letter))
        for problem in self.problems("weekdays"):
            _, days, start = problem.key
            self.assertEqual(problem.answer, f"The answer is {words.DAYS[(start + days) % 7]}.")

    def test_stories_end_as_they_are_told(self):
        for problem in self.problems("who has what"):
            thing = problem.key[1]
            owners = re.findall(rf"(\w+) has the {thing}\.|gives the {thing} to (\w+)\.", problem.question)
            self.assertEqual(problem.answer, f"{''.join(owners[-1])} has the {thing}.")
        for problem in self.problems("word problems"):
            self.assertEqual(self.numbers(problem.answer), [sum(problem.key[1:])])

    def test_follow_ups_go_on_with_the_last_answer(self):
        for problem in self.problems("follow-ups"):
            before = problem.earlier[-1]
            self.assertTrue(problem.thinking.startswith(str(self.value(before))))
            self.assertEqual(problem.messages()[-2]["content"], before.answer)

    def test_what_was_not_trained_on_is_refused(self):
        answers = {problem.answer for problem in self.problems("refusals")}
        self.assertEqual(answers, {words.ONLY, *words.TOO_MUCH, words.WHOLE, words.TWO, words.IN_DIGITS, words.RISING})
        for problem in self.problems("refusals"):
            numbers = self.numbers(problem.question)
            if problem.answer == words.TOO_LARGE:
                products = ("x", "times", "*", "product", "Multiply", "multiply")
                self.assertTrue(max(numbers) >= 100_000 or any(each in problem.question for each in products), problem)
            if problem.answer == words.TOO_MANY:
                self.assertTrue(len(numbers) > 6 or max(numbers) >= 100, problem)
            if problem.answer == words.TOO_FAR:
                self.assertGreaterEqual(numbers[0], 1000)
            if problem.answer == words.WHOLE:
                self.assertRegex(problem.question, r"\d\.\d|-\d")
            if problem.answer == words.TWO:
                self.assertGreater(len(numbers), 2)
            if problem.answer == words.IN_DIGITS:
                self.assertEqual(numbers, [])

    def test_no_problem_of_the_tests_is_trained_on(self):
        kept = {problem.key for family in SCORED for problem in held_out(0, family, 100)}
        draw = Draw(1)
        for _ in range(5000):
            problem = trained(draw)
            for each in (problem, *problem.earlier):
                self.assertNotIn(each.key, kept)
        # In whatever wording, and whichever operand comes first.
        sums = held_out(0, "addition", 200)
        self.assertGreater(len({problem.question.split()[0].lower() for problem in sums}), 4)

    def test_a_seed_gives_the_same_problems(self):
        one, other = (trained(Draw(5)) for _ in range(2))
        self.assertEqual(one, other)
        self.assertEqual(held_out(3, "sorting", 5), held_out(3, "sorting", 5))
        self.assertNotEqual(held_out(3, "sorting", 5), held_out(4, "sorting", 5))


if __name__ == "__main__":
    unittest.main()
