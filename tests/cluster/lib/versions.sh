# shellcheck shell=bash
# What the cluster is made of. The go.mod files of build/ say it; nothing is said twice.
# Sourced after CLUSTER_SOURCE is set.
# shellcheck disable=SC2034  # read by the scripts that source this file

# module_version FOLDER MODULE: the version without the leading v.
module_version() {
    awk -v module="$2" '{sub(/^require /, "")} $1 == module && $2 ~ /^v/ {print substr($2, 2)}' \
        "$CLUSTER_SOURCE/build/$1/go.mod"
}

KUBERNETES_VERSION=$(module_version kubernetes k8s.io/kubernetes)
COREDNS_VERSION=$(module_version addons github.com/coredns/coredns)
METRICS_SERVER_VERSION=$(module_version addons sigs.k8s.io/metrics-server)
LOCAL_PATH_VERSION=$(module_version addons github.com/rancher/local-path-provisioner)
HELM_VERSION=$(module_version addons helm.sh/helm/v4)

# The name of the cache folder that belongs to exactly this content of build/, on this architecture.
versions_key() {
    local sum
    sum=$(cd "$CLUSTER_SOURCE/build" && find . -type f -name '*.*' | LC_ALL=C sort | xargs cat | sha256sum)
    printf '%s-%s-%.8s\n' "$KUBERNETES_VERSION" "$(uname -m)" "$sum"
}
