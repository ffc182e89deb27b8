# shellcheck shell=bash
# Images of one file each (FROM scratch) for the cluster's own pods, as archives in the cache. They need no image
# builder: such an archive is a tar of the layer and two small JSON files. Sourced after place.sh and progress.sh.

# Name, version and user of each image.
cluster_images() {
    printf '%s\n' "pause 1 65535" "volume 1 0" "coredns $COREDNS_VERSION 65532" \
        "metrics-server $METRICS_SERVER_VERSION 65532" "local-path-provisioner $LOCAL_PATH_VERSION 65532"
}

# make_archives: each image as ARCHIVES/NAME.tar; what is there stays.
make_archives() {
    local name version user
    mkdir -p "$ARCHIVES"
    while read -r name version user; do
        [[ -s $ARCHIVES/$name.tar ]] || make_archive "$name" "$version" "$user"
    done < <(cluster_images)
}

make_archive() {
    local name=$1 version=$2 user=$3 work layer machine
    begin
    work=$(mktemp -d "$ARCHIVES/$name.XXXXXX")
    tar -C "$BINARIES" --owner=0 --group=0 --mtime=@0 -cf "$work/layer.tar" "$name"
    layer=$(sha256sum <"$work/layer.tar" | cut -d' ' -f1)
    machine=$(uname -m)
    case $machine in x86_64) machine=amd64 ;; aarch64) machine=arm64 ;; esac
    printf '{"architecture":"%s","os":"linux","config":{"Entrypoint":["/%s"],"User":"%s:%s"},' \
        "$machine" "$name" "$user" "$user" >"$work/config.json"
    printf '"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}\n' "$layer" >>"$work/config.json"
    printf '[{"Config":"config.json","RepoTags":["localhost/%s:%s"],"Layers":["layer.tar"]}]\n' \
        "$name" "$version" >"$work/manifest.json"
    tar -C "$work" -cf "$work/image.tar" manifest.json config.json layer.tar
    mv "$work/image.tar" "$ARCHIVES/$name.tar"
    rm -r "$work"
    done_with "made image $name" "$version"
}
