# shellcheck shell=bash
# The cgroups of the cluster: one folder of its name in each hierarchy, and all of the pods' below it.
# Sourced after place.sh and progress.sh.

# cgroup_roots: the mounted hierarchies; one with version 2, one a controller with version 1.
cgroup_roots() {
    awk '$3 == "cgroup" || $3 == "cgroup2" {print $2}' /proc/mounts
}

make_cgroups() {
    local root
    while read -r root; do
        mkdir -p "$root/$CLUSTER_NAME"
    done < <(cgroup_roots)
    root=/sys/fs/cgroup
    if [[ -e $root/cgroup.controllers ]]; then
        # Version 2: a controller reaches a child only when its parent passes it on.
        local controller
        for controller in $(<$root/cgroup.controllers); do
            echo "+$controller" >$root/cgroup.subtree_control 2>/dev/null || true
            echo "+$controller" >"$root/$CLUSTER_NAME/cgroup.subtree_control" 2>/dev/null || true
        done
    fi
}

# remove_cgroups: for a moment after a process's end its cgroup is still busy, hence the repetition.
remove_cgroups() {
    local root
    for _ in {1..50}; do
        while read -r root; do
            [[ ! -d $root/$CLUSTER_NAME ]] ||
                find "$root/$CLUSTER_NAME" -depth -type d -exec rmdir {} \; 2>/dev/null || true
        done < <(cgroup_roots)
        [[ -n $(left_cgroups) ]] || return 0
        sleep 0.1
    done
    return 1
}

left_cgroups() {
    local root
    while read -r root; do
        [[ ! -d $root/$CLUSTER_NAME ]] || printf '%s\n' "$root/$CLUSTER_NAME"
    done < <(cgroup_roots)
}
