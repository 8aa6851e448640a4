//! `POST /{phone_number_id}/messages`.

use std::time::Duration;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::answer;
use super::outgoing::{Call, Outgoing};
use super::{account, error, id, is_permitted};
use crate::dice::Dice;
use crate::fault::{Accept, Fate, SendRule};
use crate::ledger::Sent;
use crate::sync::lock;
use crate::world::World;

pub(super) async fn send(world: Data<World>, request: HttpRequest, body: Bytes) -> HttpResponse {
    if !is_permitted(&world, &request) {
        return error::response(190);
    }
    let message = match Call::parse(id(&request), &body) {
        Err(code) => return error::response(code),
        Ok(Call::Read) => {
            world.ledger.read();
            return account::success();
        }
        Ok(Call::Message(message)) => message,
    };
    let ordinal = world.ledger.call(&message.recipient);
    let latency = latency(&world, &message, ordinal);
    let answer = answer(&world, message, ordinal, &request).await;
    sleep(latency).await;
    answer
}

/// How long the way to Meta and back takes for this call. It has dice of its own, so that a script
/// strikes the same people with it and without.
fn latency(world: &World, message: &Outgoing, ordinal: u64) -> Duration {
    let mut dice = Dice::new(!world.seed, &message.recipient, ordinal);
    Duration::from_millis(dice.between(world.script.current().answer_ms))
}

async fn answer(
    world: &Data<World>,
    message: Outgoing,
    ordinal: u64,
    request: &HttpRequest,
) -> HttpResponse {
    if !message.is_international {
        world.ledger.violate("`to` does not begin with `+`", &message.recipient);
    }
    if let Err(code) = admit(world, &message) {
        return error::response(code);
    }
    let mut dice = Dice::new(world.seed, &message.recipient, ordinal);
    match world.script.strike(message.subject(), &mut dice) {
        None => answer::ok(&message, &world.accept(&message, Fate::default(), &mut dice)),
        Some(rule) => play(world, &rule, message, dice, request).await,
    }
}

/// Refuses templates the account does not have, and applies Meta's limits if the script says so.
fn admit(world: &World, message: &Outgoing) -> Result<(), i64> {
    if let Some((name, language)) = message.template()
        && !world.has_template(&message.phone_number_id, name, language)
    {
        return Err(132_001);
    }
    match &world.script.current().limits {
        None => Ok(()),
        Some(limits) => {
            lock(&world.limiter).admit(limits, &message.phone_number_id, &message.recipient)
        }
    }
}

async fn play(
    world: &Data<World>,
    rule: &SendRule,
    message: Outgoing,
    mut dice: Dice,
    request: &HttpRequest,
) -> HttpResponse {
    let delay = Duration::from_millis(rule.delay_ms);
    let sent = match rule.acceptance() {
        Accept::No => {
            sleep(delay).await;
            None
        }
        Accept::Yes => {
            let sent = world.accept(&message, rule.fate(), &mut dice);
            sleep(delay).await;
            Some(sent)
        }
        Accept::Late => accept_late(world, rule, message.clone(), dice).await,
    };
    answer::scripted(rule, &message, sent.as_ref(), request)
}

/// Accepts after the delay in a task of its own: a caller who hangs up doesn't stop it.
async fn accept_late(
    world: &Data<World>,
    rule: &SendRule,
    message: Outgoing,
    mut dice: Dice,
) -> Option<Sent> {
    let (done, accepted) = oneshot::channel();
    let (world, fate) = (Data::clone(world), rule.fate());
    let (tasks, delay) = (world.tasks.clone(), Duration::from_millis(rule.delay_ms));
    tasks.spawn(async move {
        sleep(delay).await;
        // Nobody may be left to tell.
        done.send(world.accept(&message, fate, &mut dice)).ok();
    });
    accepted.await.ok()
}
