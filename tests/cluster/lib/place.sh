# shellcheck shell=bash
# Where things lie: the paths and names that belong to this checkout. Two checkouts share nothing but the cache.
# shellcheck disable=SC2034  # read by the scripts that source this file

CLUSTER_SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P) # tests/cluster
CHECKOUT=$(cd "$CLUSTER_SOURCE/../.." && pwd -P)
CHECKOUT_ID=$(printf %s "$CHECKOUT" | sha256sum | cut -c1-8)
CLUSTER_NAME=agentfs-$CHECKOUT_ID # the node, its cgroups, and kind's cluster

CLUSTER_DIR=$CHECKOUT/.cluster
STATE=$CLUSTER_DIR/state # becomes the node's /var
CLUSTER_KUBECONFIG=$CLUSTER_DIR/kubeconfig
CLUSTER_TOOLS=$CLUSTER_DIR/bin      # kubectl and helm
PROVIDER_FILE=$CLUSTER_DIR/provider # who made the cluster: node, kind or current

if [[ -z ${AGENTFS_CACHE:-} ]]; then
    if ((EUID == 0)); then
        AGENTFS_CACHE=/var/cache/agentfs
    else
        AGENTFS_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/agentfs
    fi
fi
export AGENTFS_CACHE
# lock_checkout: one up, down or load of a checkout at a time. The lock is on the folder itself and leaves no file.
lock_checkout() {
    exec 9<"$CLUSTER_SOURCE"
    flock -n 9 || { echo "another up, down or load of this checkout is running; waiting for it" && flock 9; }
}

# shellcheck source=versions.sh
. "$CLUSTER_SOURCE/lib/versions.sh"
KUBERNETES_CACHE=$AGENTFS_CACHE/kubernetes/$(versions_key)
BINARIES=$KUBERNETES_CACHE/bin
ARCHIVES=$KUBERNETES_CACHE/images
