#!/bin/bash
# Power cuts of a store in a btrfs that is the disk's own: its volumes and its catalog are there side by side.
# shellcheck source=tests/lib/power_cut.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/power_cut.sh"

make_disk btrfs
power_cuts backend=btrfs-base
