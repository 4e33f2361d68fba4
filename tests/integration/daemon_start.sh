#!/bin/bash
# A daemon is the same whatever starts it: limits, umask, signals, environment, descriptors, priority and
# working directory of the starter make no difference to its users.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

# What is tried here is what happens where nobody tests.
unset CKPTFS_TESTING
store=$scratch/store m=$scratch/mnt
chmod 755 "$scratch"
user() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }

# use WHAT: a user does what users do; then the store is unmounted. Sets $pid.
use() {
    local what=$1
    pid=$(daemon_pid "$store") || exit 1
    [[ -d $m/W ]] || { mkdir -m 777 "$m/W" && chmod 777 "$m/W"; }
    check_eq "777 65534" "$(user bash -c "umask 0; mkdir '$m/W/d' && stat -c '%a %u' '$m/W/d'")" "$what: mode of a directory"
    check_eq "640 65534" "$(user bash -c "umask 027; : >'$m/W/d/f' && stat -c '%a %u' '$m/W/d/f'")" "$what: mode of a file"
    check "$what: truncate" user truncate -s 3G "$m/W/large"
    check "$what: truncate by the daemon" user truncate -s 4G "$m/W/large"
    check "$what: write far behind" user dd if=/dev/zero of="$m/W/far" bs=64k seek=50000 count=2 conv=notrunc status=none
    check "$what: write" user dd if=/dev/zero of="$m/W/long" bs=1M count=12 status=none
    check "$what: checkpoint" mkdir "$m/.snapshots/W/S"
    check "$what: remove" user rm -r "$m/W/d" "$m/W/large" "$m/W/far"
    check "$what: rollback" user ckpt rollback -w "$m/W" -s S
    check_eq "4294967296 640" "$(stat -c %s "$m/W/large") $(stat -c %a "$m/W/d/f")" "$what: rolled back"
    check "$what: the daemon lives" kill -0 "$pid"
    check_eq "0 no problems found" "$(ckpt fsck --mount "$m" 2>&1 | sed 's/^/0 /')" "$what: fsck"
    check "$what: clean" rm -r "$m/W/d" "$m/W/large" "$m/W/far" "$m/W/long"
    for snapshot in "$m/.snapshots/W"/*; do rmdir "$snapshot"; done
}

# A daemon's own, of /proc/PID.
field() { awk -v name="$1:" '$1 == name { print $2 }' "/proc/$pid/status"; }
limit() { awk -v name="$1" 'index($0, name) == 1 { $0 = substr($0, length(name) + 1); print $1 }' "/proc/$pid/limits"; }

# Runs a program after the shell words in $1, in one process.
after() { bash -c "$1"'; exec "$@"' after "${@:2}"; }

# start WHAT PREFIX...: mounts with the daemon's command line behind PREFIX, and uses it.
start() {
    local what=$1
    shift
    test_case "$what"
    mounts+=("$m")
    "$@" "$bin/ckptfs" ${options:+-o "$options"} "$store" "$m" >"$scratch/said" 2>&1 ||
        fail "$what: $(<"$scratch/said")"
    use "$what"
}
end() { check "$1: unmounted" unmount_store "$store" "$m"; }
# What a store is made of, whatever its volumes are called.
modes() { find "$store" -xdev -printf '%m %y %P\n' | sed -E 's/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/UUID/' | sort -u; }
mkdir "$m"
options=$(store_options "$store" "" 2G)

start "an ordinary start" env
end "an ordinary start"
ordinary=$(modes)

# Whether a limit that its starter cannot raise again can be lifted.
kinds=-S
((0x$(awk '$1 == "CapEff:" { print $2 }' /proc/self/status) >> 24 & 1)) && kinds="-S -H"
highest=$(ulimit -H -n)
for option in "-f 1" "-t 1" "-n 20" "-v 400000" "-d 100000" "-s 128" "-l 0"; do
    for kind in $kinds; do
        words="ulimit ${kind/-H/} $option"
        start "$words" after "$words"
        check_eq "unlimited unlimited unlimited" \
            "$(limit "Max file size") $(limit "Max cpu time") $(limit "Max address space")" "$words: limits"
        check_eq 8388608 "$(limit "Max stack size")" "$words: stack"
        check "$words: descriptors" test "$(limit "Max open files")" -ge "$highest"
        end "$words"
    done
done

test_case "a limit that cannot be lifted"
for words in "ulimit -f 100000" "ulimit -t 100"; do
    refused "Start it without this limit" after "$words" setpriv --bounding-set=-sys_resource "$bin/ckptfs" "$store" "$m"
    check_eq "1 2" "$(wc -l <<<"$errors") $status" "$words: one line, exit status"
done

for words in "umask 0777" "umask 0"; do
    mv "$store" "$store.before-${words// /-}"
    start "$words" after "$words"
    check_eq 0000 "$(field Umask)" "$words: umask"
    end "$words"
    check_eq "$ordinary" "$(modes)" "$words: modes of the store"
done

cat >"$scratch/signals.py" <<'PYTHON'
import os, signal, sys
for number in signal.valid_signals():
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
if sys.argv[1] == "block":
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
signal.alarm(1)
os.execvp(sys.argv[2], sys.argv[2:])
PYTHON
for how in ignore block; do
    start "all signals: $how" /usr/bin/python3 "$scratch/signals.py" "$how"
    check_eq 0000000000000000 "$(field SigBlk)" "$how: blocked"
    # SIGCHLD, SIGTERM and SIGSEGV.
    check_eq 0 "$((0x$(field SigIgn) & (1 << 16 | 1 << 14 | 1 << 10)))" "$how: ignored"
    kill -TERM "$pid"
    check "$how: SIGTERM ends it" await_end "$pid"
done

test_case "programs of the starter's PATH"
mkdir "$scratch/bin"
for program in mkfs.btrfs mkfs.ext4 umount fusermount3; do
    printf '#!/bin/sh\necho %s >>%s\nexit 1\n' "$program" "$scratch/ran" >"$scratch/bin/$program"
    chmod 755 "$scratch/bin/$program"
done
for path in "$scratch/bin:$PATH" "" "relative:."; do
    mv "$store" "$store.before-$RANDOM"
    start "PATH=$path" /usr/bin/env "PATH=$path"
    end "PATH=$path"
done
check_not "a program of the starter's ran" test -e "$scratch/ran"

for words in "exec 0<&- 1>&- 2>&-" "exec 1>&-" "exec 2>/dev/full 1>/dev/full"; do
    start "$words" after "$words"
    check_eq "" "$(find "/proc/$pid/fd" -name '[012]' ! -lname /dev/null)" "$words: standard descriptors"
    end "$words"
done

mkdir "$scratch/held" && exec {held}<"$scratch/held"
start "an open directory" env
check_eq "" "$(find "/proc/$pid/fd" -lname "$scratch/held")" "inherited descriptors"
end "an open directory"
exec {held}<&-

mkdir "$scratch/gone"
start "a directory that is gone" after "cd $scratch/gone && rmdir ../gone"
check_eq / "$(readlink "/proc/$pid/cwd")" "directory"
end "a directory that is gone"

mkfifo "$scratch/fifo"
start "an environment of rubbish" env TZ=":$scratch/fifo" LD_PRELOAD="$scratch/none.so" LD_AUDIT="$scratch/none.so" \
    LD_BIND_NOW=1 GLIBC_TUNABLES=glibc.malloc.check=3 MALLOC_PERTURB_=85 MALLOC_ARENA_MAX=1 LIBMOUNT_FSTAB="$scratch/none" \
    LIBMOUNT_MTAB="$scratch/none" LIBMOUNT_FORCE_MOUNT2=always LVM_SYSTEM_DIR="$scratch/none" DM_DEFAULT_NAME_MANGLING_MODE=hex \
    SQLITE_TMPDIR="$scratch/none" TMPDIR="$scratch/none" HOME="$scratch/none" XDG_RUNTIME_DIR="$scratch/none" FUSE_THREAD_STACK=1 \
    SPDLOG_LEVEL=off LC_ALL=xx_XX LANGUAGE=xx POSIXLY_CORRECT=1 UID=7 NOTIFY_SOCKET="$scratch/none" \
    CKPTFS_FAILPOINT=checkpoint.before-commit CKPTFS_FAILPOINT_TRACE="$scratch/trace" CKPTFS_TESTING=1
check_eq "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
    "$(tr '\0' '\n' <"/proc/$pid/environ" | grep -vE '^(LD_LIBRARY_PATH|DM_DISABLE_UDEV|[A-Z]*SAN_OPTIONS)=')" "environment"
check_not "failpoints are traced" test -e "$scratch/trace"
check_eq ckptfs "$(<"/proc/$pid/comm")" "name"
end "an environment of rubbish"

start "a batch job" after "echo 500 >/proc/\$\$/oom_score_adj; exec nice -n 19 ionice -c 3 chrt --idle 0 \"\$@\""
check_eq 0 "$(<"/proc/$pid/oom_score_adj")" "score for the out-of-memory killer"
check_eq "0 TS" "$(ps -o nice=,cls= -p "$pid" | xargs)" "priority and class"
check_match "^none" "$(ionice -p "$pid")" "class of input and output"
end "a batch job"

test_case "nohup"
CKPTFS_TESTING='' serve_store "$store" "$m" "$scratch/log" "" nohup
pid=$(daemon_pid "$store")
kill -HUP "$pid"
sleep 0.3
use "nohup"
end "nohup"

test_case "failpoints of tests"
CKPTFS_TESTING=may-kill-the-daemon CKPTFS_FAILPOINT=checkpoint.before-commit ckptfs "$store" "$m"
pid=$(daemon_pid "$store")
check_not "checkpoint" mkdir "$m/.snapshots/W/T"
check "the daemon was killed" await_end "$pid"
cd /
