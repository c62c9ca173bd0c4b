#!/usr/bin/env python3
"""Writes docs/results/claims.md: what the papers claim beside what the records of this project's runs say.

usage: scripts/claims.py [--check] [--results DIR]

--check writes nothing: it prints the difference and exits with 1 where the page is not what the records give. Mistakes
in claims.toml exit with 2. --results names another folder than docs/results. Needs Python 3.11, no packages.

claims.toml holds a [[paper]] for each paper, a [[record]] for each CSV file that `ebm compare` did not write, and a
[[claim]] for each claim. Verdicts are not in it: each [[claim.check]] is a rule that a record keeps or breaks.

  rule = "less", "greater"   left < right - margin, left > right + margin
  rule = "near"              |left - right| <= tolerance, or <= tolerance_share * |right|
  rule = "rank"              Spearman's correlation of x and y over the rows `of` is at_least, at_most

left, right and minus (taken from left) select one row by its columns, of the claim's record or of the one that `record`
names in the check or in the selector; right may be a number, `times` multiplies it. The value stands in the column
`mean`, or in the one that `column` names (`diverged` is the share of the runs, `test` of the curves of `ebm eval-lsd`).
"""

import argparse
import difflib
import pathlib
import re
import shlex
import sys
import tomllib
from dataclasses import dataclass

sys.dont_write_bytecode = True
from claims_rules import RULES, Mistake, Part, Records, as_number, judge, number  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
VERDICTS = ["reproduced", "in part", "not", "not run"]
KEYS = {
    "paper": {"key", "name"},
    "record": {"path", "command", "from", "section", "note"},
    "claim": {"id", "paper", "where", "claim", "setting", "ours", "published", "length", "repeats", "record", "metric",
              "se", "command", "check", "not_run", "lacks", "hours"},
    "published": {"value", "unit", "better", "seen"},
    "length": {"what", "ran", "of"},
    "less": {"says", "rule", "record", "left", "minus", "right", "times", "margin"},
    "near": {"says", "rule", "record", "left", "minus", "right", "times", "tolerance", "tolerance_share"},
    "rank": {"says", "rule", "record", "x", "y", "of", "at_least", "at_most"},
}
KEYS["greater"] = KEYS["less"]
NEEDED = {"claim": ["id", "paper", "where", "claim", "setting"], "record": ["path", "command"]}
NEEDED |= {"length": ["what", "ran", "of"], "less": ["says", "left", "right"], "greater": ["says", "left", "right"]}
NEEDED |= {"near": ["says", "left", "right"], "rank": ["says", "x", "y"], "paper": ["key", "name"]}


def sources(claim: dict) -> list[str]:
    """The records that a claim is judged by."""
    names = set()
    for check in claim.get("check", []):
        selectors = [check.get(key) for key in ("left", "minus", "right")]
        own = check.get("record", claim.get("record", ""))
        names |= {selector.get("record", own) for selector in selectors if isinstance(selector, dict)} or {own}
    return sorted(names)


def known(kind: str, table: dict) -> None:
    """Has the keys that it needs, and none but those that it may have."""
    for key in sorted(table.keys() - KEYS[kind]):
        raise Mistake(f"unknown key `{key}` in a {kind}")
    for key in NEEDED.get(kind, []):
        if key not in table:
            raise Mistake(f"no `{key}` in a {kind}")


def commands(command: str) -> None:
    """Every file that a command names is there, and every experiment of a script is one of its own."""
    for path in re.findall(r"(?<![\w/.=-])(?:configs|scripts|docs|examples|tests)/[\w./-]+", command):
        if not (ROOT / path).exists():
            raise Mistake(f"the command names {path}, which is not there")
    for part in re.split(r"&&|;", command):
        words = [word for word in shlex.split(part) if not re.match(r"\w+=", word)]
        if not words or not words[0].startswith("scripts/"):
            continue
        names = re.search(r"^paper=\w+ known=\((.*)\)", (ROOT / words[0]).read_text(encoding="utf-8"), re.M)
        for word in words[1:]:
            if word.startswith("-"):
                break
            if names and word not in names[1].split() + ["all"]:
                raise Mistake(f"{words[0]} knows no {word}: it has {names[1]}")


