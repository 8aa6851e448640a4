DROP TABLE coordination_overrides;
DROP TABLE coordination_backends;
DROP TABLE rate_limits;
DROP TABLE distributed_locks;
