"""The rules of scripts/claims.py: numbers of records with their intervals, and what a check finds in them."""

import csv
import math
import pathlib
import re
from dataclasses import dataclass

SHARES = re.compile(
    "accuracy|ece|auroc|reject|_tv|coverage|recall|precision|quality|ess_share|acceptance|jumps"
    "|diverged|failed|not_finite"
)
RULES = ("less", "greater", "near", "rank")
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
    """What one check found: "holds", "fails", or, inside its own error, "leans" as claimed or "leans against" it."""

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
        runs = as_number(row.get("n") or "0")
        if column in ("diverged", "failed", "not_finite"):
            return wilson(float(row[column]), float(row["runs"]))
        mean = as_number(row[column])
        if mean is None or not math.isfinite(mean):
            raise Mistake(f"{name}: the row {wanted} has no finite {column}")
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
    """One of the rules less, greater and near. What is not beyond its own error only leans."""
    rule, gap = check["rule"], left.minus(right)
    if rule == "near":
        tolerance = check["tolerance"] if "tolerance" in check else check["tolerance_share"] * abs(right.mean)
        inside, outside = max(abs(gap.low), abs(gap.high)) <= tolerance, gap.low > tolerance or gap.high < -tolerance
        leans, text = abs(gap.mean) <= tolerance, f"{left} within {number(tolerance)} of {right}"
    else:
        sign, margin = (-1, check.get("margin", 0)) if rule == "less" else (1, check.get("margin", 0))
        ahead = gap.scaled(sign)
        inside, outside, leans = ahead.low > margin, ahead.high <= margin, ahead.mean > margin
        text = f"{left} {'<' if sign < 0 else '>'} {right}"
        if margin:
            text += f" {'−' if sign * margin < 0 else '+'} {number(abs(margin))}"
    outcome = "holds" if inside else "fails" if outside else "leans" if leans else "leans against"
    return Part(outcome, text, gap)


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
    # A table of columns without metrics in rows is told apart by x alone.
    keys = header[: header.index("metric")] if "metric" in header else [check["x"]]
    keys = [key for key in keys if key not in check.get("of", {})]
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
