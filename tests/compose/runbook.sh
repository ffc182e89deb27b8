# shellcheck shell=bash
# The chapters of the operations runbook, each command as it stands there. Only the ports are other ones, and the folder of the
# backups. Sourced by run.

# typed: runs what is on standard input as somebody would who types it: without pipefail, since `head` may end before what it
# reads does. Its errors are shown when it fails.
typed() {
    sed -e "s/localhost:8787/localhost:$AGENTFS_API_PORT/g" -e "s/localhost:5432/localhost:$AGENTFS_DB_PORT/g" \
        -e "s/PGPORT=5432/PGPORT=$AGENTFS_DB_PORT/" -e "s/-p 5432/-p $AGENTFS_DB_PORT/" \
        -e "s|/var/backups/agentfs|$work/backups|" -e "s|/opt/agentfs|$work|" -e "s|/var/log|$work|" >"$work/typed"
    (cd "$work" && bash -eu "$work/typed" 2>"$work/errors") || { cat "$work/errors" >&2; return 1; }
}

full_backup() {
    typed <<'END'
pg_dump -Fc -f "backup_$(date +%Y%m%d_%H%M%S).dump"
sleep 1
pg_dump -Fc "postgresql://agentfs:agentfs@localhost:5432/agentfs" \
  -f "backup_$(date +%Y%m%d_%H%M%S).dump"
[ "$(ls backup_2*.dump | wc -l)" = 2 ]
END
}

backup_of_tables() {
    typed <<'END'
pg_dump -Fc -t tenants -t api_keys -t entries -t entry_versions \
  -f "backup_entries_$(date +%Y%m%d_%H%M%S).dump"
[ "$(pg_restore -l backup_entries_*.dump | grep -c 'TABLE DATA')" = 4 ]
END
}

backup_script() {
    cat >"$work/backup.sh" <<'END'
#!/bin/bash
set -euo pipefail

BACKUP_DIR="/var/backups/agentfs"
RETENTION_DAYS=30
DATABASE_URL="${DATABASE_URL:-postgresql://agentfs:agentfs@localhost:5432/agentfs}"

mkdir -p "$BACKUP_DIR"

# Create backup
BACKUP_FILE="$BACKUP_DIR/agentfs_$(date +%Y%m%d_%H%M%S).dump"
pg_dump -Fc "$DATABASE_URL" -f "$BACKUP_FILE"

# Verify backup is not empty
if [ ! -s "$BACKUP_FILE" ]; then
  echo "ERROR: Backup file is empty"
  exit 1
fi

# Remove old backups
find "$BACKUP_DIR" -name "agentfs_*.dump" -mtime +$RETENTION_DAYS -delete

echo "Backup complete: $BACKUP_FILE"
END
    sed -i -e "s|/var/backups/agentfs|$work/backups|" -e "s/localhost:5432/localhost:$AGENTFS_DB_PORT/" "$work/backup.sh"
    chmod +x "$work/backup.sh"
    mkdir -p "$work/backups"
    touch -d '40 days ago' "$work/backups/agentfs_20250101_020000.dump"
    typed <<'END'
/opt/agentfs/backup.sh >> /var/log/agentfs-backup.log 2>&1
END
    grep -q '^Backup complete: .*/agentfs_[0-9_]*\.dump$' "$work/agentfs-backup.log"
    [[ ! -e $work/backups/agentfs_20250101_020000.dump ]]
}

# What replaces the script: past the pool, with PostgreSQL's own programs.
backup_command() {
    DATABASE_URL=postgresql://agentfs:agentfs@localhost:$AGENTFS_DB_PORT/agentfs \
        "$server" backup --dir "$work/catalogue" --retention-days 30 --keep-last 3 |
        grep '^Backup complete: .*/agentfs_[0-9_]*\.dump '
}

full_restore() {
    put /restore/before >/dev/null
    pg_dump -Fc -f "$work/backup_20260128_120000.dump"
    put /restore/after >/dev/null
    typed <<'END'
# Stop the API server first
docker compose stop api

# Restore from backup (drops and recreates)
pg_restore -d agentfs --clean --if-exists backup_20260128_120000.dump

# Or create a new database from backup
createdb agentfs_restored
pg_restore -d agentfs_restored backup_20260128_120000.dump

# Restart the API server
docker compose start api
END
    wait_for 60 healthy || fail "after the restore the API is not healthy."
    wait_for 30 holds /restore/before || fail "what was in the backup is not there."
    ! holds /restore/after || fail "what was not in the backup is there."
    [[ $(psql -d agentfs_restored -Atc "SELECT count(*) FROM entries WHERE path = '/restore/before'") == 1 ]]
    dropdb agentfs_restored
}

