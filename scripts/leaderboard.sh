#!/usr/bin/env bash
# Every method on the same data with the same energy at an equal number of its gradients: scripts/leaderboard.sh NAME… [--quick] [--jobs N]
# NAME: 2d levels 16d 8x8, mnist (whose plan says which arms have other energies and numbers), or all. Leaves tables in docs/results/leaderboard.
# --quick runs one seed instead of three. The same command again goes on where it was stopped. $EBM names another binary,
# $OUT another folder for results, $RUNS another for runs.
set -euo pipefail
paper=leaderboard known=(2d levels 16d 8x8 mnist)
source "$(dirname "$0")/reproduce_common.sh"

2d() {
    sweep 2d
    compare 2d --by arm --over seed --metric test_ll,true_ll,mode_tv,mode_kl_data,energy_values,energy_gradients,seconds
}

# Two far modes, and what is known of every noise level.
levels() {
    sweep levels
    compare levels --by arm --over seed --metric \
        mode_tv,mode_kl_data,levels/worst_log_z,levels/worst_ess_share,levels/flow_tv,levels/flow_kl,levels/flow_gap,levels/energy_tv,energy_values,energy_gradients
}

16d() {
    sweep 16d
    compare 16d --by arm --over seed --metric ais/test_ll,ais/trusted,mode_tv,mode_kl_data,mode_ess_share,energy_values,energy_gradients,seconds
}

8x8() {
    local classifier
    classifier=$(judge digits)
    sweep 8x8 --set "probe.1.classifier=$classifier"
    compare 8x8 --by arm --over seed --metric ais/test_ll,test_ll,ais/bracket,ais/trusted,class_tv,class_tv_real,energy_values,energy_gradients,seconds
}

mnist() {
    local classifier
    classifier=$(judge mnist)
    sweep mnist --set "probe.1.features=$classifier"
    compare mnist --by method.name,model.net.name --over seed --metric frechet,frechet_floor,kid,precision,recall,energy_values,energy_gradients
}

for name in "${names[@]}"; do "$name"; done
