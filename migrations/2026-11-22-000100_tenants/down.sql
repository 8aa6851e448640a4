DROP TABLE connections;
DROP TABLE meta_app_secrets;
DROP TABLE meta_apps;
DROP TABLE api_keys;
DROP TABLE workspaces;
