# shellcheck shell=bash
# To be sourced before the harness, by tests whose mounts nobody else is to see: starts the test anew
# in a mount namespace of its own. Where none can be made, CKPTFS_TEST_NAMESPACE stays unset.
if [[ -z ${CKPTFS_TEST_NAMESPACE-} ]] && unshare --mount true 2>/dev/null; then
    export CKPTFS_TEST_NAMESPACE=1
    exec unshare --mount --propagation private bash "$0"
fi
