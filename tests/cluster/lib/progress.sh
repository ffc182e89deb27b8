# shellcheck shell=bash
# What the scripts print: one line a step with its seconds on stdout, one sentence on failure on stderr.

# fail SENTENCE...: says what is wrong and what to do, and ends the script.
fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# note TEXT: a line without a time.
note() {
    printf '%s\n' "$*"
}

# begin: starts the clock of the next step.
begin() {
    STEP_BEGAN=$(date +%s%N)
}

# done_with WHAT [DETAIL]: prints the step that began last and the seconds it took.
done_with() {
    local tenths=$((($(date +%s%N) - STEP_BEGAN) / 100000000))
    printf '%-34s %-22s %4d.%d s\n' "$1" "${2:-}" $((tenths / 10)) $((tenths % 10))
}
