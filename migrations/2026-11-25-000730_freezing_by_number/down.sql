ALTER TABLE campaigns DROP COLUMN prepared_number;
