#!/usr/bin/env python3
"""Writes docs/results/claims.md: what the papers claim beside what the records of this project's runs say.

usage: scripts/claims.py [--check] [--results DIR]

--check writes nothing: it prints the difference and exits with 1 where the page is not what the records give. Mistakes in
claims.toml exit with 2. --results names another folder than docs/results. Needs Python 3.11, no packages.

claims.toml holds a [[paper]] for each paper, a [[record]] for each CSV file that `ebm compare` did not write, and a
[[claim]] for each claim. Verdicts are not in it: each [[claim.check]] is a rule that a record keeps or breaks.

  rule = "less", "greater"   left < right - margin, left > right + margin
  rule = "near"              |left - right| <= tolerance, or <= tolerance_share * |right|
  rule = "rank"              Spearman's correlation of x and y over the rows `of` is at_least, at_most

left, right and minus (taken from left) select one row of the record by its columns; right may be a number, `times` multiplies
it. The value stands in the column `mean`, or in the one that `column` names (`diverged` is the share of the runs).
"""

import argparse
import csv
import difflib
import math
import pathlib
import re
import shlex
import sys
import tomllib
from dataclasses import dataclass

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
SHARES = re.compile(r"accuracy|ece|auroc|reject|_tv|coverage|recall|precision|quality|ess_share|acceptance|jumps|diverged|failed|not_finite")
HUGE = 1e30
POSITIVE = re.compile(r"frechet|kl|mmd|fisher|modes|amari|ratio|rhat")


class Mistake(Exception):
    """A mistake in claims.toml or in a record that it names."""


@dataclass
class Value:
    """A number of a record with its 95 % interval, where it has one, and the runs behind it."""

    mean: float
    low: float
    high: float
    runs: float = math.inf
    certain: bool = True    # it has an interval, or needs none

    def scaled(self, factor: float) -> "Value":
        ends = sorted((self.low * factor, self.high * factor))
        return Value(self.mean * factor, *ends, self.runs, self.certain)

    def minus(self, other: "Value") -> "Value":
        mean = self.mean - other.mean
        down = math.hypot(self.mean - self.low, other.high - other.mean)
        up = math.hypot(self.high - self.mean, other.mean - other.low)
        return Value(mean, mean - down, mean + up, min(self.runs, other.runs), self.certain and other.certain)

    def __str__(self) -> str:
        spread = "" if self.low == self.high else f" [{number(self.low)}, {number(self.high)}]"
        return number(self.mean) + spread


@dataclass
class Part:
    """What one check found: "holds", "fails" or "open", which is inside its own error."""

    outcome: str
    found: str
    value: Value


def number(x: float) -> str:
    return f"{x:.4g}".replace("-", "−").replace("e−0", "e−").replace("e+0", "e")


def as_number(text: str) -> float | None:
    try:
        return float(re.sub(r"(?<=\d),(?=\d{3}\b)", "", text.replace("−", "-")))
    except ValueError:
        return None


def exact(x: float) -> Value:
    return Value(x, x, x)


def wilson(hits: float, n: float) -> Value:
    z = 1.959964
    share, scale = hits / n, 1 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Value(share, max(0.0, round(centre - half, 12)), min(1.0, round(centre + half, 12)), n)


