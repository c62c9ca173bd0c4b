# Folders of pictures, as they are found.

experiment c.toml 'name = "moons"'
ebm -q train c.toml --run-dir run > /dev/null
for name in pics/cat/1 pics/cat/2 pics/dog/3 pics/dog/4; do
    mkdir -p "$(dirname $name)" && ebm -q sample --ckpt run --n 4 --steps 2 --out $name.png > /dev/null
done
file pics/._1.png 'Mac OS X'
file labels.csv 'file,label\n1,a\n2,b\n3,a\n4,b\n'
pictures='--set dataset.name=images --set dataset.path=pics --set dataset.size=8 --set dataset.cache=false
    --set dataset.test=1 --set dataset.validation=1 --set dataset.flatten=true --set model.base=none --set method.name=denoising_score_matching --set train.batch_size=2'
trial 0 'images' "ebm check c.toml $(echo $pictures)"
trial 0 '' "ebm check c.toml $(echo $pictures) --set dataset.labels=labels.csv --set dataset.fit=pad --set dataset.width=12"
trial 4 'is missing' "ebm check c.toml $(echo $pictures) --set dataset.path=nowhere"
trial 4 'holds no picture' "mkdir -p empty && ebm check c.toml $(echo $pictures) --set dataset.path=empty"
file pics/dog/broken.png 'no picture'
trial 4 '1 of 5 … broken.png … skip' "ebm check c.toml $(echo $pictures)"
trial 0 '1 of 5' "ebm check c.toml $(echo $pictures) --set dataset.wrong=skip"
