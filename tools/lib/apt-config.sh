# To be sourced: lets apt use other suites than the system's, with the usual signature checks, without
# changing the system's configuration.
#
# shellcheck shell=bash

readonly debian_keyring=/usr/share/keyrings/debian-archive-keyring.gpg
# CKPTFS_DEBIAN_MIRROR names another mirror than Debian's own.
readonly debian_mirror=${CKPTFS_DEBIAN_MIRROR:-http://deb.debian.org/debian}

# configure_apt BASE [--beside-system] TYPE SUITE: from now on, apt and its child processes use that suite,
# with "deb" or "deb-src" as TYPE; with --beside-system also the system's own sources. Signatures are checked
# against Debian's keyring. Lists and caches are below BASE. The system's proxy settings and the like still
# apply: apt also reads them.
configure_apt() {
    local base=$1 beside_system=0
    shift
    if [[ $1 == --beside-system ]]; then
        beside_system=1
        shift
    fi
    local type=$1 suite=$2 parts=$base/empty preferences=$base/empty
    mkdir -p "$base/lists/partial" "$base/cache/archives/partial" "$base/empty"
    {
        printf '%s [signed-by=%s] %s %s main\n' "$type" "$debian_keyring" "$debian_mirror" "$suite"
        if ((beside_system)); then
            parts=/etc/apt/sources.list.d preferences=/etc/apt/preferences.d
            cat /etc/apt/sources.list 2>/dev/null || true
        fi
    } >"$base/sources.list"
    cat >"$base/apt.conf" <<CONF
Dir::Etc::sourcelist "$base/sources.list";
Dir::Etc::sourceparts "$parts";
Dir::Etc::preferences "$base/empty/none";
Dir::Etc::preferencesparts "$preferences";
Dir::State "$base";
Dir::State::lists "$base/lists";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "$base/cache";
Acquire::Languages "none";
Acquire::Retries "3";
CONF
    # For downloads, apt switches to the user _apt. That would fail in a checkout which this user cannot reach
    # (e.g. below /root), so there apt stays root; signatures are still checked.
    if [[ $EUID -eq 0 ]] && ! setpriv --reuid=_apt --clear-groups test -x "$base" 2>/dev/null; then
        echo 'APT::Sandbox::User "root";' >>"$base/apt.conf"
    fi
    export APT_CONFIG=$base/apt.conf
}