verify_restore() {
    typed <<'END' >"$work/verified"
psql -At -d agentfs <<'SQL'
SELECT 'tenants' as table_name, COUNT(*) FROM tenants
UNION ALL SELECT 'api_keys', COUNT(*) FROM api_keys
UNION ALL SELECT 'entries', COUNT(*) FROM entries
UNION ALL SELECT 'entry_versions', COUNT(*) FROM entry_versions
UNION ALL SELECT 'embeddings', COUNT(*) FROM embeddings;

SELECT COUNT(*) FROM entries e
LEFT JOIN entry_versions ev ON e.latest_version_id = ev.id
WHERE ev.id IS NULL;  -- Should be 0
SQL
curl http://localhost:8787/healthz
END
    grep -qE '^entries\|[1-9]' "$work/verified"
    [[ $(tail -n 2 "$work/verified") == $'0\n{"ok":true}' ]]
}

drill() {
    typed <<'END' >"$work/drill"
curl -X POST http://localhost:8787/v1/put \
  -H "Authorization: Bearer $API_KEY" \
  -H "Content-Type: application/json" \
  -d '{"agent_id":"dr-test","path":"/dr-test/marker","value":{"timestamp":"'$(date -Iseconds)'"}}'
pg_dump -Fc agentfs -f dr_test_backup.dump
pg_restore -l dr_test_backup.dump | head -20
createdb agentfs_dr_test
pg_restore -d agentfs_dr_test dr_test_backup.dump
psql -d agentfs_dr_test -c "SELECT * FROM entry_versions WHERE path = '/dr-test/marker'"
dropdb agentfs_dr_test
rm dr_test_backup.dump
END
    grep -q '"ok":true' "$work/drill"
    grep -q '^(1 row)$' "$work/drill"
}

health_checks() {
    typed <<'END' >"$work/health"
curl -f http://localhost:8787/healthz || echo "API unhealthy"
pg_isready -h localhost -p 5432 -d agentfs || echo "DB unreachable"
END
    ! grep -e unhealthy -e unreachable "$work/health"
    curl --noproxy '*' -fs "http://localhost:$AGENTFS_API_PORT/metrics" | grep -q '^agentfs_http_requests_total{.*route="/v1/put"'
}

# A put that waits for a lock is slow; the runbook's line finds it and none of the others.
log_analysis() {
    psql -qc "BEGIN; LOCK TABLE entries IN EXCLUSIVE MODE; SELECT pg_sleep(3)" >/dev/null &
    sleep 1
    put /slow >/dev/null
    wait "$!"
    typed <<'END' >"$work/slow"
docker compose logs api 2>&1 | grep "responseTime" | awk '$NF > 1000'
END
    grep -q 'route="/v1/put"' "$work/slow"
    awk '!($NF > 1000) {exit 1}' "$work/slow"
    [[ $(docker compose logs api 2>&1 | grep -c responseTime) -gt $(wc -l <"$work/slow") ]]
    # The put above failed with a warning or an error; grep ends with 1 where there is none.
    typed <<'END' >/dev/null || true
docker compose logs api 2>&1 | grep -i error
END
}

# The section [pgbouncer] of the runbook, and the number of connections.
connection_pooling() {
    local setting
    docker compose exec -T pgbouncer cat /tmp/agentfs-pgbouncer/pgbouncer.ini >"$work/pgbouncer.ini"
    for setting in 'pool_mode = transaction' 'max_client_conn = 1000' 'default_pool_size = 20'; do
        grep -qxF "$setting" "$work/pgbouncer.ini"
    done
}

troubleshooting() {
    typed <<'END' >"$work/trouble"
docker compose logs api
psql "$DATABASE_URL" -c "SELECT 1"
docker compose ps db
psql -c "SELECT count(*) FROM pg_stat_activity"
END
    grep -qE "serving on" "$work/trouble"
    grep -qE "${COMPOSE_PROJECT_NAME}[-_]db[-_]1" "$work/trouble"
}

quota() {
    local tenant
    typed <<'END' >"$work/quota"
psql -At -c "SELECT * FROM quota_usage WHERE day = CURRENT_DATE"
END
    IFS='|' read -r tenant _ <"$work/quota"
    typed <<END
psql -c "UPDATE quota_usage SET writes = 0 WHERE tenant_id = '$tenant' AND day = CURRENT_DATE" | grep -qx 'UPDATE 1'
END
}

stuck_jobs() {
    typed <<'END' >/dev/null
psql -c "SELECT status, COUNT(*) FROM embedding_jobs GROUP BY status"
psql -c "UPDATE embedding_jobs SET status = 'queued', attempts = 0 WHERE status = 'failed'"
docker compose logs worker
END
}
