#!/bin/bash
# ckptfs on Linux 6.12: passthrough, but no FUSE over io_uring. Everything works the same there; the script
# that relies most on the kernel's caches runs. Rollbacks run on this kernel in dm_scripts.sh, on another
# backend; CKPTFS_OLDER_SCRIPTS selects others (in the long form also those).
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"
vm=$(dirname "${BASH_SOURCE[0]}")/run
read -ra scripts <<<"${CKPTFS_OLDER_SCRIPTS:-verbs_caching}"

# shellcheck disable=SC2016 # for the guest
run "$vm" --seconds 380 bash -c '
    failed=0
    for script; do
        start=$SECONDS
        bash "/ckptfs/tests/integration/$script.sh" >/var/tmp/log 2>&1
        ended=$?
        echo "$script: exit status $ended after $((SECONDS - start)) s"
        if ((ended != 0)); then
            tail -n 30 /var/tmp/log
            failed=1
        fi
    done
    mkdir -p /var/tmp/m
    for uring in on auto off; do
        ckptfs -f -o "size=512M,io_uring=$uring" /var/tmp/s /var/tmp/m 2>/var/tmp/log &
        daemon=$!
        until mountpoint -q /var/tmp/m || ! kill -0 $daemon; do sleep 0.1; done
        grep -q "no FUSE over io_uring" /var/tmp/log && echo "io_uring=$uring: said that there is none"
        mkdir /var/tmp/m/"w-$uring" && mkdir /var/tmp/m/.snapshots/"w-$uring"/a && umount /var/tmp/m &&
            echo "io_uring=$uring: works"
        wait $daemon
    done
    exit $failed' bash "${scripts[@]}"
((status != SKIPPED)) || skip_test "${output#SKIPPED: }"
echo "$output"
test_case "scripts on Linux 6.12"
check_eq 0 "$status" "exit status ($errors)"
test_case "io_uring=on where the kernel has none"
check_match 'io_uring=on: said that there is none' "$output" "a line that says so"
for uring in on auto off; do
    check_match "io_uring=$uring: works" "$output" "a checkpoint"
done
