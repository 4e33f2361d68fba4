#!/bin/bash
# Power cuts of a store with its image and its catalog on ext4.
# shellcheck source=tests/lib/power_cut.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/power_cut.sh"

make_disk ext4
power_cuts backend=btrfs-loop,size=256M
