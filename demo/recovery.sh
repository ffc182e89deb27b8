# shellcheck shell=bash
# A backup that is proven, a mistake, and a restore in place of the memory, by resources. Sourced by demo/up after demo/requests.sh.

# made KIND SPEC: creates a resource of that kind as one would type it, and waits until it is Ready. Sets MADE to its name.
made() {
    local manifest="{apiVersion: agentfs.io/v1alpha1, kind: $1, metadata: {generateName: $NAME-}, spec: $2}"
    printf '$ kubectl create -n %s -f - <<< "%s"\n' "$NAMESPACE" "$manifest"
    MADE=$(kubectl create -n "$NAMESPACE" -o name -f - <<<"$manifest")
    printf '%s created\n' "$MADE"
    if ! shown kubectl wait -n "$NAMESPACE" --for=condition=Ready "$MADE" --timeout=120s; then
        kubectl describe -n "$NAMESPACE" "$MADE" >&2
        explain_pods "$NAMESPACE"
        fail "$MADE did not succeed: see above."
    fi
    shown kubectl get -n "$NAMESPACE" "$MADE"
}

try_recovery() {
    local began=$SECONDS
    made AgentFSBackup "{agentFS: $NAME, verify: Restore}"
    local backup=${MADE##*/}
    note ""
    note "Somebody makes a mistake:"
    request /v1/put '{"agent_id":"ada","path":"/notes/lunch","value":"Ada eats anything"}' '"ok":true'
    note ""
    made AgentFSRestore "{agentFS: $NAME, source: {backup: $backup}, target: {inPlace: {}}}"
    request /v1/get '{"agent_id":"ada","path":"/notes/lunch"}' '"value":"Ada is allergic to peanuts"'
    note "Backed up, verified and restored in $((SECONDS - began)) s."
}
