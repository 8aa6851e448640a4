DROP TABLE contact_import_rejects;
DROP TABLE contact_imports;
