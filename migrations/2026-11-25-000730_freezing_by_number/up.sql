-- An audience's numbers are frozen in their order before its contacts are: the last number that was.
ALTER TABLE campaigns ADD COLUMN prepared_number text;
