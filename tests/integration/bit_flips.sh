#!/bin/bash
# Bits that flip in the image of a store while it is mounted, and in its catalog.
# shellcheck source=tests/lib/bit_flips.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/bit_flips.sh"

options=backend=btrfs-loop,size=512M
store=$scratch/store
image=$store/volumes.img
new_ground() { rm -rf "${store:?}"; }
flip_bits
