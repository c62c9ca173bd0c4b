# What `ebm init` writes can be run.

for choice in '--method lsd' '--method ml' '--method cd' '--dataset rings' '--dataset gaussian' '--dataset digits'; do
    trial 0 '' "ebm init $choice > c.toml && ebm check c.toml"
done
trial 2 'did you mean `lsd`?' 'ebm init --method lds'
trial 2 'did you mean `moons`?' 'ebm init --dataset mons'
# Pictures whose borders never change, and short chains on them.
for method in cd pcd short_run; do
    trial 0 '' "ebm init --method $method --dataset digits > d.toml && ebm train d.toml --run-dir $method \
        --set train.steps=5 --set train.batch_size=8 --set method.sampler.steps=5"
done
