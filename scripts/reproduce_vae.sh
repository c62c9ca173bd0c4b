#!/usr/bin/env bash
# Reruns an experiment of Xie, Zheng, Li 2021 and Xiao et al. 2021 (VAEBM) and leaves table (CSV, Markdown) and plot (PNG, SVG) in docs/results/vae/:
#   scripts/reproduce_vae.sh 25gaussians [--quick] [--jobs N]     experiments: 25gaussians toys digits mnist fashion stacked stacked_1000
# ablation conditional steps_digits steps_mnist samplers_mnist outliers, or all
# --quick takes minutes on two cores. The same command again goes on where it was stopped. $EBM names another binary,
# $OUT another folder for results, $RUNS another for runs.
set -euo pipefail
paper=vae known=(25gaussians toys digits mnist fashion stacked stacked_1000 ablation conditional steps_digits steps_mnist samplers_mnist outliers)
source "$(dirname "$0")/reproduce_common.sh"

gaussians() {
    sweep 25gaussians
    compare 25gaussians --by arm --over seed --metric test_ll,true_ll,modes,mode_quality,mode_kl,energy_values,energy_gradients
}

toys() {
    sweep toys
    compare toys --by dataset.name,arm --over seed --metric test_ll,mmd2,mmd2_floor,energy_values,energy_gradients
    # Who is ahead of whom: the energy of its draws' maker, and the maker of the energy.
    found chase "$runs/toys" --by dataset.name,arm --over seed --metric kl_data_model,kl_model_generator,kl_generator_model
    for metric in test_ll kl_data_model kl_model_generator kl_generator_model; do
        "$ebm" compare "$runs/toys" --by dataset.name,arm,step --over seed --at every --metric "$metric" --x step --y "$metric" \
            --series arm --panel dataset.name --plot "$out/$metric$suffix.png" --plot "$out/$metric$suffix.svg" > /dev/null
    done
}

# images NAME: the sweep with the features of the classifier of that data set.
images() {
    local classifier
    classifier=$(judge "$1")
    sweep "$1" --set "probe.1.features=$classifier"
    compare "$1" --by arm --over seed --metric \
        frechet,frechet_floor,kid,precision,recall,density,coverage,energy_values,energy_gradients
}

stacked() {
    local classifier
    classifier=$(judge digits)
    sweep stacked --set "probe.1.classifier=$classifier"
    compare stacked --by arm --over seed --metric stacked_modes,stacked_modes_sure,stacked_kl,stacked_kl_floor,stacked_modes_real,stacked_kl_real
}

# All 1,000 modes of three digits.
stacked_1000() {
    local classifier
    classifier=$(judge digits)
    "$ebm" sweep configs/sweeps/vae_stacked.toml --set dataset.channels=3 --set "probe.1.classifier=$classifier" "${quick[@]}" "${jobs[@]}" \
        --run-dir "$runs/stacked_1000" || (($? == 3))
    compare stacked_1000 --by arm --over seed --metric stacked_modes,stacked_modes_sure,stacked_kl,stacked_kl_floor,stacked_modes_real,stacked_kl_real
}

# ablation: what may stand in the place of VAEBM's second stage on the same VAE of the digits, three of them.
ablation() {
    local classifier seed vae args
    classifier=$(judge digits)
    for seed in 0 1 2; do
        args=(--set "seed=$seed" --set "probe.1.features=$classifier")
        vae=$runs/ablation/vae-s$seed
        train "$vae" configs/vae_digits.toml "${args[@]}"
        args+=(--set "method.vae_ckpt=$vae" --set train.steps=5000)
        train "$runs/ablation/vaebm-s$seed" configs/vaebm_digits.toml "${args[@]}"
        train "$runs/ablation/persistent-s$seed" configs/vaebm_digits.toml "${args[@]}" --set method.buffer=10000
        train "$runs/ablation/base_kl-s$seed" configs/vaebm_digits.toml "${args[@]}" --set method.base_kl=0.1
        train "$runs/ablation/start-s$seed" configs/paper/vaebm_start_digits.toml "${args[@]}"
    done
    compare ablation --by method.name,method.buffer,method.base_kl --over seed,method.vae_ckpt --metric \
        frechet,frechet_floor,kid,precision,recall,coverage,energy_gradients
}