class Records:
    """The CSV files under the folder of results, each read once."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.read: dict[str, list[dict[str, str]]] = {}

    def rows(self, name: str) -> list[dict[str, str]]:
        if name not in self.read:
            path = self.folder / name
            if not path.is_file():
                raise Mistake(f"{name}: no such record")
            with path.open(encoding="utf-8", newline="") as file:
                self.read[name] = list(csv.DictReader(file))
        return self.read[name]

    def row(self, name: str, wanted: dict) -> dict[str, str]:
        found = [row for row in self.rows(name) if all(same(row, name, key, value) for key, value in wanted.items())]
        if len(found) != 1:
            raise Mistake(f"{name}: {len(found)} rows are {wanted}, one is to be")
        return found[0]

    def value(self, name: str, selector: dict, claim: dict) -> Value:
        wanted = ({"metric": claim["metric"]} if "metric" in claim else {}) | selector
        name = wanted.pop("record", name)
        column = wanted.pop("column", "mean")
        row = self.row(name, wanted)
        runs = as_number(row["n"] or "0")
        if column in ("diverged", "failed", "not_finite"):
            return wilson(float(row[column]), float(row["runs"]))
        mean = as_number(row[column])
        if mean is None:
            raise Mistake(f"{name}: the row {wanted} has no {column}")
        ends = [as_number(row.get("ci_low") or ""), as_number(row.get("ci_high") or "")]
        error = as_number(row.get("std_error") or "")
        if "se" in claim:
            error = self.value(name, wanted | {"metric": claim["se"]}, {}).mean
        if None not in ends:
            return Value(mean, ends[0], ends[1], runs)
        if error is not None:
            return Value(mean, mean - 1.959964 * error, mean + 1.959964 * error, runs)
        return Value(mean, mean, mean, runs, certain=False)


def same(row: dict[str, str], name: str, key: str, value: object) -> bool:
    if key not in row:
        raise Mistake(f"{name}: no column `{key}`")
    mine = as_number(row[key])
    return row[key] == str(value) or (mine is not None and isinstance(value, (int, float)) and mine == value)


def compare(check: dict, left: Value, right: Value) -> Part:
    """One of the rules less, greater and near. What is not beyond its own error is open."""
    rule, gap = check["rule"], left.minus(right)
    if rule == "near":
        tolerance = check["tolerance"] if "tolerance" in check else check["tolerance_share"] * abs(right.mean)
        inside, outside = max(abs(gap.low), abs(gap.high)) <= tolerance, gap.low > tolerance or gap.high < -tolerance
        text = f"{left} within {number(tolerance)} of {right}"
    else:
        sign, margin = (-1, check.get("margin", 0)) if rule == "less" else (1, check.get("margin", 0))
        ahead = gap.scaled(sign)
        inside, outside = ahead.low > margin, ahead.high <= margin
        text = f"{left} {'<' if sign < 0 else '>'} {right}"
        if margin:
            text += f" {'−' if sign * margin < 0 else '+'} {number(abs(margin))}"
    return Part("holds" if inside else "fails" if outside else "open", text, gap)


def bounds(selector: dict, claim: dict) -> tuple[float, float]:
    """Between what a metric can lie at all."""
    name = selector.get("column", "") + " " + str(selector.get("metric", claim.get("metric", "")))
    if SHARES.search(name):
        return 0.0, 1.0
    return (0.0 if POSITIVE.search(name) else -HUGE), HUGE


def ranks(values: list[float]) -> list[float]:
    return [sum(y < x for y in values) + (sum(y == x for y in values) + 1) / 2 for x in values]


def spearman(x: list[float], y: list[float]) -> float:
    a, b = ranks(x), ranks(y)
    mean = (len(a) + 1) / 2
    cross = sum((i - mean) * (j - mean) for i, j in zip(a, b))
    scale = math.sqrt(sum((i - mean) ** 2 for i in a) * sum((j - mean) ** 2 for j in b))
    if scale == 0:
        raise Mistake("all values are the same: there is no rank correlation")
    return cross / scale


def series(records: Records, name: str, of: dict, what: str, along: str) -> dict[str, float]:
    """A metric, or a column of keys, by the value of the column `along`."""
    rows = [row for row in records.rows(name) if all(same(row, name, key, value) for key, value in of.items())]
    if rows and what in rows[0]:
        return {row[along]: float(row[what]) for row in rows}
    return {row[along]: float(row["mean"].replace("−", "-")) for row in rows if row["metric"] == what}


def rank(records: Records, name: str, check: dict) -> Part:
    header = list(records.rows(name)[0])
    keys = [key for key in header[: header.index("metric")] if key not in check.get("of", {})]
    if len(keys) != 1:
        raise Mistake(f"{name}: a rank needs one column that varies, not {keys}: `of` fixes the others")
    x = series(records, name, check.get("of", {}), check["x"], keys[0])
    y = series(records, name, check.get("of", {}), check["y"], keys[0])
    common = [key for key in x if key in y]
    if len(common) < 4:
        raise Mistake(f"{name}: {check['x']} and {check['y']} have {len(common)} rows in common, fewer than four")
    found = spearman([x[key] for key in common], [y[key] for key in common])
    low, high = check.get("at_least", -1), check.get("at_most", 1)
    if not (-1 < low <= 1 or -1 <= high < 1):
        raise Mistake("a rank correlation that cannot fail: give at_least or at_most")
    bound = f"at least {number(low)}" if low > -1 else f"at most {number(high)}"
    text = f"{number(found)} over {len(common)} points, to be {bound}"
    return Part("holds" if low <= found <= high else "fails", text, Value(found, found, found, 1, certain=False))


def judge(records: Records, claim: dict, check: dict) -> Part:
    name = check.get("record", claim.get("record", ""))
    if check["rule"] == "rank":
        return rank(records, name, check)
    if not isinstance(check["right"], dict):
        right = exact(float(check["right"]))
    elif check["right"] == check["left"] and "times" not in check:
        raise Mistake("a row is compared with itself")
    else:
        right = records.value(name, check["right"], claim)
    right = right.scaled(check.get("times", 1.0))
    left, low, high = records.value(name, check["left"], claim), *bounds(check["left"], claim)
    if "minus" in check:
        shift = records.value(name, check["minus"], claim)
        left, low, high = left.minus(shift), low - shift.mean, high - shift.mean
    ends = [compare(check, exact(end), exact(right.mean)).outcome for end in (low, high)]
    if "fails" not in ends:
        raise Mistake("this check cannot fail whatever is measured")
    return compare(check, left, right)


def sources(claim: dict) -> list[str]:
    """The records that a claim is judged by."""
    names = set()
    for check in claim.get("check", []):
        selectors = [check.get(key) for key in ("left", "minus", "right")]
        own = check.get("record", claim.get("record", ""))
        names |= {selector.get("record", own) for selector in selectors if isinstance(selector, dict)} or {own}
    return sorted(names)


def known(kind: str, table: dict) -> None:
    for key in table.keys() - KEYS[kind]:
        raise Mistake(f"unknown key `{key}` in a {kind}")


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
    if "command" in record:
        commands(record["command"])
    if "from" not in record:
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
        if key not in claim:
            raise Mistake(f"neither `not_run` nor `{key}`")
    parts = []
    for check in claim["check"]:
        if check.get("rule") not in ("less", "greater", "near", "rank"):
            raise Mistake(f"no rule `{check.get('rule')}`")
        known(check["rule"], check)
        parts.append(judge(records, claim, check))
    ran, cut = length(claim, parts)
    holding = sum(part.outcome == "holds" for part in parts)
    why = []
    if holding < len(parts):
        inside = sum(part.outcome == "open" for part in parts)
        count = f"{holding} of {len(parts)} hold" + (f", {inside} inside the error" if inside else "")
        why.append("undecided, all inside the error" if inside == len(parts) else count)
    why += ["cut"] if cut else []
    why += ["another setting"] if "ours" in claim else []
    why += ["no interval"] if any(not part.value.certain for part in parts) else []
    word = "not" if holding == 0 else "in part" if why else "reproduced"
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

Written by `scripts/claims.py` from [claims.toml](claims.toml) and the records beside it; `scripts/claims.py --check` says whether the page
is what they give. No verdict is typed: each is what the rules of claims.toml make of the records.

- **reproduced**: every check holds beyond its 95 % interval, at the paper's setting, length and number of repeats, or at ours where the
  paper states none.
- **in part**: some checks hold, or all of them in a run that is cut, in another setting, or without an interval. What it is stands behind it.
- **not**: no check holds: each fails, or its difference lies inside its own error. Another setting than the paper's is named.
- **not run**: no record, or pictures only; why, and the command that would run it.

A value stands with its 95 % interval in brackets where it has one. ↑ large, ↓ small values are better. ° from a later paper's table, * from memory:
not read in the paper itself. Percentages of the paper's length are those of the run that stands in the record.
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
        out.append("| " + " | ".join(map(cell, [f"[{record['path']}]({record['path']})", source, f"`{record['command']}`"])) + " |")
    return "\n".join(out) + "\n"


def judged(folder: pathlib.Path) -> str:
    """The page, or every mistake at once."""
    document = tomllib.loads((folder / "claims.toml").read_text(encoding="utf-8"))
    records, rows, mistakes = Records(folder), [], []
    papers = [paper["key"] for paper in document["paper"]]
    seen: set[str] = set()
    for record in document.get("record", []):
        try:
            hand_made(records, record)
        except (Mistake, KeyError) as mistake:
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
        except (Mistake, KeyError) as mistake:
            mistakes.append(f"{name}: {mistake}")
        seen.add(name)
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
    difference = difflib.unified_diff(there.splitlines(), text.splitlines(), "claims.md", "what the records give", lineterm="")
    for changed in difference:
        print(changed)
    sys.exit(there != text)


if __name__ == "__main__":
    main()
