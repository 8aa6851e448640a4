//! The run's own database, and what is counted in it.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use futures_util::SinkExt as _;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_postgres::{Client, NoTls};
use url::Url;

/// A database that is made for one run of the program.
pub(crate) struct Database {
    admin: Client,
    client: Client,
    name: String,
    url: Url,
    _sessions: JoinSet<Result<(), tokio_postgres::Error>>,
}

impl Database {
    pub(crate) async fn create(admin_url: &str, name: &str) -> anyhow::Result<Self> {
        let mut sessions = JoinSet::new();
        let mut url: Url = admin_url.parse().context("the database's URL")?;
        let admin = connect(&url, &mut sessions).await?;
        admin.batch_execute(&format!("CREATE DATABASE {name}")).await?;
        url.set_path(name);
        let client = connect(&url, &mut sessions).await?;
        Ok(Self { admin, client, name: name.to_owned(), url, _sessions: sessions })
    }

    pub(crate) const fn url(&self) -> &Url {
        &self.url
    }

    /// A query of one `bigint`.
    pub(crate) async fn count(&self, sql: &str) -> anyhow::Result<u64> {
        let row = self.client.query_one(sql, &[]).await.with_context(|| sql.to_owned())?;
        Ok(u64::try_from(row.try_get::<_, i64>(0)?)?)
    }

    /// A query of one `text`.
    pub(crate) async fn text(&self, sql: &str) -> anyhow::Result<String> {
        let row = self.client.query_one(sql, &[]).await.with_context(|| sql.to_owned())?;
        Ok(row.try_get(0)?)
    }

    /// Events that have taken effect since `moment`, as PostgreSQL writes it. The index on age
    /// makes this cheap while the program measures.
    pub(crate) async fn taken_since(&self, moment: &str) -> anyhow::Result<u64> {
        let sql = format!("SELECT count(*) FROM inbound_ledger WHERE seen_at >= '{moment}'");
        self.count(&sql).await
    }

    pub(crate) async fn messages(&self) -> anyhow::Result<u64> {
        self.count("SELECT count(*) FROM messages WHERE direction = 'inbound'").await
    }

    /// How many inbound messages are there more than once.
    pub(crate) async fn doubled(&self) -> anyhow::Result<u64> {
        let sql =
            "SELECT count(*) - count(DISTINCT wamid) FROM messages WHERE direction = 'inbound'";
        self.count(sql).await
    }

    /// Sees that there are `count` people with this tag.
    pub(crate) async fn people(&self, tag: &str, count: usize) -> anyhow::Result<()> {
        let sql = format!(
            "INSERT INTO contacts AS c \
                (id, workspace_id, wa_id, name, source, tags, created_at, updated_at) \
             SELECT gen_random_uuid(), w.id, '49160' || lpad(n::text, 8, '0'), 'Lena ' || n, \
                'import', ARRAY['{tag}'], now(), now() \
             FROM workspaces w, generate_series(1, {count}) AS n \
             ON CONFLICT (workspace_id, wa_id) DO UPDATE SET tags = c.tags || EXCLUDED.tags; \
             VACUUM ANALYZE contacts"
        );
        for statement in sql.split("; ") {
            self.client.batch_execute(statement).await?;
        }
        Ok(())
    }

    /// Makes `count` people as a large workspace has them: 40 first and 2,000 last names, tags and cities of which
    /// some are rare, all sources, some who opted out, made over the two years until 2025.
    pub(crate) async fn crowd(&self, count: u64) -> anyhow::Result<()> {
        let first = "'Anna','Berta','Clara','David','Emil','Friedrich','Greta','Hans','Ida','Jakob','Karl','Lena',\
                     'Moritz','Nora','Otto','Paula','Quirin','Rosa','Stefan','Thea','Ulrich','Vera','Willi','Xaver',\
                     'Yvonne','Zoe','Aylin','Bilal','Chiara','Diego','Elif','Fatima','Giulia','Hassan','Ines','Jamal',\
                     'Kofi','Leila','Mateo','Ngozi'";
        let sql = format!(
            "INSERT INTO contacts (id, workspace_id, wa_id, name, source, tags, attributes, opted_out_at, \
                created_at, updated_at) \
             SELECT gen_random_uuid(), w.id, '49160' || lpad(n::text, 8, '0'), \
                (ARRAY[{first}])[1 + n % 40] || ' Name' || (n * 7919 % 2000), \
                CASE WHEN n % 10000 = 0 THEN 'template_send' WHEN n % 10 = 0 THEN 'webhook' \
                    WHEN n % 100 = 1 THEN 'api' ELSE 'import' END, \
                CASE WHEN n % 3 = 0 THEN ARRAY['customer'] ELSE '{{}}' END \
                    || CASE WHEN n % 10000 < 20 THEN ARRAY['rare' || n % 10000] ELSE '{{}}' END, \
                jsonb_build_object('city', 'City' || n * 31 % 500, 'orders', n % 90), \
                CASE WHEN n % 200 = 0 THEN now() END, t.made, t.made \
             FROM (SELECT id FROM workspaces LIMIT 1) w, generate_series(1, {count}) AS n, \
                LATERAL (SELECT timestamptz '2024-01-01' + n * interval '2 years' / {count} AS made) t"
        );
        self.client.batch_execute(&sql).await?;
        Ok(self.client.batch_execute("VACUUM ANALYZE contacts").await?)
    }

    /// Takes everybody away again.
    pub(crate) async fn forget_people(&self) -> anyhow::Result<()> {
        Ok(self.client.batch_execute("TRUNCATE contacts CASCADE").await?)
    }

    /// Copies people into `contacts` as fast as PostgreSQL takes them, in one transaction.
    pub(crate) async fn copy_people(&self, count: u64) -> anyhow::Result<Duration> {
        let workspace = self.text("SELECT id::text FROM workspaces LIMIT 1").await?;
        let begun = Instant::now();
        let copy = "COPY contacts (id, workspace_id, wa_id, name, source, created_at, updated_at, \
                    tags, attributes) FROM STDIN";
        let mut sink = std::pin::pin!(self.client.copy_in::<_, Bytes>(copy).await?);
        let mut lines = String::new();
        for n in 1..=count {
            let id = uuid::Uuid::now_v7();
            writeln!(
                lines,
                "{id}\t{workspace}\t49160{n:08}\tLena {n}\timport\t2026-11-30\t2026-11-30\t{{}}\t\
                 {{\"city\": \"Berlin\", \"plan\": \"gold\"}}"
            )?;
            if lines.len() > 1 << 16 || n == count {
                sink.send(Bytes::from(std::mem::take(&mut lines))).await?;
            }
        }
        sink.close().await?;
        Ok(begun.elapsed())
    }

    /// Marks every message as one that had its bot's turn, and tidies up after that.
    pub(crate) async fn play_all_turns(&self) -> anyhow::Result<()> {
        self.client.batch_execute("UPDATE conversations SET bot_sequence = last_sequence").await?;
        Ok(self.client.batch_execute("VACUUM ANALYZE conversations").await?)
    }

    pub(crate) async fn remove(self) -> anyhow::Result<()> {
        drop(self.client);
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        Ok(self.admin.batch_execute(&sql).await?)
    }
}

async fn connect(
    url: &Url,
    sessions: &mut JoinSet<Result<(), tokio_postgres::Error>>,
) -> anyhow::Result<Client> {
    let connected = tokio_postgres::connect(url.as_str(), NoTls).await;
    let (client, session) = connected.context("PostgreSQL does not answer")?;
    sessions.spawn(session);
    Ok(client)
}
