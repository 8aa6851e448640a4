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
use crate::fault::{Accept, SendRule};
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
    if !message.is_international {
        world.ledger.violate("`to` does not begin with `+`", &message.recipient);
    }
    if let Err(code) = admit(&world, &message) {
        return error::response(code);
    }
    let mut dice = Dice::new(world.seed, &message.recipient, ordinal);
    match world.script.strike(&message.phone_number_id, &message.recipient, &mut dice) {
        None => answer::ok(&message, &world.accept(&message, None, &mut dice)),
        Some(rule) => play(&world, &rule, message, dice, &request).await,
    }
}

/// Applies Meta's limits, if the script says so.
fn admit(world: &World, message: &Outgoing) -> Result<(), i64> {
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
            let sent = world.accept(&message, rule.fail_later, &mut dice);
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
    let (world, fail_later) = (Data::clone(world), rule.fail_later);
    let (tasks, delay) = (world.tasks.clone(), Duration::from_millis(rule.delay_ms));
    tasks.spawn(async move {
        sleep(delay).await;
        // Nobody may be left to tell.
        done.send(world.accept(&message, fail_later, &mut dice)).ok();
    });
    accepted.await.ok()
}
