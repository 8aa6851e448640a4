-- Mobile numbers of Brazil and Mexico have an old and a new way to be written, and Meta uses either: from now
-- on the product knows the new one only (`WaId`), so that a person has one row by the key that is there.
-- Whoever has two rows already keeps both; POST /v1/contacts/merge makes them one.
WITH written AS (
    SELECT id, workspace_id, CASE
        WHEN wa_id ~ '^55\d\d[6-9]\d{7}$' THEN overlay(wa_id PLACING '9' FROM 5 FOR 0)
        WHEN wa_id ~ '^521\d{10}$' THEN overlay(wa_id PLACING '' FROM 3 FOR 1)
    END AS wa_id
    FROM contacts WHERE wa_id LIKE '55%' OR wa_id LIKE '521%'
)
UPDATE contacts c SET wa_id = w.wa_id FROM written w
WHERE c.id = w.id AND w.wa_id IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM contacts o WHERE o.workspace_id = w.workspace_id AND o.wa_id = w.wa_id);
