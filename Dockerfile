# The images of AgentFS: server, operator, postgres and pgbouncer. `make images` builds them: it compiles the binaries
# on the host, once for tests and images, puts them into target/images/bin, and hands over that folder with images/postgres
# and images/pgbouncer. `make images IMAGES=server-local-embeddings` builds the server that brings local embedding models,
# from target/images/model. Version and revision become labels there. Each image runs as a user other than root, and with a
# read-only root file system.

FROM docker.io/library/debian:trixie-slim AS base
LABEL org.opencontainers.image.vendor="AgentFS" \
      org.opencontainers.image.licenses="Apache-2.0"

FROM base AS operator
COPY target/images/bin/agentfs-operator /usr/local/bin/
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["agentfs-operator"]
CMD ["run"]
LABEL org.opencontainers.image.title="agentfs-operator" \
      org.opencontainers.image.description="The Kubernetes operator of AgentFS"

FROM base AS postgres
# The user comes first, so that its number is ours; the package would otherwise make a cluster while it installs.
RUN groupadd --system --gid 999 postgres \
    && useradd --system --uid 999 --gid postgres --home-dir /var/lib/postgresql --shell /bin/sh postgres \
    && mkdir -p /etc/postgresql-common \
    && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf \
    && apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        postgresql-17 postgresql-17-pgvector \
    # Who may make a database may make this extension in it: a restore needs no superuser.
    && echo 'trusted = true' >> /usr/share/postgresql/17/extension/vector.control \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
COPY images/postgres/ /etc/agentfs-postgres/
ENV PATH=/usr/lib/postgresql/17/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    PGDATA=/var/lib/postgresql/data
USER 999:999
EXPOSE 5432
STOPSIGNAL SIGINT
ENTRYPOINT ["/etc/agentfs-postgres/entrypoint"]
LABEL org.opencontainers.image.title="agentfs-postgres" \
      org.opencontainers.image.description="PostgreSQL 17 with pgvector, for the embedded database of AgentFS"

# Programs of PostgreSQL 17 for the server's image: a client's, and a server that is thrown away again to prove a backup. It needs
# no LLVM, which is larger than all the rest.
FROM postgres AS programs-17
USER 0:0
RUN mkdir -p /programs/usr/lib/postgresql/17/bin /programs/usr/lib/postgresql/17/lib /programs/usr/share/postgresql /programs/usr/share/doc \
    && cd /usr/lib/postgresql/17 \
    && cp bin/postgres bin/initdb bin/pg_dump bin/pg_restore /programs/usr/lib/postgresql/17/bin/ \
    && cp lib/*.so /programs/usr/lib/postgresql/17/lib/ \
    && rm /programs/usr/lib/postgresql/17/lib/llvmjit*.so \
    && cp -r /usr/share/postgresql/17 /programs/usr/share/postgresql/ \
    && cp -r /usr/share/doc/postgresql-17 /usr/share/doc/postgresql-client-17 /usr/share/doc/postgresql-17-pgvector /programs/usr/share/doc/

# Programs of a client of PostgreSQL 18, and the library that those of 17 use as well. Debian 14 has them, and they need no newer libc
# than that of Debian 13.
FROM base AS programs-18
# Options of apt-get, for a mirror that is kept as it was on some day.
ARG APT_OPTIONS=
RUN find /etc/apt/sources.list /etc/apt/sources.list.d -type f 2>/dev/null \
        | xargs sed -i -e 's/trixie-updates/forky/g' -e 's/\btrixie\b\([^-]\|$\)/forky\1/g' \
    && apt-get $APT_OPTIONS update \
    && mkdir -p /packages /unpacked /programs/usr/lib/postgresql/18/bin /programs/usr/local/lib /programs/usr/share/doc \
    && cd /packages && apt-get $APT_OPTIONS download postgresql-client-18 libpq5 \
    && for package in *.deb; do dpkg-deb -x "$package" /unpacked; done \
    && cd /unpacked/usr \
    && cp lib/postgresql/18/bin/pg_dump lib/postgresql/18/bin/pg_restore /programs/usr/lib/postgresql/18/bin/ \
    && cp -P lib/*/libpq.so.5* /programs/usr/local/lib/ \
    && cp -r share/doc/postgresql-client-18 share/doc/libpq5 /programs/usr/share/doc/

FROM base AS server
# A database, a store of backups and an endpoint of embeddings are spoken to by TLS. Backups are made and proven by PostgreSQL's own
# programs, of 16, 17 and 18; initdb wants its user to have a name. The packages that have these programs would bring all of Perl.
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates libgssapi-krb5-2 libicu76 libldap2 liblz4-1 libpam0g libssl3t64 libsystemd0 libxml2 libzstd1 tzdata zlib1g \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* \
    && groupadd --gid 65532 agentfs \
    && useradd --uid 65532 --gid agentfs --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin agentfs
COPY --from=programs-17 /programs/ /
COPY --from=programs-18 /programs/ /
# Servers of 16 and 18: images/build takes them from the package that scripts/pgserver has.
COPY target/images/postgres/ /usr/lib/
RUN ldconfig \
    && for program in 16/bin/postgres 17/bin/postgres 18/bin/postgres 16/bin/initdb 17/bin/initdb 18/bin/initdb \
        17/bin/pg_dump 18/bin/pg_dump 17/bin/pg_restore 18/bin/pg_restore; do \
        "/usr/lib/postgresql/$program" --version || exit 1; \
    done
COPY target/images/bin/agentfs-server /usr/local/bin/
USER 65532:65532
EXPOSE 8787 8788
ENTRYPOINT ["agentfs-server"]
CMD ["serve"]
LABEL org.opencontainers.image.title="agentfs-server" \
      org.opencontainers.image.description="The HTTP API of AgentFS, its workers, migrations and backups"

FROM server AS server-local-embeddings
# Used where EMBEDDING_MODEL_DIR names the folder, as the operator does for `embeddings: {local: {}}`: a server that has a model and no
# workers would wait for embeddings that nobody makes.
COPY target/images/model/ /usr/share/agentfs/model/
LABEL org.opencontainers.image.title="agentfs-server-local-embeddings" \
      org.opencontainers.image.description="The server of AgentFS with local embedding models"

FROM base AS pgbouncer
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates pgbouncer \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
COPY images/pgbouncer/ /usr/local/lib/agentfs-pgbouncer/
USER 65532:65532
EXPOSE 6432
# SIGINT lets transactions under way end, then closes all connections. SIGTERM would wait for clients, which never leave.
STOPSIGNAL SIGINT
ENTRYPOINT ["/usr/local/lib/agentfs-pgbouncer/entrypoint"]
CMD ["/etc/agentfs-pgbouncer/pgbouncer.ini"]
LABEL org.opencontainers.image.title="agentfs-pgbouncer" \
      org.opencontainers.image.description="PgBouncer, the connection pool of AgentFS"
