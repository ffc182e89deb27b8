# shellcheck shell=bash
# What the demo makes, by name, and the cluster that it is made on. Sourced by demo/up and demo/down.
# shellcheck disable=SC2034  # read by the scripts that source this file

. tests/cluster/lib/place.sh
. tests/cluster/lib/progress.sh

OPERATOR_NAMESPACE=agentfs-system
RELEASE=agentfs-operator
NAMESPACE=agents # as in the sample
SAMPLE=manifests/samples/memory.yaml
NAME=memory
DEMO_LABEL=agentfs.io/demo # on the namespaces that the demo made, so that it removes no others

# use_cluster: from here on kubectl and helm mean the checkout's cluster. tests/cluster/up must see the user's own context.
use_cluster() {
    export KUBECONFIG=$CLUSTER_KUBECONFIG PATH=$CLUSTER_TOOLS:$PATH
}
