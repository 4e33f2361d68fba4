# shellcheck shell=bash
# Sourced before the harness by tests whose mounts must not be visible elsewhere: restarts the test in its own
# mount namespace. If none can be made, CKPTFS_TEST_NAMESPACE stays unset.
if [[ -z ${CKPTFS_TEST_NAMESPACE-} ]] && unshare --mount true 2>/dev/null; then
    export CKPTFS_TEST_NAMESPACE=1
    exec unshare --mount --propagation private bash "$0"
fi
# Copies of the mounts of concurrent tests: what those unmount would stay mounted in the copies.
if [[ -n ${CKPTFS_TEST_NAMESPACE-} ]]; then
    cut -d ' ' -f 5 /proc/self/mountinfo | grep '/ckptfs-test\.' | sort -r | while read -r copy; do
        umount -l "$copy" 2>/dev/null
    done
fi
