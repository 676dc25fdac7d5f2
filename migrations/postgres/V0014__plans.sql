-- Where the planner takes a table for empty, all indexes that could find a row cost the same to it, and it takes the newest.
-- That has to be the one that finds it by its number, and not one that would be read from end to end.
ALTER TABLE queue DROP CONSTRAINT queue_pkey, ADD PRIMARY KEY (no, organization_id);

-- They come compressed.
ALTER TABLE delivery_bodies ALTER COLUMN body SET STORAGE EXTERNAL;
