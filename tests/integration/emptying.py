"""Makes a used copy of the migrated PostgreSQL database as good as a new one."""

import subprocess

from deploy.local.postgres import find_programs

_EMPTY = """
SET lock_timeout = '2s';
SET session_replication_role = replica; -- no foreign key asks for an order
DO $$
DECLARE found record;
BEGIN
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
    FOR found IN SELECT nspname FROM pg_namespace
        WHERE nspname !~ '^pg_' AND nspname NOT IN
            ('information_schema', 'public', 'ingest', 'trigger', 'scoring', 'alerting') LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', found.nspname);
    END LOOP;
    FOR found IN SELECT schemaname, tablename FROM pg_tables
        WHERE schemaname IN ('ingest', 'trigger', 'scoring', 'alerting')
        AND tablename NOT IN ('alembic_version', 'schema_compatibility') LOOP
        EXECUTE format('DELETE FROM %I.%I', found.schemaname, found.tablename);
    END LOOP;
    PERFORM setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false)
    FROM pg_sequences WHERE last_value IS NOT NULL;
END $$;
"""


def emptied(url: str) -> bool:
    """Drop what a test made and delete its rows; False when somebody still holds on to them."""
    command = [str(find_programs() / "psql"), "--no-psqlrc", "--quiet", "--dbname", url]
    done = subprocess.run(
        [*command, "--set", "ON_ERROR_STOP=1"],
        input=_EMPTY, text=True, capture_output=True, check=False,
    )  # fmt: skip
    return done.returncode == 0
