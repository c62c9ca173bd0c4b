#!/usr/bin/env bash
# Reruns an experiment of Grathwohl et al. 2021 and leaves table (CSV, Markdown) and plot (PNG, SVG) in docs/results/vera/:
#   scripts/reproduce_vera.sh NAME [--quick] [--jobs N]     names: entropy entropy_mnist toys nice digits mnist mnist_jem
# cifar few_labels few_labels_mnist table stability stacked refinement speed all
# --quick takes minutes on two cores. The same command again goes on where it was stopped. $EBM names another binary,
# $OUT another folder for results, $RUNS another for runs.
set -euo pipefail
paper=vera known=(entropy entropy_mnist toys nice digits mnist mnist_jem cifar few_labels few_labels_mnist table stability stacked refinement speed)
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

# Each arm at its best rate and step, those that diverged too, and the way there.
nice() {
    sweep nice
    compare nice --at best --unfinished --by arm --over seed --metric test_ll --choose optim.lr --max test_ll
    "$ebm" compare "$runs/nice" --at every --by arm,optim.lr,step --over seed --metric test_ll,energy_gradients \
        --out "$out/nice_steps$suffix.csv" --out "$out/nice_steps$suffix.md"
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

# JEM alone, at the rate at which its energies stay where they are.
mnist_jem() {
    local seed
    for seed in 0 1 2; do train "$runs/mnist_jem/s$seed" configs/paper/vera_mnist_jem.toml --set "seed=$seed"; done
    compare mnist_jem --by method.name --over seed --metric \
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

# Modes of three stacked digits by the generator of a WGAN, over the weight of its entropy.
stacked() {
    local seed weight classifier
    classifier=$(judge digits)
    for seed in 0 1 2; do
        for weight in 0.0 0.01 0.1 1.0; do
            train "$runs/stacked/$weight-s$seed" configs/paper/vae_stacked_wgan.toml --set dataset.channels=3 --set "seed=$seed" \
                --set "method.entropy_weight=$weight" --set "probe.1.classifier=$classifier"
        done
    done
    compare stacked --by method.entropy_weight --over seed --metric stacked_modes,stacked_modes_sure,stacked_kl,stacked_kl_floor
}

# Draws of the generator of JEM + VERA, and what chains in its noise and in pixels make of them.
refinement() {
    local seed classifier chains
    classifier=$(judge digits)
    chains=(--set sampler.name=mala --set sampler.init=proposal --set sampler.warm_up=100 --set sampler.target_accept=0.57 --set sampler.steps=100)
    for seed in 0 1 2; do
        train "$runs/refinement/s$seed" configs/paper/vera_digits_vera.toml --set "seed=$seed"
    done
    set -- "$runs"/refinement/s?
    local frechet=(eval --probe frechet --set frechet.n=600 --set "frechet.features=$classifier")
    look "${frechet[@]}" -- "$@"
    look "${frechet[@]}" "${chains[@]}" -- "$@"
    look "${frechet[@]}" "${chains[@]}" --set sampler.space=noise -- "$@"
    look "${frechet[@]}" "${chains[@]}" --set sampler.space=noise --set sampler.noise_prior=false -- "$@"
    found refinement "$runs/refinement" --by sampler.steps,sampler.space,sampler.noise_prior --over seed \
        --metric eval/frechet,eval/kid,eval/precision,eval/recall
}

# Seconds of training by one thread, alone on the machine: two hundred steps of an MLP, twenty of a wide residual network.
speed() {
    local method seed args wide=(--set train.steps=20 --set train.batch_size=32 --set 'model.net={ name = "wide_resnet", depth = 10, width = 2 }')
    for seed in 0 1 2; do
        for method in classifier jem vera; do
            args=("configs/paper/vera_digits_$method.toml" --set "seed=$seed" --set 'probe=[]')
            RAYON_NUM_THREADS=1 train "$runs/speed/$method-s$seed" "${args[@]}" --set train.steps=200
            [[ $method != vera ]] || args+=(--set 'method.generator={ name = "resnet_generator", widths = [32] }')
            RAYON_NUM_THREADS=1 train "$runs/speed/$method-wide-s$seed" "${args[@]}" "${wide[@]}"
        done
    done
    compare speed --by method.name,model.net.name --over seed --metric seconds
}

for name in "${names[@]}"; do "$name"; done
