# shellcheck shell=bash
# shellcheck disable=SC2016  # what is printed names variables for the reader to use
# One memory put, read, found, listed and deleted through the Service, as an agent's developer would do it with curl.
# Sourced by demo/up after demo/progress.sh.

# request ROUTE BODY EXPECTED: shows the curl command and its answer, and fails when the answer lacks EXPECTED.
# The key is read from a descriptor, so that it is in no argument list.
request() {
    local route=$1 body=$2 expected=$3 answer
    printf '$ curl -s "$AGENTFS_URL%s" -H "Authorization: Bearer $AGENTFS_API_KEY" -H '\''Content-Type: application/json'\'' -d '\''%s'\''\n' "$route" "$body"
    answer=$(curl --silent --show-error --max-time 10 "$AGENTFS_URL$route" -H @<(printf 'Authorization: Bearer %s' "$AGENTFS_API_KEY") \
        -H 'Content-Type: application/json' --data "$body") || fail "AgentFS does not answer at $AGENTFS_URL: see above."
    printf '%s\n' "$answer"
    [[ "$answer" == *"$expected"* ]] || fail "the answer to $route should hold $expected."
}

# forward_port: a port of this machine that leads to the Service; sets AGENTFS_URL, and FORWARDER to end it by.
forward_port() {
    local log line="" tries
    log=$(mktemp)
    kubectl port-forward -n "$NAMESPACE" "service/$NAME-api" :8787 >"$log" 2>&1 &
    FORWARDER=$!
    trap 'kill "$FORWARDER" 2>/dev/null || true' EXIT
    for ((tries = 0; tries < 100; tries++)); do
        line=$(sed -n 's/^Forwarding from 127.0.0.1:\([0-9]*\) .*/\1/p' "$log")
        [[ -z "$line" ]] || break
        kill -0 "$FORWARDER" 2>/dev/null || break
        sleep 0.1
    done
    if [[ -z "$line" ]]; then
        cat "$log" >&2
        fail "kubectl port-forward to Service $NAME-api did not work: see above."
    fi
    rm -f "$log"
    AGENTFS_URL=http://127.0.0.1:$line
}

# open_memory: where the Service and its key are, for the requests that follow.
open_memory() {
    forward_port
    printf '$ kubectl port-forward -n %s service/%s-api %s:8787 &\n' "$NAMESPACE" "$NAME" "${AGENTFS_URL##*:}"
    printf '$ export AGENTFS_URL=%s\n' "$AGENTFS_URL"
    printf '$ export AGENTFS_API_KEY=$(kubectl get secret %s-admin-key -n %s -o jsonpath='\''{.data.key}'\'' | base64 -d)\n' "$NAME" "$NAMESPACE"
    AGENTFS_API_KEY=$(kubectl get secret "$NAME-admin-key" -n "$NAMESPACE" -o jsonpath='{.data.key}' | base64 -d)
}

# put_memory MEANING: puts the memory and reads it; where MEANING is yes, also finds it by what it means.
put_memory() {
    request /v1/put '{"agent_id":"ada","path":"/notes/lunch","value":"Ada is allergic to peanuts","searchable":true}' '"ok":true'
    request /v1/get '{"agent_id":"ada","path":"/notes/lunch"}' '"value":"Ada is allergic to peanuts"'
    [[ "$1" == yes ]] || return 0
    until_embedded
    request /v1/search '{"agent_id":"ada","query":"food she must not eat"}' '"similarity":'
}

# until_embedded: a worker makes the embedding of what was put a moment later.
until_embedded() {
    local tries
    for ((tries = 0; tries < 120; tries++)); do
        ! curl --silent --max-time 10 "$AGENTFS_URL/v1/search" -H @<(printf 'Authorization: Bearer %s' "$AGENTFS_API_KEY") \
            -H 'Content-Type: application/json' --data '{"agent_id":"ada","query":"food she must not eat"}' |
            grep --quiet '/notes/lunch' || return 0
        sleep 0.5
    done
    explain_pods "$NAMESPACE"
    fail "no worker made the embedding of what was put within a minute: see above."
}

# delete_memory: lists it, deletes it, and sees that it is gone.
delete_memory() {
    request /v1/list '{"agent_id":"ada","prefix":"/notes"}' '"/notes/lunch"'
    request /v1/delete '{"agent_id":"ada","path":"/notes/lunch"}' '"deleted":true'
    request /v1/get '{"agent_id":"ada","path":"/notes/lunch"}' '"found":false'
}

close_memory() {
    kill "$FORWARDER"
    trap - EXIT
}
