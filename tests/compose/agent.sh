# shellcheck shell=bash
# An agent of the API, for the tests: puts, gets, loads. API_KEY is its key.

call() {
    local route=$1 body=$2
    shift 2
    curl --noproxy '*' -s --max-time 30 "http://localhost:$AGENTFS_API_PORT$route" -H "Authorization: Bearer $API_KEY" \
        -H 'Content-Type: application/json' -d "$body" "$@"
}

put() {
    call /v1/put "{\"agent_id\":\"ada\",\"path\":\"$1\",\"value\":\"$1\"}" "${@:2}"
}

# holds PATH: it is there with the value that put gave it.
holds() {
    [[ $(call /v1/get "{\"agent_id\":\"ada\",\"path\":\"$1\"}") == "{\"found\":true,\"value\":\"$1\""* ]]
}

healthy() {
    [[ $(curl --noproxy '*' -s --max-time 5 "http://localhost:$AGENTFS_API_PORT/healthz") == '{"ok":true}' ]]
}

# wait_for SECONDS COMMAND...
wait_for() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.3
    done
}

# write_many NAME COUNT: puts one after the other; each path, the status of its answer and the answer on a line.
write_many() {
    local n path answer
    for ((n = 0; n < $2; n++)); do
        path=/load/$1/$n
        answer=$(put "$path" -w '\n%{http_code}') || true
        printf '%s %s %s\n' "$path" "${answer##*$'\n'}" "${answer%$'\n'*}"
    done
}
