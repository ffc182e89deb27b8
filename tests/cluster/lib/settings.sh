# shellcheck shell=bash
# The configuration files of the node's programs, written to SETTINGS (the node sees it as /var/lib/node).
# Sourced after place.sh; paths in the files are as the node sees them.

SETTINGS=$STATE/lib/node

# write_settings CNI-FOLDER SNAPSHOTTER ADDRESS GATEWAY
write_settings() {
    mkdir -p "$SETTINGS/cni" "$SETTINGS/sysctl"
    printf '%s\n' "$3" >"$SETTINGS/address"
    printf '%s\n' "$4" >"$SETTINGS/gateway"
    containerd_settings "$1" "$2" >"$SETTINGS/containerd.toml"
    network_settings >"$SETTINGS/cni/10-bridge.conflist"
    kubelet_settings >"$SETTINGS/kubelet.yaml"
    audit_policy >"$SETTINGS/audit.yaml"
    echo "# Pods that ask for the node's own DNS get none: the node has no way out." >"$SETTINGS/resolv.conf"
    # The kubelet demands these values of the whole machine; inside the node these files lie over the real ones.
    echo 1 >"$SETTINGS/sysctl/vm.overcommit_memory"
    echo 0 >"$SETTINGS/sysctl/vm.panic_on_oom"
    echo 10 >"$SETTINGS/sysctl/kernel.panic"
    echo 1 >"$SETTINGS/sysctl/kernel.panic_on_oops"
    echo 1000000 >"$SETTINGS/sysctl/kernel.keys.root_maxkeys"
    echo 25000000 >"$SETTINGS/sysctl/kernel.keys.root_maxbytes"
}

containerd_settings() {
    cat <<EOF
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]

[grpc]
address = "/run/containerd/containerd.sock"

[plugins."io.containerd.internal.v1.opt"]
path = "/var/lib/containerd/opt"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "localhost/pause:1"
# Without CAP_SYS_RESOURCE (root in some containers and virtual machines) a lower oom_score_adj is refused.
restrict_oom_score_adj = true
# AppArmor profiles belong to the whole machine and would stay there.
disable_apparmor = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "$1"
conf_dir = "/var/lib/node/cni"

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "$2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
EOF
}

network_settings() {
    cat <<'EOF'
{
  "cniVersion": "0.4.0",
  "name": "pods",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "cni0",
      "isGateway": true,
      "hairpinMode": true,
      "ipam": {
        "type": "host-local",
        "dataDir": "/run/cni",
        "ranges": [[{"subnet": "10.244.0.0/24"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    }
  ]
}
EOF
}

kubelet_settings() {
    cat <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: /var/lib/node/pki/ca.crt}
authorization: {mode: Webhook}
tlsCertFile: /var/lib/node/pki/kubelet.crt
tlsPrivateKeyFile: /var/lib/node/pki/kubelet.key
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
resolvConf: /var/lib/node/resolv.conf
volumePluginDir: /var/lib/kubelet/volumeplugins
cgroupDriver: cgroupfs
cgroupRoot: /$CLUSTER_NAME
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: []
# Images were brought by hand and cannot be pulled again: the kubelet must not collect them, however full the disk is.
imageGCHighThresholdPercent: 100
evictionHard:
  memory.available: 100Mi
  nodefs.available: "0%"
  nodefs.inodesFree: "0%"
  imagefs.available: "0%"
EOF
}

# One record a write, without bodies (so no Secret's content lands in it); reads are left out.
audit_policy() {
    cat <<'EOF'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  # All that the operator asks: what it is refused, and what it never uses, is looked up here.
  - level: Metadata
    userGroups: [system:serviceaccounts:agentfs-system]
  - level: None
    verbs: [get, list, watch]
  - level: Metadata
EOF
}
