# The images of AgentFS: server, operator, postgres and pgbouncer. `make images` builds them: it compiles the binaries
# on the host, once for tests and images, puts them into target/images/bin, and hands over that folder with images/postgres
# and images/pgbouncer. `make images IMAGES=server-local-embeddings` builds the server that brings the local embedding model,
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

FROM base AS server
# A database and an endpoint of embeddings are spoken to by TLS. Backups are made by PostgreSQL's own programs: two of them and
# their library are 6 MB; the package that has them would bring all of Perl besides.
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates libpq5 liblz4-1 libzstd1 zlib1g \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
COPY --from=postgres /usr/lib/postgresql/17/bin/pg_dump /usr/lib/postgresql/17/bin/pg_restore /usr/local/bin/
COPY target/images/bin/agentfs-server /usr/local/bin/
USER 65532:65532
EXPOSE 8787 8788
ENTRYPOINT ["agentfs-server"]
CMD ["serve"]
LABEL org.opencontainers.image.title="agentfs-server" \
      org.opencontainers.image.description="The HTTP API of AgentFS, its workers, migrations and backups"

FROM server AS server-local-embeddings
# Used where EMBEDDING_MODEL_DIR names it, as the operator does for `embeddings: {local: {}}`: a server that has a model and no
# workers would wait for embeddings that nobody makes.
COPY target/images/model/ /usr/share/agentfs/model/
LABEL org.opencontainers.image.title="agentfs-server-local-embeddings" \
      org.opencontainers.image.description="The server of AgentFS with a local embedding model"

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
