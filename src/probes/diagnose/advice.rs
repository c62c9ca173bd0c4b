//! Warnings in one line each: what is wrong, and what helps.

use super::{Report, ReportRow};
use crate::samplers::Frozen;

/// Vehtari et al. (2021): above it, chains have not mixed.
const RHAT: f64 = 1.01;
/// Effective draws of each chain that R̂ and the sizes themselves need to be trusted.
const ESS_A_CHAIN: f64 = 100.0;
/// Betancourt (2016).
const BFMI: f64 = 0.3;
/// Vehtari et al. (2024).
const PARETO_K: f64 = 0.7;

const CROSS: &str = "a kernel that crosses between modes (--set sampler.name=parallel_tempering or flow_mcmc)";

impl Report {
    /// One line each: what is wrong, and what helps.
    pub fn warnings(&self) -> Vec<String> {
        let checks = [layout, what_stands, disagreement, too_few, unseen_modes, momenta, weights];
        checks.iter().flat_map(|check| check(self)).collect()
    }
}

fn layout(report: &Report) -> Vec<String> {
    let Report { chains, draws, copies, .. } = *report;
    let mut found = Vec::new();
    if report.transposed {
        found.push(format!(
            "{chains} chains of {draws} draws look transposed: an array is [chain, draw]; if this one is [draw, \
             chain], save `x.swapaxes(0, 1)`"
        ));
    }
    if copies > 0 {
        found.push(format!(
            "{copies} of {chains} chains are the same draws as another one, so that R̂ and ESS say too much: start \
             each chain with a seed of its own, and give it once"
        ));
    }
    found
}

fn what_stands(report: &Report) -> Vec<String> {
    let Report { chains, draws, dim, .. } = *report;
    let mut found = Vec::new();
    if report.nonfinite_draws > 0 {
        let count = report.nonfinite_draws;
        found.push(format!(
            "{count} values are not finite, so most numbers are not defined: chains left the region \
                            where the energy means anything; take smaller steps, or a kernel that rejects (--set \
                            sampler.name=mala)"
        ));
    }
    if chains < 2 {
        found.push("R̂ needs two chains or more that start apart: --chains 4".into());
    }
    if draws < 4 {
        found.push(format!("{draws} draws a chain are too few to be split and compared: --steps 1000"));
    } else if report.frozen.count > 0 {
        found.push(frozen(report));
    } else if report.constant > 0 {
        found.push(format!(
            "{} of {dim} coordinates are one number in all draws: nothing can be said about them",
            report.constant
        ));
    }
    found
}

/// What is said of chains that never moved: nothing of steps where nobody here knows them.
fn frozen(report: &Report) -> String {
    let Frozen { count, chains, .. } = report.frozen;
    match report.of_file {
        true => format!("{count} of {chains} chains never moved: leave them out, or look at what made them"),
        false => report.frozen.words(),
    }
}

/// A row as a warning names it.
fn named(row: &ReportRow) -> String {
    match (row.index, row.name.ends_with("mode")) {
        (Some(k), true) => format!("the share of mode {k}"),
        (Some(j), false) => format!("coordinate {j}"),
        _ => format!("the {}", row.name),
    }
}

/// Every row that says how bad the draws are.
fn judged(report: &Report) -> impl Iterator<Item = &ReportRow> {
    report.rows.iter().filter(|row| row.name != "median coordinate")
}

fn disagreement(report: &Report) -> Vec<String> {
    let say = |row: &ReportRow| {
        let remedy = match (row.name.as_str(), report.frozen.count) {
            ("worst mode", _) => CROSS,
            (_, 0) => "longer chains (--steps, --burn-in), or other steps",
            _ => "chains that move first",
        };
        let name = named(row);
        format!("R̂ of {name} is {:.3}, above {RHAT}: chains have not mixed; try {remedy}", row.worth.rhat)
    };
    judged(report).filter(|row| row.worth.rhat > RHAT && !row.name.starts_with("least")).map(say).collect()
}

fn too_few(report: &Report) -> Vec<String> {
    let need = ESS_A_CHAIN * report.chains as f64;
    let larger = if report.frozen.count == 0 { ", or take larger steps" } else { "" };
    let say = |row: &ReportRow| {
        let (least, kind) = match row.worth {
            w if w.ess_tail < w.ess_bulk => (w.ess_tail, "tail"),
            w => (w.ess_bulk, "bulk"),
        };
        let (times, name) = (need / least, named(row));
        (least < need).then(|| {
            format!(
                "{kind} ESS of {name} is {least:.0}, below {need:.0} (100 a chain): run about {times:.1} times as long \
                 (--steps){larger}"
            )
        })
    };
    judged(report).filter_map(say).collect()
}

fn unseen_modes(report: &Report) -> Vec<String> {
    let Some(visits) = &report.visits else { return Vec::new() };
    let (unseen, all) = (visits.counts.iter().filter(|n| **n == 0).count(), visits.counts.len());
    let mut found = Vec::new();
    if unseen > 0 {
        found.push(format!(
            "{unseen} of {all} modes were seen by no chain, which R̂ cannot know; begin apart (--set \
                            sampler.init=data), or try {CROSS}"
        ));
    }
    if visits.jumps == 0 && all > 1 {
        found.push(format!(
            "no chain went from one mode to another: the shares of the modes are those of the starts; try {CROSS}"
        ));
    }
    found
}

fn momenta(report: &Report) -> Vec<String> {
    let low = report.bfmi.filter(|b| *b < BFMI);
    let say = |b| {
        format!(
            "E-BFMI is {b:.2}, below {BFMI}: momenta change the energy too little to reach the tails; take longer \
             trajectories (--set sampler.leapfrog=…), or a warm-up that learns the mass (--set sampler.warm_up=500 \
             --set sampler.adapt_mass=true)"
        )
    };
    low.map(say).into_iter().collect()
}

fn weights(report: &Report) -> Vec<String> {
    let high = report.importance.filter(|i| i.k.is_nan() || i.k > PARETO_K);
    let say = |i: super::Importance| {
        let (k, share) = (i.k, 100.0 * i.ess_share);
        format!(
            "k̂ of the base density's weights is {k:.2}, above {PARETO_K} (ESS {share:.1} %): averages over them, and \
             imh and isir that jump by them, cannot be relied on; a flow as proposal comes closer"
        )
    };
    high.map(say).into_iter().collect()
}
