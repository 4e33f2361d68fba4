#!/bin/bash
# Bit flips in the image of a mounted store, and in its catalog.
# shellcheck source=tests/lib/bit_flips.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/bit_flips.sh"

options=backend=btrfs-loop,size=512M
store=$scratch/store
image=$store/volumes.img
new_ground() { rm -rf "${store:?}"; }
flip_bits
