# shellcheck shell=bash
# What every cluster has beside Kubernetes itself: the manifests of addons/. Sourced after place.sh and progress.sh.

# kubectl: the one of the cache, on this checkout's cluster and no other.
kubectl() {
    # A proxy of the machine has no way to the node.
    NO_PROXY='*' no_proxy='*' "$CLUSTER_TOOLS/kubectl" --kubeconfig "$CLUSTER_KUBECONFIG" "$@"
}

# render NAME: the manifest with the versions filled in.
render() {
    sed -e "s/@COREDNS_VERSION@/$COREDNS_VERSION/" -e "s/@METRICS_SERVER_VERSION@/$METRICS_SERVER_VERSION/" \
        -e "s/@LOCAL_PATH_VERSION@/$LOCAL_PATH_VERSION/" \
        "$CLUSTER_SOURCE/addons/$1.yaml"
}

apply_addons() {
    local name
    for name in dns storage metrics-server; do
        render "$name" | kubectl apply -f - >/dev/null || fail "could not apply tests/cluster/addons/$name.yaml."
    done
}

# wait_for_addons SECONDS: until node, DNS, storage and metrics do their work.
wait_for_addons() {
    kubectl wait node --all --for=condition=Ready --timeout="$1s" >/dev/null &&
        kubectl -n kube-system rollout status deployment/coredns --timeout="$1s" >/dev/null &&
        kubectl -n kube-system rollout status deployment/local-path-provisioner --timeout="$1s" >/dev/null &&
        kubectl -n kube-system rollout status deployment/metrics-server --timeout="$1s" >/dev/null &&
        kubectl wait apiservice/v1beta1.metrics.k8s.io --for=condition=Available --timeout="$1s" >/dev/null
}
