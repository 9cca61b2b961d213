-- The roles of the database: newsstand_owner owns the schema, newsstand_service reads and writes rows. Neither is a superuser.
-- `newsstand migrate` grants the second what it needs, as the first.
--
-- docker-compose.yml runs this script when it creates the database. Elsewhere, with both passwords in the environment:
--   psql --set ON_ERROR_STOP=1 --file deploy/postgres/roles.sql <URL of the empty database, as a superuser>
\getenv owner_password POSTGRES_OWNER_PASSWORD
\getenv service_password POSTGRES_SERVICE_PASSWORD
BEGIN;
CREATE ROLE newsstand_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE newsstand_service LOGIN PASSWORD :'service_password';
SELECT format('ALTER DATABASE %I OWNER TO newsstand_owner', current_database()),
       format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database()),
       format('GRANT CONNECT ON DATABASE %I TO newsstand_service', current_database())
\gexec
-- What a transaction pooler can't pass on (see the deployment guide). Without one, it has no effect.
ALTER ROLE newsstand_service SET idle_in_transaction_session_timeout = '30s';
ALTER ROLE newsstand_service SET lock_timeout = '10s';
ALTER ROLE newsstand_service SET statement_timeout = '5min';
COMMIT;
