//! Who waits on one lane: in order of arrival, campaigns in fair turns.

use std::collections::VecDeque;

use super::Waiter;
use kernel::ids::CampaignId;

/// The waiters of one lane. Each sender (a campaign, or all that is none) has a queue of its own; a
/// round gives each as many turns as its weight (deficit round robin).
#[derive(Default)]
pub(super) struct Queue {
    senders: VecDeque<Sender>,
}

struct Sender {
    campaign: Option<CampaignId>,
    /// Turns left in this round.
    turns: u32,
    waiters: VecDeque<Waiter>,
}

impl Queue {
    pub(super) fn push(&mut self, waiter: Waiter) {
        let campaign = waiter.share.campaign;
        match self.senders.iter_mut().find(|sender| sender.campaign == campaign) {
            Some(sender) => sender.waiters.push_back(waiter),
            None => self.senders.push_back(Sender { campaign, turns: 0, waiters: [waiter].into() }),
        }
    }

    /// The next `most` that still wait, in the order in which slots are due to them.
    pub(super) fn take(&mut self, most: usize) -> Vec<Waiter> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(mut sender) = self.senders.pop_front()
        {
            let Some(waiter) = sender.waiters.pop_front() else { continue };
            if sender.turns == 0 {
                sender.turns = waiter.share.weight.max(1);
            }
            if !waiter.give.is_closed() {
                sender.turns -= 1;
                taken.push(waiter);
            }
            match (sender.waiters.is_empty(), sender.turns) {
                (true, _) => (),
                (false, 0) => self.senders.push_back(sender),
                (false, _) => self.senders.push_front(sender),
            }
        }
        taken
    }

    /// Puts those back to the front that got nothing.
    pub(super) fn put_back(&mut self, waiters: Vec<Waiter>) {
        for waiter in waiters.into_iter().rev() {
            let campaign = waiter.share.campaign;
            let place = self.senders.iter().position(|sender| sender.campaign == campaign);
            let known = place.and_then(|place| self.senders.remove(place));
            let mut sender =
                known.unwrap_or(Sender { campaign, turns: 0, waiters: VecDeque::new() });
            sender.turns += 1;
            sender.waiters.push_front(waiter);
            self.senders.push_front(sender);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.senders.is_empty()
    }
}
