# shellcheck shell=bash
# Which program builds images here, and the few things that differ between docker, podman and buildah.
# To be sourced after tests/cluster/lib/packages.sh. Everything that builds, keeps or copies an image goes through these functions.
# AGENTFS_IMAGE_BUILDER=docker|podman|buildah names one; otherwise the first that works is taken.

# image_builder_works NAME: the program is there and can do its work (a docker client alone cannot).
image_builder_works() {
    case "$1" in
        docker | podman) command -v "$1" >/dev/null && timeout 20 "$1" info >/dev/null 2>&1 ;;
        buildah) command -v buildah >/dev/null ;;
        *) return 1 ;;
    esac
}

# image_builder: prints docker, podman or buildah; installs buildah where none is there and apt can do it.
image_builder() {
    local name
    if [[ -n "${AGENTFS_IMAGE_BUILDER:-}" ]]; then
        if ! image_builder_works "$AGENTFS_IMAGE_BUILDER"; then
            echo "AGENTFS_IMAGE_BUILDER=$AGENTFS_IMAGE_BUILDER does not work here: name docker, podman or buildah, and see that it runs." >&2
            return 1
        fi
        echo "$AGENTFS_IMAGE_BUILDER"
        return
    fi
    for name in docker podman buildah; do
        if image_builder_works "$name"; then
            echo "$name"
            return
        fi
    done
    if [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null; then
        echo "No docker, podman or buildah works here: installing buildah" >&2
        need buildah=buildah >&2
        echo buildah
        return
    fi
    echo "No image builder: install docker (with its engine running), podman or buildah, then try again." >&2
    return 1
}

# image_tool BUILDER ARGUMENT...: runs the builder with the flags that it needs everywhere.
image_tool() {
    local builder=$1
    shift
    case "$builder" in
        buildah) buildah --storage-driver overlay "$@" ;;
        *) "$builder" "$@" ;;
    esac
}

# image_present BUILDER IMAGE: the image is in the builder's storage.
image_present() {
    case "$1" in
        docker) docker image inspect "$2" >/dev/null 2>&1 ;;
        *) image_tool "$1" inspect --type image "$2" >/dev/null 2>&1 ;;
    esac
}

# image_save BUILDER IMAGE FILE: writes the image as an archive that `docker load` and `ctr images import` read.
image_save() {
    rm -f "$3"
    case "$1" in
        docker) docker save -o "$3" "$2" ;;
        podman) podman save --quiet --format docker-archive -o "$3" "$2" ;;
        buildah) image_tool buildah push --quiet "$2" "docker-archive:$3:$2" ;;
    esac
}
