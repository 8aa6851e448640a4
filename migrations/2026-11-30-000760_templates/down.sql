DROP TABLE template_schedules;
DROP TABLE template_news;
DROP TABLE template_sync_items;
DROP TABLE template_syncs;
DROP TABLE templates;
DROP TABLE template_accounts;