# fashion: a VAE, the VAE as sampler and CoopNets on Fashion-MNIST, with the settings of MNIST; three seeds.
fashion() {
    local name seed classifier on=(--set dataset.name=fashion_mnist)
    classifier=$(judge fashion)
    on+=(--set "probe.1.features=$classifier")
    for seed in 0 1 2; do
        for name in vae vae_sampler coopnets; do
            train "$runs/fashion/$name-s$seed" "configs/${name}_mnist.toml" "${on[@]}" --set "seed=$seed"
        done
    done
    compare fashion --by method.name --over seed --metric frechet,frechet_floor,kid,precision,recall,coverage,energy_values,energy_gradients
}

# conditional: class → image, the lower half of a digit from the upper one, edges → digit; three seeds each.
conditional() {
    local classifier seed
    classifier=$(judge digits)
    for seed in 0 1 2; do
        train "$runs/conditional/class-s$seed" configs/vae_sampler_class_digits.toml --set "seed=$seed" --set train.steps=6000 \
            --set "probe.1.features=$classifier" --set "probe.2.classifier=$classifier"
        train "$runs/conditional/inpaint-s$seed" configs/vae_sampler_inpaint_digits.toml --set "seed=$seed" --set train.steps=6000 \
            --set "probe.0.classifier=$classifier"
        train "$runs/conditional/edges-s$seed" configs/vae_sampler_edges_digits.toml --set "seed=$seed"
    done
    compare conditional --by dataset.name,method.condition --over seed --metric \
        label_accuracy,label_accuracy_drawn,frechet,frechet_floor,inpaint_mse,inpaint_mse_mean,inpaint_diversity,inpaint_accuracy,inpaint_accuracy_real
}

# The sampler's steps in the noise space, on the VAEBMs of `ablation`; 20 of the other energies.
steps_digits() {
    ablation
    local steps
    for steps in 0 2 5 10 20 40 80; do
        look eval --probe frechet --set sampler.steps=$steps -- "$runs"/ablation/vaebm-s?
    done
    look eval --probe frechet --set sampler.steps=20 -- "$runs"/ablation/{persistent,base_kl}-s?
    found steps_digits "$runs/ablation/vaebm-s? $runs/ablation/persistent-s? $runs/ablation/base_kl-s?" --by method.buffer,method.base_kl,sampler.steps --over seed,method.vae_ckpt --metric eval/frechet
}

# The same on MNIST, and ten times the η of the training chains.
steps_mnist() {
    mnist
    local steps
    for steps in 0 5 20 40 80; do
        look eval --probe frechet --set sampler.steps=$steps -- "$runs"/mnist/vaebm-s*
    done
    look eval --probe frechet --set sampler.step_size=0.158 -- "$runs"/mnist/vaebm-s*
    found steps_mnist "$runs/mnist/vaebm-s*" --by sampler.steps,sampler.step_size --over seed --metric eval/frechet
}

# The VAE as sampler and CoopNets on MNIST: how far the chains move a draw as training goes on, and whether draws of these and of
# VAEBM are copies.
samplers_mnist() {
    mnist
    local name classifier
    classifier=$(judge mnist)
    for name in vae_sampler coopnets; do
        train "$runs/samplers_mnist/$name" "configs/${name}_mnist.toml" --set "probe.1.features=$classifier"
    done
    "$ebm" compare "$runs/samplers_mnist" --at every --by method.name,step --over seed --metric displacement --out "$out/displacement_mnist$suffix.csv" \
        --x step --y displacement --series method.name --title "How far 20 steps move a draw" --plot "$out/displacement_mnist$suffix.png" > /dev/null
    look eval --probe memorisation -- "$runs"/mnist/vaebm-s* "$runs"/samplers_mnist/*
    found memorisation_mnist "$runs/mnist/vaebm-s* $runs/samplers_mnist" --by method.name --over seed \
        --metric eval/memorised_ratio,eval/memorised_ratio_floor,eval/memorised_share
}

# Outliers told from the digits of MNIST by VAEBM's energy and by its VAE.
outliers() {
    mnist
    local other
    for other in fashion_mnist emnist_letters; do
        look eval --probe ood --set 'ood.against=["constant", "interpolation", "dataset"]' --set ood.dataset.name=$other --set ood.dataset.noise=0.03 --set ood.items=500 \
            -- "$runs"/mnist/vae*-s*
    done
    found outliers "$runs/mnist" --by arm --over seed --metric \
        eval/auroc_logp_constant,eval/auroc_logp_interpolation,eval/auroc_logp_fashion_mnist,eval/auroc_logp_emnist_letters
}

digits() { images digits; }
mnist() { images mnist; }

for name in "${names[@]}"; do "${name#25}"; done
