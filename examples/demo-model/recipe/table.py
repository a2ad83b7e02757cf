"""Prints how many problems tiefsee answers right with a model's weights in several formats, as a table in Markdown.

    python3 table.py DIR problems.jsonl PROGRAM
"""

import json
import subprocess
import sys

FORMATS = ("f32", "f16", "q8_0", "q4_0", "q4_k")


def report(program: str, model: str, problems: str, name: str) -> dict:
    command = [program, "accuracy", model, "-f", problems, "--json", "--slots", "64", "--quantize", name]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def main() -> None:
    model, problems, program = sys.argv[1:]
    reports = [report(program, model, problems, name) for name in FORMATS]
    print(f"| family | problems | {' | '.join(FORMATS)} |")
    print(f"|---|---:|{'---:|' * len(FORMATS)}")
    families = [*reports[0]["families"], {"family": "all", **reports[0]["all"]}]
    for nth, family in enumerate(families):
        rows = [([*each["families"], each["all"]])[nth] for each in reports]
        shares = " | ".join(f"{100 * row['share']:.1f} %" for row in rows)
        print(f"| {family['family']} | {family['asked']} | {shares} |")


if __name__ == "__main__":
    main()
