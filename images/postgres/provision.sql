-- Run by the entrypoint at every start, before the server listens on the network: the role with its password, its
-- database, and the vector extension. The password passes through the environment and psql's variables only, and
-- terse messages quote no statement.
\set ON_ERROR_STOP on
\set VERBOSITY terse
\getenv role POSTGRES_USER
\getenv database POSTGRES_DB
\getenv password POSTGRES_PASSWORD

SELECT format('CREATE ROLE %I', :'role')
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
-- CREATEDB: a backup can be restored beside the live database.
ALTER ROLE :"role" LOGIN CREATEDB PASSWORD :'password';

SELECT format('CREATE DATABASE %I OWNER %I', :'database', :'role')
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec

\connect :"database"
SET client_min_messages = warning;
-- A restore asks what takes room on the volume: the databases, and the folder of WAL.
GRANT pg_monitor TO :"role";
-- The extension belongs to the role, so that `pg_restore --clean` by that role can drop and make it. In a volume of an earlier
-- version it is there and belongs to the superuser, and stays so.
SELECT format('SET ROLE %I', :'role') WHERE has_database_privilege(:'role', :'database', 'CREATE') \gexec
CREATE EXTENSION IF NOT EXISTS vector;
