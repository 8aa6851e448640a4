DROP TABLE bot_turns;
DROP TABLE bot_rules;
DROP TABLE bot_connections;
DROP TABLE bots;
