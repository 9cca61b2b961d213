-- Runs after roles.sql, which is first in the alphabet: from now on the superuser can't sign in over the network.
DO $$ BEGIN EXECUTE format('ALTER ROLE %I PASSWORD NULL', current_user); END $$;