def hand_made(records: Records, record: dict) -> None:
    """A record that was taken from a page: each of its numbers stands in that section of it."""
    known("record", record)
    rows = records.rows(record["path"])
    commands(record["command"])
    if "from" not in record:
        if "note" not in record:
            raise Mistake("neither a page that it is `from` nor a `note`")
        return
    text = (records.folder / record["from"]).read_text(encoding="utf-8")
    found = re.search(rf"^(#+) {re.escape(record['section'])}.*?(?=^\1 |^#{{1,2}} |\Z)", text, re.M | re.S)
    if not found:
        raise Mistake(f"{record['from']}: no section `{record['section']}`")
    for row in rows:
        written = row["written"]
        if as_number(written) != as_number(row["mean"]):
            raise Mistake(f"{record['path']}: {row['mean']} is not the {written} that is written")
        if not re.search(rf"(?<![\w.,−]){re.escape(written)}(?!\w|[.,]\d)", found[0]):
            raise Mistake(f"{record['path']}: {written} does not stand in {record['from']}, {record['section']}")


@dataclass
class Row:
    """A claim, judged."""

    claim: dict
    verdict: str
    why: list[str]
    parts: list[Part]
    ran: str


def length(claim: dict, parts: list[Part]) -> tuple[str, bool]:
    """How much of the paper's length ran, and whether that is less than all."""
    said, cut = [], False
    for piece in claim["length"] if isinstance(claim["length"], list) else []:
        known("length", piece)
        share = piece["ran"] / piece["of"]
        said.append(f"{piece['what']}: " + (f"{100 * share:.2g} %" if share < 1 else "all"))
        cut |= share < 1
    if isinstance(claim["length"], str):
        said.append(claim["length"])
    if "repeats" in claim:
        runs = min(part.value.runs for part in parts)
        said.append(f"repeats: {number(runs)} of {number(claim['repeats'])}")
        cut |= runs < claim["repeats"]
    return "; ".join(said), cut


def verdict(records: Records, claim: dict) -> Row:
    known("claim", claim)
    known("published", claim.get("published", {}))
    if "command" in claim:
        commands(claim["command"])
    if "not_run" in claim:
        if "check" in claim or not ("command" in claim) ^ ("lacks" in claim):
            raise Mistake("what did not run has no check, and either a command or what it lacks")
        return Row(claim, "not run", [claim["not_run"]], [], "nothing")
    for key in ("check", "command", "length"):
        if not claim.get(key):
            raise Mistake(f"neither `not_run` nor `{key}`")
    parts = []
    for check in claim["check"]:
        if check.get("rule") not in RULES:
            raise Mistake(f"no rule `{check.get('rule')}`")
        known(check["rule"], check)
        parts.append(judge(records, claim, check))
    ran, cut = length(claim, parts)
    counts = {word: sum(part.outcome == word for part in parts) for word in ("holds", "leans", "leans against")}
    why = []
    if counts["holds"] < len(parts):
        said = [f"{counts['holds']} of {len(parts)} hold"]
        for word in ("leans", "leans against"):
            said += [f"{counts[word]} {word.replace('leans', 'lean')}"] if counts[word] else []
        why.append(", ".join(said))
    why += ["cut"] if cut else []
    why += ["another setting"] if "ours" in claim else []
    why += ["no interval"] if any(not part.value.certain for part in parts) else []
    word = "not" if counts["holds"] + counts["leans"] == 0 else "in part" if why else "reproduced"
    return Row(claim, word, why, parts, ran)


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def published(claim: dict) -> str:
    facts = claim.get("published", {})
    text = " ".join(str(facts[key]) for key in ("value", "unit") if key in facts) or "no number"
    text += {"higher": " ↑", "lower": " ↓"}.get(facts.get("better", ""), "")
    return text + {"second hand": " °", "memory": " *"}.get(facts.get("seen", ""), "")


def measured(row: Row) -> str:
    if not row.parts:
        return "–"
    checks = row.claim["check"]
    lines = [f"{check['says']}: {part.found}: {part.outcome}" for check, part in zip(checks, row.parts)]
    return "<br>".join(lines + [" ".join(f"[{name}]({name})" for name in sources(row.claim))])


def line(row: Row) -> str:
    claim = row.claim
    setting = claim["setting"] + (f" Here: {claim['ours']}" if "ours" in claim else "")
    how = f"`{claim['command']}`" if "command" in claim else f"none: {claim['lacks']}"
    how += f" ({claim['hours']})" if "hours" in claim else ""
    why = f": {'; '.join(row.why)}" if row.why else ""
    cells = [f"`{claim['id']}` {claim['claim']}", claim["where"], setting, published(claim), measured(row), row.ran,
             f"**{row.verdict}**{why}", how]
    return "| " + " | ".join(map(cell, cells)) + " |"


