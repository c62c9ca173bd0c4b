#!/usr/bin/env bash
# Reruns a figure of Grathwohl et al. 2020 and leaves table (CSV, Markdown) and plot (PNG, SVG) in docs/results/lsd/:
#   scripts/reproduce_lsd.sh FIG [--quick] [--jobs N]
# FIG: optimum null toys fig3 fig5 fig5_30 fig5_200 fig6 fig6_mean fig7 fig7_noise fig8 fig8_k fig8_others heldout fig9
# fig9_code fig9_levels fig10 fig11 fig12 fig13 fig14 all. --quick takes minutes. The same command again goes on.
# $EBM names another binary, $OUT another folder for results, $RUNS another for runs.
set -euo pipefail
paper=lsd known=(optimum null toys fig3 fig5 fig5_30 fig5_200 fig6 fig6_mean fig7 fig7_noise fig8 fig8_k fig8_others heldout fig9 fig9_code fig9_levels fig10 fig11 fig12 fig13 fig14)
source "$(dirname "$0")/reproduce_common.sh"

# figure NAME ARGS: table and plot as $out/NAME.*
figure() { compare "$@" --plot "$out/$1$suffix.png" --plot "$out/$1$suffix.svg"; }

# The discrepancy that the best critic finds, in closed form.
optimum() {
    sweep optimum
    compare optimum --by dataset.dim,model.mean,probe.0.lambda --metric eval_lsd,fisher_bound
}

null() {
    sweep null
    local tests=(gof_lsd gof_ksd imq_gof_ksd gof_lksd learned_gof_lksd gof_fssd) metrics
    metrics=$(printf '%s_reject,%s_p,' $(for test in "${tests[@]}"; do echo "$test $test"; done))
    compare null --by method --metric "${metrics%,}"
}

# Figure 4.
toys() {
    sweep toys
    compare toys --by dataset.name,arm --over seed --metric test_ll
}

fig3() {
    sweep fig3
    figure fig3 --by arm,model.mean,model.std --metric eval_lsd,fisher_bound --x fisher_bound --y eval_lsd \
        --series arm --title "Learned and true discrepancy, 100 dimensions"
}

rejections() {
    sweep "$1"
    figure "$1" --by dataset.visible,model.perturb --over seed,dataset.matrix_seed,model.matrix_seed \
        --metric gof_lsd_reject,gof_ksd_reject,gof_lksd_reject,gof_fssd_reject --x model.perturb \
        --panel dataset.visible --y gof_lsd_reject,gof_ksd_reject,gof_lksd_reject,gof_fssd_reject \
        --title "Rejection rate at size 0.05"
}

fig5() { rejections fig5; }
fig5_30() { rejections fig5_30; }
fig5_200() { rejections fig5_200; }

scores() {
    sweep "$1"
    figure "$1" --by dataset.visible,model.perturb --over seed,dataset.matrix_seed,model.matrix_seed --error se \
        --metric eval_lsd,fisher_bound,gof_ksd_value,gof_lksd_value,gof_fssd_value --x model.perturb \
        --panel dataset.visible --y eval_lsd,fisher_bound,gof_ksd_value,gof_lksd_value \
        --title "Scores of perturbed RBMs"
}

fig6() { scores fig6; }
fig6_mean() { scores fig6_mean; }

fig7() {
    train "$runs/fig7" "configs/paper/lsd_fig7_mnist$suffix.toml"
    figure fig7 --at every --by step --metric bits_per_dim,eval_lsd,sm --x bits_per_dim --y eval_lsd \
        --title "Checkpoints of a Glow on MNIST"
    "$ebm" compare "$runs/fig7" --at every --by step --metric bits_per_dim,sm --x bits_per_dim --y sm \
        --title "Checkpoints of a Glow on MNIST" --plot "$out/fig7_sm$suffix.png" --plot "$out/fig7_sm$suffix.svg"
}

fig7_noise() {
    for seed in 0 1 2; do
        train "$runs/fig7_noise/$seed" configs/paper/lsd_fig7_noise.toml --set seed="$seed" \
            ${quick:+--set dataset.name=usps}
    done
    figure fig7_noise --at every --by seed,step --over run --metric bits_per_dim,eval_lsd,sm --x bits_per_dim --y eval_lsd \
        --series seed --title "Checkpoints of three Glows, noisy pixels"
}

fig8() {
    sweep fig8
    figure fig8 --by arm,dataset.dim --over seed,dataset.matrix_seed --metric ll_gap,test_ll,amari \
        --choose optim.lr,method.lambda,method.epsilon,method.critic_steps --max test_ll \
        --reference configs/paper/lsd_fig8_published.csv --x dataset.dim --y ll_gap --series arm \
        --title "Linear ICA: nats below the true density"
}

# One critic step a model step, and five.
fig8_k() {
    sweep fig8_k
    compare fig8_k --by arm,dataset.dim --over seed,dataset.matrix_seed --metric ll_gap,test_ll,amari
}

fig8_others() {
    sweep fig8_others
    compare fig8_others --by arm,dataset.dim,optim.lr --over seed,dataset.matrix_seed --metric ll_gap,amari
}

