#!/bin/bash
# tests/vm/run itself: its input, its output, and what happens when the guest does not end well.
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"
vm=$(dirname "${BASH_SOURCE[0]}")/run

test_case "output, files and exit status come back"
start=$SECONDS
run "$vm" --bring /var/tmp/made --bring /root/odd --into "$scratch/into" \
    bash -c 'echo out; echo err >&2; mkdir /var/tmp/made; uname -r >/var/tmp/made/kernel
             printf "a\0b" >/root/odd; id -u; exit 3'
((status != SKIPPED)) || skip_test "${output#SKIPPED: }"
echo "the guest took $((SECONDS - start)) s"
check_eq 3 "$status" "exit status ($errors)"
check_eq $'out\n0' "$output" "stdout"
check_eq err "$errors" "stderr"
check_match '^6\.12\.' "$(<"$scratch/into/var/tmp/made/kernel")" "the guest's kernel"
check_eq 3 "$(stat -c %s "$scratch/into/root/odd")" "size of a file with a NUL"

test_case "device-mapper is there, and what it works on"
# shellcheck disable=SC2016 # for the guest
run "$vm" bash -c '
    set -e
    truncate -s 64M /var/tmp/base /var/tmp/cow
    base=$(losetup -f --show /var/tmp/base) cow=$(losetup -f --show /var/tmp/cow)
    dmsetup create one --table "0 131072 snapshot $base $cow PO 8"
    mkfs.ext4 -q /dev/mapper/one
    mount /dev/mapper/one /mnt
    echo kept >/mnt/file
    umount /mnt
    dmsetup status one | cut -d" " -f3
    dmsetup remove one
    modprobe dm-thin-pool
    dmsetup targets | cut -d" " -f1 | grep thin-pool'
check_eq "snapshot"$'\n'"thin-pool" "$output" "targets ($errors)"
check_eq 0 "$status" "exit status"

test_case "a power cut: what was flushed is on the disk"
disk=$scratch/disk.img
run "$vm" --disk "$disk" --disk-size 256M --kill-after 3 bash -c '
    echo flushed >/var/tmp/kept; sync; echo synced; sleep 60; echo later'
check_eq 137 "$status" "exit status ($errors)"
check_eq synced "$output" "stdout before the cut"
run "$vm" --disk "$disk" cat /var/tmp/kept
check_eq "0 flushed" "$status $output" "the next run on that disk ($errors)"

test_case "a guest that does not end, one that dies, and wrong usage"
run "$vm" --seconds 15 sleep 100
check_eq 124 "$status" "exit status after the time was up"
run "$vm" bash -c 'echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger; sleep 10'
check_eq 125 "$status" "exit status of a guest that panicked"
run "$vm" --no-such-option x true
check_eq 126 "$status" "exit status of wrong usage"
