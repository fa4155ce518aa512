-- Records which version the schema has, when its tables and its functions are there. Functions of release 0.1, which are
-- older than versions, and those made for version 1 work with it as well.
--
-- A new version is a new row here: with the lowest version whose functions still work on it as `compatible_from`.
INSERT INTO campaign_schema (version, compatible_from) VALUES (6, 1)
ON CONFLICT (version) DO UPDATE SET compatible_from = excluded.compatible_from;
