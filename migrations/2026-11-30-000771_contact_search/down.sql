DROP INDEX contacts_by_name;
DROP INDEX contacts_by_attribute;
DROP INDEX contacts_opted_out;
DROP INDEX contacts_by_source;
DROP INDEX contacts_by_age;
