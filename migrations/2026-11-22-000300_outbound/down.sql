DROP TABLE status_pipeline;
DROP TABLE parked_statuses;
DROP TABLE duplicate_incidents;
DROP TABLE send_attempts;
DROP TABLE outbound_messages;
