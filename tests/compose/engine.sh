# shellcheck shell=bash
# `docker compose`, or podman-compose under that name, on a project and files of this test alone. Sourced after place.sh,
# progress.sh, packages.sh, pypi.sh and images/builder.sh; $work is a folder of the test's own.

# What merges compose.prod.yaml; Debian 12 has an earlier one.
PODMAN_COMPOSE_VERSION=1.6.0

# find_engine: sets engine (docker or podman) and, for podman, podman_compose.
find_engine() {
    if image_builder_works docker && command docker compose version >/dev/null 2>&1; then
        engine=docker
        return
    fi
    engine=podman
    need podman=podman
    podman_compose=$(pypi_program podman-compose "$PODMAN_COMPOSE_VERSION") || exit 1
    [[ -n ${CONTAINERS_CONF:-} ]] || configure_podman
    podman info >/dev/null || fail "podman does not work here; its reason is above."
}

# Names of containers are answered by netavark's name server; and podman asks for more open files and processes than the limits
# allow of a machine that is itself a container.
configure_podman() {
    local folder
    for folder in /usr/lib/podman /usr/libexec/podman; do
        [[ ! -x $folder/netavark || ! -x $folder/aardvark-dns ]] || break
    done
    need "$folder/netavark=netavark" "$folder/aardvark-dns=aardvark-dns"
    cat >"$work/containers.conf" <<END
[containers]
default_ulimits = ["nofile=8192:8192", "nproc=8192:8192"]
[network]
network_backend = "netavark"
END
    export CONTAINERS_CONF=$work/containers.conf
}

# docker ARGUMENT...: what users type. podman-compose says on its outputs what it does, and knows no services in `ps`.
docker() {
    if [[ $engine == docker ]]; then
        command docker "$@"
    elif [[ $1 == compose && $2 == ps ]]; then
        "$podman_compose" ps 2>/dev/null
    elif [[ $1 == compose ]]; then
        shift
        "$podman_compose" "$@" 2> >(grep -v -e systemd -e syslog >&2)
    else
        podman "$@" 2> >(grep -v -e systemd -e syslog >&2)
    fi
}

# containers SERVICE: the containers of it that run.
containers() {
    docker ps --quiet --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" \
        --filter "label=com.docker.compose.service=$1"
}

# need_nginx: the load balancer's image, pulled, or where no registry answers built from Debian's packages.
need_nginx() {
    local image=docker.io/library/nginx:stable
    ! image_present "$engine" "$image" || return 0
    begin
    if ! timeout 90 "$engine" pull --quiet "$image" >/dev/null 2>&1; then
        AGENTFS_IMAGE_BUILDER=$engine tests/cluster/base-image
        "$engine" build --quiet --tag "$image" - >/dev/null <<'END'
FROM docker.io/library/debian:trixie-slim
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends nginx-light \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
END
    fi
    done_with "nginx"
}

# free_port: one of 127.0.0.1 that nobody listens on.
free_port() {
    local port
    for _ in {1..50}; do
        port=$((20000 + RANDOM % 10000))
        if ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    fail "no free port between 20000 and 30000."
}

# remove_all: containers, volumes and network of this project; says what is left.
remove_all() {
    local left what=(--quiet --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME")
    COMPOSE_FILE=$work/compose.yaml:$work/compose.prod.yaml docker compose down -v >/dev/null 2>&1 || true
    left=$("$engine" ps -a "${what[@]}" && "$engine" volume ls "${what[@]}" && "$engine" network ls "${what[@]}")
    [[ -z $left ]] || fail "left behind of $COMPOSE_PROJECT_NAME: $left; remove it with $engine rm, volume rm and network rm."
}
