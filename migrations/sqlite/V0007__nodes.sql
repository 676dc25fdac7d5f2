-- Whose attempt was in flight when a delivery ended. On a server that several nodes share, only a node that takes
-- the place of another knows that it is gone.
ALTER TABLE deliveries ADD COLUMN open_boot INTEGER;
