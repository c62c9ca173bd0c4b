# What `ebm init` writes can be run.

for choice in '--method lsd' '--method ml' '--method cd' '--dataset rings' '--dataset gaussian' '--dataset digits'; do
    trial 0 '' "ebm init $choice > c.toml && ebm check c.toml"
done
trial 2 'did you mean `lsd`?' 'ebm init --method lds'
trial 2 'did you mean `moons`?' 'ebm init --dataset mons'
