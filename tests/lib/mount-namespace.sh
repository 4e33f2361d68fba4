# shellcheck shell=bash
# To be sourced before the harness, by tests whose mounts nobody else is to see: starts the test anew
# in a mount namespace of its own. Where none can be made, CKPTFS_TEST_NAMESPACE stays unset.
if [[ -z ${CKPTFS_TEST_NAMESPACE-} ]] && unshare --mount true 2>/dev/null; then
    export CKPTFS_TEST_NAMESPACE=1
    exec unshare --mount --propagation private bash "$0"
fi
# Copies of the mounts of tests that run beside this one: what they unmount would live on in them.
if [[ -n ${CKPTFS_TEST_NAMESPACE-} ]]; then
    cut -d ' ' -f 5 /proc/self/mountinfo | grep '/ckptfs-test\.' | sort -r | while read -r copy; do
        umount -l "$copy" 2>/dev/null
    done
fi