HEAD = """# What the papers claim, and what came of it here

Written by `scripts/claims.py` from [claims.toml](claims.toml) and the records beside it; `scripts/claims.py --check`
says whether the page is what they give. No verdict is typed: each is what the rules of claims.toml make of the records.

A check holds or fails where its difference is beyond the 95 % interval of the numbers compared. Inside the interval it
leans, as the paper claims or against it. Numbers without an interval are those of one run.

- **reproduced**: every check holds, at the paper's setting, length and number of repeats, or at ours where the paper
  states none.
- **in part**: a check holds or leans as claimed, but others do not, or the run is cut, in another setting, or without
  an interval; which of these stands behind it.
- **not**: no check holds, and none leans as claimed.
- **not run**: no run, or one that left pictures only; why, and the command that would run it.

Values in brackets are 95 % intervals. ↑ large, ↓ small values are better. ° from a later paper's table, * from memory:
not read in the paper itself. Percentages are the part of the paper's length that ran.
"""


def page(document: dict, rows: list[Row]) -> str:
    out = [HEAD, "| paper | " + " | ".join(VERDICTS) + " | claims |", "|---" * (len(VERDICTS) + 2) + "|"]

    def counted(name: str, of: list[Row]) -> str:
        counts = [sum(row.verdict == word for row in of) for word in VERDICTS]
        return f"| {name} | " + " | ".join(map(str, counts + [len(of)])) + " |"

    by_paper = [(paper, [row for row in rows if row.claim["paper"] == paper["key"]]) for paper in document["paper"]]
    out += [counted(cell(paper["name"]), of) for paper, of in by_paper] + [counted("all", rows)]
    for paper, of in by_paper:
        out += ["", f"## {paper['name']}", ""]
        out += ["| claim | where | setting | published | measured | ran | verdict | command |", "|---" * 8 + "|"]
        out += [line(row) for row in of]
    out += ["", "## Records that `ebm compare` did not write", "", "| record | from | command |", "|---|---|---|"]
    for record in document.get("record", []):
        source = f"[{record['section']}]({record['from']})" if "from" in record else ""
        source = "; ".join(text for text in (source, record.get("note", "")) if text)
        cells = [f"[{record['path']}]({record['path']})", source, f"`{record['command']}`"]
        out.append("| " + " | ".join(map(cell, cells)) + " |")
    return "\n".join(out) + "\n"


def judged(folder: pathlib.Path) -> str:
    """The page, or every mistake at once."""
    document = tomllib.loads((folder / "claims.toml").read_text(encoding="utf-8"))
    records, rows, mistakes = Records(folder), [], []
    for paper in document["paper"]:
        known("paper", paper)
    papers = [paper["key"] for paper in document["paper"]]
    seen: set[str] = set()
    for record in document.get("record", []):
        try:
            hand_made(records, record)
        except (Mistake, KeyError, TypeError, ValueError) as mistake:
            mistakes.append(f"record {record.get('path')}: {mistake}")
    own = {record.get("path") for record in document.get("record", [])}
    for claim in document["claim"]:
        name = claim.get("id", "?")
        try:
            if name in seen or claim["paper"] not in papers:
                raise Mistake("this id is taken, or there is no such paper")
            rows.append(verdict(records, claim))
            for used in set(sources(claim)) - own:
                if "not_finite" not in records.rows(used)[0]:
                    raise Mistake(f"{used} is not by `ebm compare`: a [[record]] is to say where it is from")
        except (Mistake, KeyError, TypeError, ValueError) as mistake:
            mistakes.append(f"{name}: {mistake}")
        seen.add(name)
    unused = own - {used for claim in document["claim"] for used in sources(claim)}
    mistakes += [f"record {path}: no claim is judged by it" for path in sorted(unused)]
    if mistakes:
        raise Mistake("\n".join(mistakes))
    return page(document, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="print the difference instead of writing, exit with 1")
    parser.add_argument("--results", type=pathlib.Path, default=ROOT / "docs/results", help="folder of results")
    arguments = parser.parse_args()
    path = arguments.results / "claims.md"
    try:
        text = judged(arguments.results)
    except (Mistake, OSError, tomllib.TOMLDecodeError) as mistake:
        print(mistake, file=sys.stderr)
        sys.exit(2)
    if not arguments.check:
        path.write_text(text, encoding="utf-8")
        return
    there = path.read_text(encoding="utf-8") if path.exists() else ""
    names = "claims.md", "what the records give"
    for changed in difflib.unified_diff(there.splitlines(), text.splitlines(), *names, lineterm=""):
        print(changed)
    sys.exit(there != text)


if __name__ == "__main__":
    main()
