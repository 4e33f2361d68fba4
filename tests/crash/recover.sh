#!/bin/bash
# Kills ckpt recover at each of its steps: its PATH is the symlink or the whole directory, a second run completes
# it, and nothing of the first is left.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store m=$scratch/mnt home=$scratch/home
mount_store "$store" "$m" || exit 1
mkdir "$home" "$m/origin" "$m/origin/dir" "$m/origin/dir/deep"
echo content >"$m/origin/dir/file"
ln "$m/origin/dir/file" "$m/origin/dir/deep/link"
echo closed >"$m/origin/dir/deep/file"
chmod 0500 "$m/origin/dir/deep"
head -c 300000 /dev/urandom >"$m/origin/data"
ckpt checkpoint -w "$m/origin" -s first >/dev/null
want=$(manifest "$m/origin")

# A workspace w with two checkpoints, of which the second is the live state unless it is to be changed.
begin() {
    rm -rf "$home/w"
    [[ ! -e $m/w ]] || ckpt forget "$m/w" --yes >/dev/null
    ckpt fork -w "$m/origin" -s first w >/dev/null && ln -s "$m/w" "$home/w"
    mkdir "$m/.snapshots/w/one"
    [[ $1 != changed ]] || touch -d 2003-04-05 "$m/w/data"
    now=$want
    [[ $1 != changed ]] || now=$(manifest "$m/w")
}
# killed FAILPOINT ARGUMENTS...: ckpt recover, killed there; sets $status.
killed() {
    { CKPTFS_FAILPOINT=$1 ckpt recover "$home/w" "${@:2}" >/dev/null; } 2>/dev/null
    status=$?
}
# It is the symlink, or the whole directory.
check_given() {
    [[ -L $home/w && $(readlink "$home/w") == "$m/w" ]] ||
        check_eq "$now" "$(manifest "$home/w")" "$1: the directory"
}

# kill_at_each STATE ARGUMENTS...
kill_at_each() {
    local state=$1 point line again second
    local -A hits=()
    shift
    begin "$state"
    rm -f "$scratch/trace"
    check "not killed" env CKPTFS_FAILPOINT_TRACE="$scratch/trace" ckpt recover "$home/w" "$@" --format json
    mapfile -t lines <"$scratch/trace"
    check "it passes failpoints" test "${#lines[@]}" -gt 10
    for line in "${lines[@]}"; do
        hits[$line]=$((${hits[$line]-0} + 1))
        point=$line@${hits[$line]}
        begin "$state"
        killed "$point" "$@"
        check_eq 137 "$status" "killed at $point: exit status"
        check_given "killed at $point"
        [[ -e $m/w ]] || check_not "killed at $point: the workspace is gone, and so is the symlink" test -L "$home/w"
        if [[ -L $home/w || $(ls -A "$home") != w ]]; then
            again=$(ckpt recover "$home/w" "$@" --format json 2>&1)
            second=$?
            # Then nothing but an empty work directory is left to tell that there was a first run.
            [[ $line == recover.after-unmark ]] ||
                check_eq 0 "$second" "after $point: exit status of the second run ($again)"
        fi
        check_not "after $point: the symlink is gone" test -L "$home/w"
        check_eq "$now" "$(manifest "$home/w")" "after $point: the directory"
        check_eq w "$(ls -A "$home")" "after $point: nothing else is left"
        [[ " $* " == *" --forget "* && ! -e $m/w ]] ||
            check_eq "$now" "$(manifest "$m/w")" "after $point: the workspace"
        [[ " $* " != *" --forget "* ]] || check_not "after $point: the workspace is gone" test -e "$m/w"
    done
    echo "    ${#lines[@]} points"
}

test_case "a state that is in a checkpoint"
kill_at_each unchanged

test_case "a state that is not"
kill_at_each changed

test_case "with --forget"
kill_at_each changed --forget --yes

test_case "the removal of what a killed run left is killed, too"
begin unchanged
killed recover.before-exchange
for point in recover.after-contents recover.before-unmark recover.after-unmark; do
    killed "$point"
    check_eq 137 "$status" "killed at $point"
    check_eq "$m/w" "$(readlink "$home/w")" "killed at $point: the symlink"
    [[ $point != recover.after-unmark ]] || continue
    # For the next point, something has to be left.
    killed recover.before-exchange
done
check "the last" ckpt recover "$home/w"
check_eq "$want w" "$(manifest "$home/w") $(ls -A "$home")" "the directory, and nothing else"

test_case "what was written between the comparison and the exchange, before a kill"
begin unchanged
killed recover.before-exchange~1500,recover.after-exchange --forget --yes &
first=$!
await 10 "it copies" test -e "$home/.w.ckptfs-recover/copy/dir/deep"
sleep 0.5
echo late >"$home/w/late"
wait "$first"
check "the directory is in its place" test -d "$home/w" -a ! -L "$home/w"
run ckpt recover "$home/w" --forget --yes
check_eq 1 "$status" "exit status of the second run"
check_match "only there: late" "$errors" "it tells"
check_eq late "$(cat "$m/w/late")" "the workspace stays"
check_eq w "$(ls -A "$home")" "nothing else is left"

test_case "the store"
check_eq "no problems found" "$(ckpt fsck --mount "$m" 2>&1)" "fsck"
