DROP INDEX send_attempts_by_message;
DROP INDEX events_by_message;
DROP INDEX outbound_bad;
DROP INDEX messages_by_workspace;
DROP TABLE message_requests;
DROP TABLE idempotency_keys;
