#!/usr/bin/env bash
# Reproduces an experiment on balanced training by flow sampling: scripts/reproduce_flow.sh NAME… [--quick] [--jobs N]
# NAME: 2d plane 16d dimension two_modes digits phi4 cost latent, or all. Leaves tables in docs/results/flow.
# --quick takes minutes on two cores. The same command again goes on where it was stopped. $EBM names another binary,
# $OUT another folder for results, $RUNS another for runs.
set -euo pipefail
paper=flow known=(2d plane 16d dimension two_modes digits phi4 cost latent)
source "$(dirname "$0")/reproduce_common.sh"

weights=mode_tv,mode_kl_data,walker_tv,jumps,acceptance,flow_ess_share,energy_values,energy_gradients,seconds
# Off the plane the weights come with a verdict on themselves.
judged=mode_verdict,mode_ess_share,$weights

2d() {
    sweep 2d
    compare 2d --by arm --over seed --metric "test_ll,$weights"
}

# log Z three ways, seed by seed since each energy has its own, and an energy that tilts its flow.
plane() {
    sweep plane
    compare plane --by arm,seed --metric mode_log_z,flow_log_z,flow_log_z_se,ais/log_z,ais/trusted
    "$ebm" compare "$runs/plane" --by arm --over seed --metric mode_tv,mode_kl_data,test_ll,acceptance,energy_values,energy_gradients \
        --out "$out/tilt$suffix.csv" --out "$out/tilt$suffix.md"
}

16d() {
    sweep 16d
    compare 16d --by arm --over seed --metric "$judged"
}

# Where the flow's draws stop being accepted.
dimension() {
    sweep dimension
    compare dimension --by arm --over seed --metric "$judged"
}

two_modes() {
    sweep two_modes
    compare two_modes --by arm --over seed --metric "$judged"
}

digits() {
    local classifier
    classifier=$(judge digits)
    sweep digits --set "probe.0.classifier=$classifier"
    compare digits --by arm --over seed --metric class_tv,class_tv_real,acceptance,energy_values,energy_gradients,seconds
}

# The walkers' share goes up and down: the mean of the last quarter.
phi4() {
    sweep phi4
    compare phi4 --at mean:3000 --by arm --over seed --metric walkers_up,up_share,up_share_data,magnetisation,magnetisation_data,flow_log_z,flow_ess_share
}

# Gradients of the energy for an effective draw of one model by three samplers, five seeds of the chains.
cost() {
    train "$runs/cost/model" configs/flow_mcmc_toy2d.toml
    local sampler seed
    for sampler in flow_mcmc parallel_tempering mala; do
        for seed in 0 1 2 3 4; do
            look diagnose --set "sampler.name=$sampler" --seed "$seed" --out "$runs/cost/$sampler-$seed" -- "$runs/cost/model"
        done
    done
    found cost "$runs/cost" --by sampler --over eval.seed --metric \
        eval/diagnose/gradients_per_draw,eval/diagnose/rhat,eval/diagnose/ess_bulk,eval/diagnose/jumps_per_1000_steps
}

# Chains in the latent space of NT-EBM where modes are 8.6 and 40 standard deviations apart, and chains on x; three models each.
latent() {
    local seed model space far=(--set dataset.offset=10 --set dataset.std=0.5)
    for seed in 0 1 2; do
        train "$runs/latent/near-s$seed" configs/nt_ebm_toy2d.toml --set "seed=$seed"
        train "$runs/latent/far-s$seed" configs/nt_ebm_toy2d.toml --set "seed=$seed" "${far[@]}"
        for model in near far; do
            for space in noise data; do
                look diagnose --chains 16 --set "sampler.space=$space" --out "$runs/latent/$model-$space-$seed" -- "$runs/latent/$model-s$seed"
            done
        done
    done
    found latent "$runs/latent" --by dataset.offset,sampler.space --over seed --metric \
        eval/diagnose/mode_rhat,eval/diagnose/mode_autocorrelation_time,eval/diagnose/jumps_per_1000_steps
}

for name in "${names[@]}"; do "$name"; done
