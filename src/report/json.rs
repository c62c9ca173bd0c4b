//! The comparison as one JSON document.

use serde_json::{Map, Value, json};

use super::compare::{GroupMetric, GroupRow};
use super::plot::Correlation;
use super::summary::{Interval, Summary};
use super::table::Tables;
use crate::{Error, Result};

/// Everything that [`super::compare`] found; what is undefined is `null`.
///
/// # Errors
/// None is known.
pub(super) fn document(tables: &Tables<'_>, correlations: &[Correlation]) -> Result<String> {
    let c = tables.comparison;
    let correlation = |r: &Correlation| {
        let (spearman, pearson) = (number(r.spearman), number(r.pearson));
        json!({"x": r.x, "y": r.y, "series": r.series, "n": r.n, "spearman": spearman, "pearson": pearson})
    };
    let value = json!({
        "by": c.by, "over": c.over, "metrics": c.metrics, "choose": c.choose, "baseline": c.baseline,
        "groups": c.rows.iter().map(|row| group(tables, row)).collect::<Vec<_>>(),
        "correlations": correlations.iter().map(correlation).collect::<Vec<_>>(),
        "notes": c.notes, "alike": c.alike,
    });
    let text = serde_json::to_string_pretty(&value).map_err(|e| Error::Other(format!("cannot write JSON: {e}")))?;
    Ok(text + "\n")
}

fn group(tables: &Tables<'_>, row: &GroupRow) -> Value {
    let c = tables.comparison;
    let mut value = json!({
        "keys": object(c.by.iter().zip(&row.values)),
        "runs": row.runs(),
        "unfinished": row.unfinished.iter().map(|(k, n)| (k.to_owned(), json!(n))).collect::<Map<_, _>>(),
        "metrics": c.metrics.iter().zip(&row.findings).map(|(m, f)| (m.clone(), finding(f))).collect::<Map<_, _>>(),
    });
    if let Some(choice) = &row.choice {
        let keys = |values: &[String]| object(c.choose.iter().zip(values));
        let one = |(values, mean): &(Vec<String>, f64)| json!({"keys": keys(values), "mean": number(*mean)});
        value["chosen"] = object(c.choose.iter().zip(&choice.values));
        value["tried"] = choice.tried.iter().map(one).collect();
    }
    value
}

fn finding(f: &GroupMetric) -> Value {
    let mut value = summary(&f.summary);
    if let Some(difference) = &f.difference {
        let (low, high) = difference.interval;
        value["difference"] = summary(difference);
        value["difference"]["below_error"] =
            if difference.n < 2 { Value::Null } else { json!(low <= 0.0 && 0.0 <= high) };
    }
    if let Some(published) = &f.published {
        value["published"] =
            published.parse::<f64>().ok().filter(|v| v.is_finite()).map_or(json!(published), |v| json!(v));
    }
    value
}

/// All statistics.
pub(super) fn summary(s: &Summary) -> Value {
    json!({
        "n": s.n, "mean": number(s.mean), "std": number(s.std), "std_error": number(s.std_error),
        "ci_low": number(s.interval.0), "ci_high": number(s.interval.1),
        "interval": match s.kind { Interval::Student => "student", Interval::Wilson => "wilson" },
        "min": number(s.min), "max": number(s.max), "not_finite": s.not_finite, "missing": s.missing,
    })
}

/// What is not finite is `null`.
pub(super) fn number(v: f64) -> Value {
    if v.is_finite() { json!(v) } else { Value::Null }
}

/// What is written as a number or as true or false is one; all else is text.
pub(super) fn typed(text: &str) -> Value {
    let plain = serde_json::from_str(text).ok().filter(|v: &Value| v.is_number() || v.is_boolean());
    plain.unwrap_or_else(|| json!(text))
}

/// Keys with their values, numbers as numbers.
fn object<'a>(pairs: impl Iterator<Item = (&'a String, &'a String)>) -> Value {
    pairs.map(|(key, text)| (key.clone(), typed(text))).collect::<Map<_, _>>().into()
}
