# shellcheck shell=bash
# Namespaces that carry the demo's label. Sourced after demo/place.sh.

# make_namespace NAME [LABEL...]: makes it with the demo's label; one that somebody else made is left alone.
make_namespace() {
    local name=$1 owner
    shift
    if kubectl get namespace "$name" >/dev/null 2>&1; then
        owner=$(kubectl get namespace "$name" -o "jsonpath={.metadata.labels.${DEMO_LABEL//./\\.}}")
        [[ "$owner" == true ]] ||
            fail "namespace $name is there already and was not made by the demo: use another cluster, or remove it first."
    else
        kubectl create namespace "$name" >/dev/null
    fi
    kubectl label --overwrite namespace "$name" "$DEMO_LABEL=true" "$@" >/dev/null
}
