# shellcheck shell=bash
# What the demo shows while it waits, and what it says when the wait was in vain. Sourced by demo/up.

# shown COMMAND...: prints the command as one would type it, then runs it.
shown() {
    printf '$ %s\n' "$*"
    "$@"
}

# conditions: one line a condition: type, status, reason, message. Nothing while the operator has not seen the newest spec.
conditions() {
    kubectl get agentfs "$NAME" -n "$NAMESPACE" -o go-template='
{{- if .status }}{{ if eq .metadata.generation .status.observedGeneration }}
{{- range .status.conditions }}{{ printf "%s\t%s\t%s\t%s\n" .type .status .reason .message }}{{ end }}
{{- end }}{{ end }}'
}

# wait_until_ready SECONDS: prints each condition when it changes, until Ready is True.
wait_until_ready() {
    local began=$SECONDS now before="" line
    while true; do
        now=$(conditions) || now=$before
        while IFS= read -r line; do
            [[ -n "$line" ]] || continue
            grep --quiet --fixed-strings --line-regexp -- "$line" <<<"$before" || show_condition $((SECONDS - began)) "$line"
        done <<<"$now"
        before=$now
        ! grep --quiet $'^Ready\tTrue\t' <<<"$now" || return 0
        if ((SECONDS - began > $1)); then
            kubectl describe agentfs "$NAME" -n "$NAMESPACE" >&2 || true
            explain_pods "$NAMESPACE"
            kubectl logs -n "$OPERATOR_NAMESPACE" "deployment/$RELEASE" --tail=5 >&2 || true
            fail "AgentFS $NAME is not Ready after $1 s: its conditions, its pods and the operator's last lines are above."
        fi
        sleep 0.5
    done
}

show_condition() {
    local type status reason message
    IFS=$'\t' read -r type status reason message <<<"$2"
    printf '%5d s  %-18s %-8s %-22s %s\n' "$1" "$type" "$status" "$reason" "$message"
}

# explain_pods NAMESPACE: the pods, their warnings, and the last lines of those that are not ready.
explain_pods() {
    local pod ready phase
    {
        kubectl get pods -n "$1" -o wide
        kubectl get events -n "$1" --field-selector type=Warning --sort-by=.lastTimestamp | tail -n 15
        while read -r pod phase ready; do
            [[ "$ready" != True && "$phase" != Succeeded ]] || continue
            echo "--- last lines of pod $pod"
            kubectl logs -n "$1" "$pod" --all-containers --tail=15 --previous 2>/dev/null || true
            kubectl logs -n "$1" "$pod" --all-containers --tail=15 || true
        done < <(kubectl get pods -n "$1" -o jsonpath='{range .items[*]}{.metadata.name} {.status.phase} {.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}')
    } >&2
}
