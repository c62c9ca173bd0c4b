#!/usr/bin/env bash
# Reruns an experiment of Grathwohl et al. 2021 and leaves table (CSV, Markdown) and plot (PNG, SVG) in docs/results/vera/:
#   scripts/reproduce_vera.sh NAME [--quick] [--jobs N]     names: entropy entropy_mnist toys nice digits mnist cifar few_labels few_labels_mnist table stability all
# --quick takes minutes on two cores. The same command again goes on where it was stopped. $EBM names another binary,
# $OUT another folder for results, $RUNS another for runs.
set -euo pipefail
paper=vera known=(entropy entropy_mnist toys nice digits mnist cifar few_labels few_labels_mnist table stability)
source "$(dirname "$0")/reproduce_common.sh"
logp=auroc_logp_uniform,auroc_logp_constant,auroc_logp_interpolation,auroc_logp_inverted

entropy() {
    sweep entropy
    compare entropy --by arm,probe.0.latent --over seed --metric entropy_projection,entropy_error \
        --x probe.0.latent --y entropy_projection --series arm --title "Projection on the exact entropy gradient" \
        --plot "$out/entropy$suffix.png" --plot "$out/entropy$suffix.svg"
}

entropy_mnist() {
    sweep entropy_mnist
    compare entropy_mnist --by arm --over seed --metric entropy_projection,entropy_error,entropy_bias,entropy_spread
}

toys() {
    sweep toys
    compare toys --by dataset.name,arm --over seed --metric test_ll
}

nice() {
    sweep nice
    compare nice --by arm,optim.lr --over seed --metric test_ll,bits_per_dim --choose optim.lr --max test_ll
}

digits() {
    sweep digits
    compare digits --by arm --over seed --metric "test_accuracy,test_ece,$logp,${logp//logp/maxp}"
}

mnist() {
    sweep mnist
    compare mnist --by arm --over seed --metric \
        test_accuracy,test_ece,auroc_logp_fashion_mnist,auroc_maxp_fashion_mnist,auroc_logp_emnist_letters,auroc_maxp_emnist_letters
}

cifar() {
    sweep cifar
    local outliers=auroc_logp_uniform,auroc_logp_constant,auroc_logp_interpolation
    compare cifar --by arm --over seed --metric \
        "test_accuracy,test_ece,$outliers,${outliers//logp/maxp},energy_values,energy_gradients,seconds"
}

# few NAME ARGS: all trials of classifiers with few labels, and their table.
few() {
    sweep "$1" "${@:2}"
    compare "$1" --by arm --over seed --metric test_accuracy,test_auc,test_brier,test_ece
}

few_labels() { few few_labels; }
few_labels_mnist() { few few_labels_mnist; }

# The table is no part of the program: TABLE names the file.
table() { few table ${TABLE:+--set "dataset.path=$TABLE"}; }

stability() {
    sweep stability
    compare stability --by arm,optim.lr --over seed --metric "test_accuracy,test_ece,$logp"
}

for name in "${names[@]}"; do "$name"; done