# legible SET ARGS -- CHECKPOINTS: 500 draws of each checkpoint as the classifier of SET reads them, by their sampler.
legible() {
    local classifier
    classifier=$(judge "$1")
    look eval --probe class_balance --set class_balance.n=500 --set "class_balance.classifier=$classifier" "${@:2}"
}

balance=eval/class_sure,eval/class_sure_real,eval/class_tv,eval/class_tv_real,eval/class_spread

# The paper's sampler, with its settings of Figures 12 and 13 after 20 and 100 epochs; beside its ends draws of the model, by Metropolis
# chains at temperature 1 from the base density and from the data. Where those do not meet, neither are draws of the model.
fig9() {
    train "$runs/mnist" configs/lsd_mnist.toml
    legible mnist -- "$runs"/mnist/checkpoints/step-*
    local setting
    for setting in "30 0.01" "300 0.01" "300 0.1"; do
        legible mnist --set "sampler.steps=${setting% *}" --set "sampler.noise=${setting#* }" -- "$runs"/mnist/checkpoints/step-0000{0700,3500}.safetensors
    done
    local init chains at=("$runs"/mnist/checkpoints/step-0000{0350,0700,1050,1750,3500}.safetensors)
    for init in normal data; do
        chains=(--set sampler.name=mala --set sampler.init=$init --set sampler.warm_up=500 --set sampler.steps=2000)
        legible mnist "${chains[@]}" -- "${at[@]}"
        look diagnose "${chains[@]}" --chains 50 --burn-in 1000 --steps 2000 --thin 10 -- "${at[@]}"
    done
    found mnist_end "$runs/mnist" --at every --by step,sampler.name,sampler.init,sampler.steps,sampler.noise \
        --metric "$balance,eval/diagnose/rhat"
}

# As the released code trains it.
fig9_code() {
    train "$runs/mnist_code" configs/paper/lsd_fig9_code.toml
    legible mnist -- "$runs"/mnist_code/checkpoints/step-*
    found mnist_code "$runs/mnist_code" --at every --by step --metric "$balance"
}

# What holds to epoch 100: one energy of all noise levels. Three seeds, every tenth epoch.
fig9_levels() {
    local classifier seed
    classifier=$(judge mnist)
    for seed in 0 1 2; do
        train "$runs/levels/$seed" configs/lsd_ladder_mnist.toml --set seed="$seed" --set "probe.1.features=$classifier"
        legible mnist -- "$runs/levels/$seed"/checkpoints/step-*
    done
    found mnist_levels "$runs/levels" --at every --by step --over seed --metric "$balance,frechet"
    found mnist_levels_steps "$runs/levels" --at every --by step --over seed --metric lsd,grad_norm
}

fig11() {
    train "$runs/fashion" configs/lsd_fashion.toml
    legible fashion -- "$runs"/fashion/checkpoints/step-*
    found fashion_end "$runs/fashion" --at every --by step --metric "$balance"
}

# The discrepancy of the models of Figures 9 and 11 after 10, 30 and 100 epochs that fresh critics of the size of the paper's find in
# test images, three critics each.
heldout() {
    train "$runs/mnist" configs/lsd_mnist.toml
    train "$runs/fashion" configs/lsd_fashion.toml
    local seed
    for seed in 0 1 2; do
        look eval --probe lsd --set lsd.epochs=20 --set "lsd.critic.hidden=[1000, 1000]" --seed $seed \
            -- "$runs"/{mnist,fashion}/checkpoints/step-0000{0350,1050,3500}.safetensors
    done
    found heldout "$runs/mnist $runs/fashion" --at every --by dataset.name,step --over eval.seed --metric eval/eval_lsd
}

fig10() {
    "$ebm" eval-lsd --config configs/paper/lsd_fig10.toml --eval items=4000 --eval train_items=100 --eval epochs=600 \
        --curves "$out"
    mv "$out/lsd_fig10.png" "$out/fig10.png"
    mv "$out/lsd_fig10.csv" "$out/fig10.csv"
}

# Figures 12 and 13, pictures of the sampler's settings on the model of Figure 9; numbers are in the table of fig9.
samples() {
    train "$runs/mnist" configs/lsd_mnist.toml
    "$ebm" sample --ckpt "$runs/mnist" --n 100 --set "sampler.steps=$2" --set "sampler.noise=$3" --out "$out/$1.png"
}

fig12() { samples fig12_noise_0.01 300 0.01; samples fig12_noise_0.1 300 0.1; }
fig13() { samples fig13_steps_30 30 0.01; samples fig13_steps_1000 1000 0.01; }

fig14() {
    if [[ -n $suffix ]]; then
        train "$runs/fig14" configs/paper/lsd_fig14_quick.toml
        cp "$runs/fig14/samples/samples-00001000.png" "$out/fig14_digits.png"
        return
    fi
    local name
    for name in mnist fashion; do
        train "$runs/fig14_$name" "configs/paper/lsd_fig14_$name.toml"
        legible "$name" -- "$runs/fig14_$name"/checkpoints/step-*
        found "fig14_$name" "$runs/fig14_$name" --at every --by step --metric "$balance"
    done
}

for name in "${names[@]}"; do "$name"; done
