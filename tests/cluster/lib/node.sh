# shellcheck shell=bash
# Starting, finding and removing the node of this checkout. Sourced after the other files of lib/.

LINK=afs-$CHECKOUT_ID # the machine's end of the node's link (at most 15 characters)

# node_pid: the node's process 1 as the machine numbers it, or nothing. The cluster's name in its command line is its
# mark; the last number of NSpid tells it from its own children, which bear the same command line.
node_pid() {
    local pid
    for pid in $(pgrep -f "^bash .*/lib/node $CLUSTER_NAME " || true); do
        if awk '/^NSpid:/ {found = NF > 2 && $NF == 1} END {exit !found}' "/proc/$pid/status" 2>/dev/null; then
            echo "$pid"
            return
        fi
    done
}

# in_node PID COMMAND...: runs it inside, with the node's file system, network and processes.
in_node() {
    local pid=$1
    shift
    nsenter --target "$pid" --mount --net --pid --ipc --uts -- "$@"
}

# need_node_programs: what the machine must have.
need_node_programs() {
    need containerd=containerd ctr=containerd runc=runc nft=nftables ip=iproute2 openssl=openssl \
        unshare=util-linux flock=util-linux pgrep=procps mount=mount curl=curl
    network_plugins >/dev/null || need /usr/lib/cni/bridge=containernetworking-plugins
    ! command -v modprobe >/dev/null || modprobe -qa overlay br_netfilter nf_tables || true
}

# network_plugins: the folder of the CNI plugins; each distribution has its own.
network_plugins() {
    local folder
    for folder in /usr/lib/cni /usr/libexec/cni /opt/cni/bin; do
        if [[ -x $folder/bridge && -x $folder/host-local ]]; then
            echo "$folder"
            return
        fi
    done
    return 1
}

# snapshotter: overlayfs, unless the file system under STATE cannot carry it.
snapshotter() {
    local try
    try=$(mktemp -d "$STATE/overlay.XXXXXX")
    mkdir "$try"/{lower,upper,work,merged}
    if unshare --mount mount -t overlay -o "lowerdir=$try/lower,upperdir=$try/upper,workdir=$try/work" none "$try/merged" \
        2>/dev/null; then
        echo overlayfs
    else
        echo native
    fi
    rm -rf "$try"
}

# free_subnet: prints the machine's and the node's address in a free /30 of 198.19.0.0/16, a range for tests that no
# network uses (RFC 2544). The search starts at a place of this checkout's own.
free_subnet() {
    local start=$((16#${CHECKOUT_ID:0:4} % 16384)) step number prefix
    for step in {0..255}; do
        number=$(((start + step) % 16384))
        prefix=198.19.$((number / 64)).
        number=$((number % 64 * 4))
        if ! ip -4 route show to match "$prefix$((number + 2))" | grep -qv '^default'; then
            echo "$prefix$((number + 1)) $prefix$((number + 2))"
            return
        fi
    done
    fail "no free /30 in 198.19.0.0/16; look at: ip route"
}

# start_node: from an empty STATE to a running process 1 with its network.
start_node() {
    local gateway address pid
    mkdir -p "$STATE"/{lib,log,tmp,cache,lib/volumes}
    chmod 700 "$STATE" # volumes are open to every user, as pods have users of their own
    chmod 1777 "$STATE/tmp"
    ln -sfn /run "$STATE/run"
    read -r gateway address <<<"$(free_subnet)"
    make_certificates "$address"
    write_settings "$(network_plugins)" "$(snapshotter)" "$address" "$gateway"
    make_cgroups

    # A session of its own, and no open file of ours: the node outlives this script and holds none of its locks.
    setsid unshare --mount --propagation private --net --ipc --uts --pid --fork --kill-child --mount-proc \
        bash "$CLUSTER_SOURCE/lib/node" "$CLUSTER_NAME" "$STATE" "$KUBERNETES_CACHE" \
        </dev/null >"$STATE/log/node.log" 2>&1 8>&- 9>&- &
    for _ in {1..100}; do
        pid=$(node_pid)
        [[ -z $pid ]] || break
        sleep 0.05
    done
    [[ -n $pid ]] || fail "the node did not start: $(tail -n 3 "$STATE/log/node.log")"
    echo "$pid" >"$STATE/pid"
    ip link delete "$LINK" 2>/dev/null || true
    ip link add "$LINK" type veth peer name node0 netns "$pid"
    ip address add "$gateway/30" dev "$LINK"
    ip link set "$LINK" up
    install -m 600 "$STATE/lib/node/pki/admin.kubeconfig" "$CLUSTER_KUBECONFIG"
}

# stop_node: ends process 1, and the kernel all the rest with it.
stop_node() {
    local pid
    while pid=$(node_pid) && [[ -n $pid ]]; do
        kill -KILL "$pid"
        for _ in {1..300}; do
            [[ -d /proc/$pid ]] || break
            sleep 0.1
        done
        [[ ! -d /proc/$pid ]] || fail "process $pid, the node, does not end; look at /proc/$pid/stack."
    done
    ip link delete "$LINK" 2>/dev/null || true
    remove_cgroups || true
}

# left_of_node: one line for each thing that should be gone.
left_of_node() {
    local pid file
    for pid in $(pgrep -f "bash .*/lib/node $CLUSTER_NAME " || true); do
        echo "process $pid"
    done
    for file in /proc/[0-9]*/mountinfo; do
        grep -qF " $STATE" "$file" 2>/dev/null && echo "mounts below $STATE, seen in $file"
    done
    for file in /proc/[0-9]*/cgroup; do
        grep -qF "/$CLUSTER_NAME/" "$file" 2>/dev/null && echo "a process of a pod, $file"
    done
    ip link show "$LINK" >/dev/null 2>&1 && echo "link $LINK"
    left_cgroups | sed 's/^/cgroup /'
}
