DROP TABLE outbox;
DROP TABLE events;
DROP TABLE webhook_records;
DROP TABLE messages;
DROP TABLE conversations;
DROP TABLE contacts;
DROP TABLE inbound_ledger;
