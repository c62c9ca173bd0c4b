#!/usr/bin/env bash
# Reproduces an experiment on balanced training by flow sampling: scripts/reproduce_flow.sh NAME… [--quick] [--jobs N]
# NAME: 2d 16d dimension two_modes, or all. Leaves tables in docs/results/flow.
# --quick takes minutes on two cores. The same command again goes on where it was stopped. $EBM names another binary,
# $OUT another folder for results, $RUNS another for runs.
set -euo pipefail
paper=flow known=(2d 16d dimension two_modes)
source "$(dirname "$0")/reproduce_common.sh"

weights=mode_tv,mode_kl_data,walker_tv,jumps,acceptance,flow_ess_share,energy_gradients,seconds
# Off the plane the weights come with a verdict on themselves.
judged=mode_verdict,mode_ess_share,$weights

2d() {
    sweep 2d
    compare 2d --by arm --over seed --metric "test_ll,$weights"
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

for name in "${names[@]}"; do "$name"; done
