-- Run by the entrypoint at every start, before the server listens on the network: the role with the password
-- of the mounted file, its database, and the vector extension. The password passes through
-- psql's variables only, and terse messages quote no statement.
\set ON_ERROR_STOP on
\set VERBOSITY terse
\getenv role POSTGRES_USER
\getenv database POSTGRES_DB
\set password `cat "$POSTGRES_PASSWORD_FILE"`

SELECT format('CREATE ROLE %I', :'role')
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
ALTER ROLE :"role" LOGIN PASSWORD :'password';

SELECT format('CREATE DATABASE %I OWNER %I', :'database', :'role')
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec

\connect :"database"
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS vector;
