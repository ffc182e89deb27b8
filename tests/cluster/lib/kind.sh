# shellcheck shell=bash
# The same cluster made by kind, where docker or podman runs it. kind brings DNS and a default StorageClass; the
# metrics-server is ours. Sourced after place.sh, progress.sh and images/builder.sh.

# kind_engine: the container engine that kind can use here, or nothing.
kind_engine() {
    local engine
    command -v kind >/dev/null || return 0
    for engine in docker podman; do
        if image_builder_works "$engine"; then
            echo "$engine"
            return
        fi
    done
}

run_kind() {
    KIND_EXPERIMENTAL_PROVIDER=$(kind_engine) kind "$@"
}

kind_cluster_exists() {
    run_kind get clusters 2>/dev/null | grep -qxF "$CLUSTER_NAME"
}

start_kind() {
    run_kind create cluster --name "$CLUSTER_NAME" --kubeconfig "$CLUSTER_KUBECONFIG" --wait 180s ||
        fail "kind could not make the cluster $CLUSTER_NAME; its reason is above."
    chmod 600 "$CLUSTER_KUBECONFIG"
    run_kind load image-archive "$ARCHIVES/metrics-server.tar" --name "$CLUSTER_NAME"
    # kind's kubelet signs its own certificate.
    render metrics-server | sed 's|--kubelet-certificate-authority=.*|--kubelet-insecure-tls|' | kubectl apply -f - >/dev/null
    kubectl -n kube-system rollout status deployment/metrics-server --timeout=180s >/dev/null
}

stop_kind() {
    run_kind delete cluster --name "$CLUSTER_NAME" --kubeconfig "$CLUSTER_KUBECONFIG"
}
