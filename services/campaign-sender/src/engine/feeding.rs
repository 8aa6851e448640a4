//! Hands chunks to the send ledger, each as a whole.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel_async::AsyncConnection;
use kernel::ids::{ContactId, MessageId};
use sending::Content;
use storage::AsyncPgConnection;
use storage::campaigns::counts::{self, Changes, End};
use storage::campaigns::standing::{self, Status};
use storage::conversations::{self, Grown, Growth};
use storage::messages::{self, Direction, NewMessage};
use storage::send_ledger::claim::Stream;
use storage::send_ledger::{self, NewOutbound, Source};

use super::advance::Engine;
use super::{EngineError, meters};
use crate::store::feeding::{self, Addressee, Person};
use crate::store::work::Work;
use crate::template::{Rendered, Template};

/// What came of a try to feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feeding {
    /// A chunk was fed: so many messages.
    Fed(usize),
    /// The campaign does not run any more.
    NotRunning,
    /// No chunk may be fed now.
    NoChunk,
}

/// Why one of two recipients is skipped who proved to be one person since the audience was frozen.
const DUPLICATE: &str = "duplicate";

/// Whom a chunk's messages go to, and who is skipped, why.
struct Sorted {
    fit: Vec<(Addressee, Rendered)>,
    skipped: Vec<(i32, &'static str)>,
}

impl Engine {
    /// Feeds the next chunk, if one may be fed.
    pub(super) async fn feed(
        &self,
        work: &Work,
        now: DateTime<Utc>,
    ) -> Result<Feeding, EngineError> {
        let template: Template = serde_json::from_value(work.template.clone())?;
        let fed = {
            let mut conn = self.parts.db.connection().await?;
            (*conn).transaction(async |tx| feed(tx, work, &template, now).await).await?
        };
        if let Feeding::Fed(messages) = fed {
            meters::fed(messages);
            self.parts.sender.nudge_streams([Stream {
                connection_id: work.connection,
                source: Source::Campaign,
                campaign_id: Some(work.id),
            }]);
        }
        Ok(fed)
    }
}

async fn feed(
    tx: &mut AsyncPgConnection,
    work: &Work,
    template: &Template,
    now: DateTime<Utc>,
) -> Result<Feeding, EngineError> {
    if standing::pin(tx, &[work.id]).await?.get(&work.id) != Some(&Status::Running) {
        return Ok(Feeding::NotRunning);
    }
    let Some(chunk) = feeding::next(tx, work, now).await? else { return Ok(Feeding::NoChunk) };
    let addressees = feeding::addressees(tx, work, chunk).await?;
    let Sorted { fit, mut skipped } = sort(tx, work, template, addressees, now).await?;
    let places: Vec<(MessageId, i32)> = fit.iter().map(|(who, _)| (who.id, who.n)).collect();
    let made = hand_over(tx, work, template, fit, now).await?;
    // Somebody else feeds the same person at this moment, from another chunk.
    let refused = places.into_iter().filter(|(id, _)| !made.contains(id));
    skipped.extend(refused.map(|(_, n)| (n, DUPLICATE)));
    feeding::skip(tx, work, &skipped).await?;
    feeding::fed(tx, work, chunk).await?;
    let mut changes = Changes::default();
    for (_, reason) in skipped {
        changes.ended(work.id, &End::Skipped(reason.to_owned()), 1);
    }
    counts::apply(tx, changes, now).await?;
    Ok(Feeding::Fed(made.len()))
}

/// Looks once more who may be sent to.
async fn sort(
    tx: &mut AsyncPgConnection,
    work: &Work,
    template: &Template,
    addressees: Vec<Addressee>,
    now: DateTime<Utc>,
) -> Result<Sorted, EngineError> {
    let people = feeding::keep(tx, work, &addressees).await?;
    let mut had_one = feeding::had_one(tx, work, &people).await?;
    let over_cap = match work.cap {
        Some(cap) => feeding::over_cap(tx, work, cap, (&addressees, &people), now).await?,
        None => Default::default(),
    };
    let mut sorted = Sorted { fit: Vec::new(), skipped: Vec::new() };
    for mut addressee in addressees {
        let reason = match people.get(&addressee.contact) {
            // Erased.
            None => Some("no_address"),
            Some(Person { has_opted_out: true, .. }) => Some("opted_out"),
            Some(Person { contact, .. }) => {
                addressee.contact = *contact;
                let is_over_cap = over_cap.contains(&addressee.id).then_some("frequency_cap");
                had_one.contains(contact).then_some(DUPLICATE).or(is_over_cap)
            }
        };
        match (reason, template.render(&addressee.values)) {
            (Some(reason), _) => sorted.skipped.push((addressee.n, reason)),
            (None, Ok(rendered)) => {
                had_one.insert(addressee.contact);
                sorted.fit.push((addressee, rendered));
            }
            (None, Err(_unfit)) => sorted.skipped.push((addressee.n, "invalid_params")),
        }
    }
    Ok(sorted)
}

/// Writes the messages into their threads and the ledger; returns which.
async fn hand_over(
    tx: &mut AsyncPgConnection,
    work: &Work,
    template: &Template,
    fit: Vec<(Addressee, Rendered)>,
    now: DateTime<Utc>,
) -> Result<HashSet<MessageId>, EngineError> {
    if fit.is_empty() {
        return Ok(HashSet::new());
    }
    let growths = fit.iter().map(|(addressee, _)| Growth {
        workspace_id: work.workspace,
        connection_id: work.connection,
        contact_id: addressee.contact,
        messages: 1,
        customer_wrote_at: None,
        campaign_message: Some(addressee.id),
    });
    let grown = conversations::grow(tx, growths.collect(), now).await?;
    let threads: HashMap<ContactId, Grown> =
        grown.into_iter().map(|thread| (thread.contact_id, thread)).collect();
    let mut outbound = Vec::with_capacity(fit.len());
    let mut said = Vec::with_capacity(fit.len());
    for (addressee, rendered) in fit {
        let Some(thread) = threads.get(&addressee.contact) else { continue };
        said.push(message(work, &addressee, thread, rendered.body));
        let content = Content::Template {
            name: template.name.clone(),
            language: template.language.clone(),
            components: rendered.components,
        };
        outbound.push(in_ledger(work, addressee, thread, content.encode()?));
    }
    let made = send_ledger::enqueue(tx, outbound, now).await?;
    said.retain(|message| made.contains(&message.id));
    if !said.is_empty() {
        messages::insert(tx, said, now).await?;
    }
    Ok(made)
}

fn in_ledger(work: &Work, addressee: Addressee, thread: &Grown, content: Vec<u8>) -> NewOutbound {
    let (campaign, contact) = (work.id.as_uuid().simple(), addressee.contact.as_uuid().simple());
    NewOutbound {
        id: addressee.id,
        workspace_id: work.workspace,
        connection_id: work.connection,
        conversation_id: thread.id,
        dedupe_key: format!("c:{campaign}:{contact}"),
        recipient: addressee.recipient,
        source: Source::Campaign,
        campaign_id: Some(work.id),
        on_doubt: work.on_doubt,
        resend_until: work.ends_at,
        content,
        traceparent: None,
    }
}

fn message(work: &Work, addressee: &Addressee, thread: &Grown, body: String) -> NewMessage {
    NewMessage {
        id: addressee.id,
        workspace_id: work.workspace,
        connection_id: work.connection,
        conversation_id: thread.id,
        contact_id: addressee.contact,
        sequence: thread.last_sequence,
        direction: Direction::Outbound,
        kind: "template".to_owned(),
        wamid: None,
        body: Some(body),
        raw: None,
        said_at: None,
    }
}
