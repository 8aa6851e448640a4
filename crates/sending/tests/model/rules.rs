//! What each step does to the rows.

use crate::campaign::{Answer, Attempt, Campaign, Chunk, Message, Outcome, State, Work, World};
use crate::steps::{OnUncertain, Sending, Step, Without};

impl Sending {
    pub(crate) fn take(&self, world: &mut World, step: Step) {
        match step {
            Step::BeginFeeding(process, chunk) => {
                world.processes[process] = Work::Feeding(chunk);
            }
            Step::BeginClaim(process, message) => {
                world.processes[process] = Work::Claiming(message);
            }
            Step::BeginSettling(process) => {
                if let Work::Answered(attempt, answer) = world.processes[process] {
                    world.processes[process] = Work::Settling(attempt, answer, world.campaign);
                }
            }
            Step::Commit(process) => self.commit(world, process),
            Step::Post(process) => {
                if let Work::Claimed(attempt) = world.processes[process] {
                    world.processes[process] = Work::Posted(attempt);
                    world.requests.push(attempt);
                }
            }
            Step::RefuseToPost(process) => tell(world, process, Answer::NotSent),
            Step::FailToConnect(process) => {
                world.left.losses -= 1;
                tell(world, process, Answer::NotSent);
            }
            Step::GiveUpWaiting(process) => {
                let Work::Posted(attempt) = world.processes[process] else { return };
                if world.requests.contains(&attempt) {
                    world.left.losses -= 1;
                }
                tell(world, process, Answer::Lost);
            }
            Step::PassDeadline(attempt) => world.attempts[attempt].is_late = true,
            Step::EndDoubt(attempt) => self.end_doubt(world, attempt),
            Step::Kill(process) => {
                world.left.crashes -= 1;
                world.processes[process] = Work::Nothing;
            }
            Step::Pause | Step::Resume | Step::Cancel | Step::Complete => {
                self.change_campaign(world, step);
            }
            _ => self.cross_the_network(world, step),
        }
    }

    fn cross_the_network(&self, world: &mut World, step: Step) {
        match step {
            Step::Take(at) => {
                let attempt = accept(world, at);
                answer(world, attempt, Answer::Accepted);
            }
            Step::LoseAnswerAfterTaking(at) => {
                world.left.losses -= 1;
                accept(world, at);
            }
            Step::Answer(at, refusal) => {
                let attempt = world.requests.remove(at);
                world.left.stops -= u8::from(refusal == Answer::Hopeless);
                answer(world, attempt, refusal);
            }
            Step::LoseRequest(at) => {
                world.left.losses -= 1;
                world.requests.remove(at);
            }
            Step::LearnStatus(at) => {
                let attempt = world.statuses.remove(at);
                let is_known = world.attempts[attempt].outcome == Outcome::Accepted;
                if self.without == Without::Echo && !is_known {
                    return;
                }
                self.settle(world, attempt, Answer::Accepted, world.campaign);
            }
            Step::RepeatStatus(at) => {
                world.left.copies -= 1;
                world.statuses.push(world.statuses[at]);
            }
            _ => (),
        }
    }

    fn change_campaign(&self, world: &mut World, step: Step) {
        match step {
            Step::Pause => {
                world.left.pauses -= 1;
                self.pause(world);
            }
            Step::Resume => {
                world.campaign = Campaign::Running;
                self.move_all(world, &[State::Held], State::Ready);
            }
            Step::Cancel => {
                world.left.cancels -= 1;
                self.cancel(world);
            }
            Step::Complete => world.campaign = Campaign::Completed,
            _ => (),
        }
    }

    fn commit(&self, world: &mut World, process: usize) {
        let next = match world.processes[process] {
            Work::Feeding(chunk) => self.feed(world, chunk),
            Work::Marking(chunk) => {
                // The row may have been cancelled since.
                if world.chunks[chunk] == Chunk::Waiting {
                    world.chunks[chunk] = Chunk::Fed;
                }
                Work::Nothing
            }
            Work::Claiming(message) => self.claim(world, message),
            Work::Settling(attempt, answer, seen) => {
                self.settle(world, attempt, answer, seen);
                Work::Nothing
            }
            work => work,
        };
        world.processes[process] = next;
    }

    fn feed(&self, world: &mut World, recipient: usize) -> Work {
        let has_message = world.messages.iter().any(|message| message.recipient == recipient);
        if !has_message || self.without == Without::ChunkStateAndIds {
            world.messages.push(Message { recipient, state: State::Ready });
        }
        if self.without == Without::OneFeeding {
            return Work::Marking(recipient);
        }
        world.chunks[recipient] = Chunk::Fed;
        Work::Nothing
    }

    fn claim(&self, world: &mut World, message: usize) -> Work {
        let is_ready = world.messages[message].state == State::Ready;
        if !is_ready && self.without != Without::Condition {
            return Work::Nothing;
        }
        let Some(left) = world.left.attempts.checked_sub(1) else { return Work::Nothing };
        world.left.attempts = left;
        world.was_claimed_in_vain |= world.campaign != Campaign::Running;
        self.move_to(world, message, State::Sending);
        world.attempts.push(Attempt { message, outcome: Outcome::Open, is_late: false });
        Work::Claimed(world.attempts.len() - 1)
    }

    /// What an answer or a status changes. Doing it again changes nothing.
    fn settle(&self, world: &mut World, attempt: usize, answer: Answer, seen: Campaign) {
        let Attempt { message, outcome, .. } = world.attempts[attempt];
        if outcome == Outcome::Accepted {
            return;
        }
        let is_newest = world.newest_attempt(message) == Some(attempt);
        let moves = is_newest && world.is_undecided(message);
        world.attempts[attempt].outcome = match answer {
            Answer::Accepted => Outcome::Accepted,
            Answer::Refused => Outcome::Refused,
            Answer::NotSent | Answer::Hopeless => Outcome::NotSent,
            Answer::Lost if outcome == Outcome::Open => Outcome::Doubt,
            Answer::Lost => outcome,
        };
        match answer {
            Answer::Accepted => self.move_to(world, message, State::Accepted),
            Answer::Refused if moves => self.move_to(world, message, State::Failed),
            Answer::NotSent if moves => self.release(world, message, seen),
            Answer::Hopeless => {
                self.pause_by_answer(world);
                if moves {
                    self.release(world, message, world.campaign);
                }
            }
            Answer::Refused | Answer::NotSent | Answer::Lost => (),
        }
    }

    fn pause_by_answer(&self, world: &mut World) {
        if world.campaign == Campaign::Running {
            self.pause(world);
        }
    }

    /// What a message becomes that is certainly not sent.
    fn release(&self, world: &mut World, message: usize, seen: Campaign) {
        let state = match seen {
            Campaign::Running => State::Ready,
            Campaign::Paused => State::Held,
            Campaign::Cancelled => State::Cancelled,
            Campaign::Completed if self.without == Without::FailingAtLast => State::Ready,
            Campaign::Completed => State::Failed,
        };
        self.move_to(world, message, state);
    }

    fn end_doubt(&self, world: &mut World, attempt: usize) {
        let Attempt { message, .. } = world.attempts[attempt];
        let is_newest = world.newest_attempt(message) == Some(attempt);
        let moves = is_newest && world.messages[message].state == State::Sending;
        world.attempts[attempt].outcome = match self.on_uncertain {
            OnUncertain::Hold | OnUncertain::AssumeSent => Outcome::Unknown,
            OnUncertain::Resend => Outcome::Presumed,
        };
        if moves {
            match self.on_uncertain {
                OnUncertain::Hold => self.move_to(world, message, State::Unknown),
                OnUncertain::AssumeSent => self.move_to(world, message, State::Accepted),
                OnUncertain::Resend => self.release(world, message, world.campaign),
            }
        }
    }

    fn pause(&self, world: &mut World) {
        world.campaign = Campaign::Paused;
        self.move_all(world, &[State::Ready], State::Held);
    }

    fn cancel(&self, world: &mut World) {
        world.campaign = Campaign::Cancelled;
        self.move_all(world, &[State::Ready, State::Held], State::Cancelled);
        for chunk in &mut world.chunks {
            if *chunk == Chunk::Waiting {
                *chunk = Chunk::Cancelled;
                world.counts.skipped += 1;
            }
        }
    }

    fn move_all(&self, world: &mut World, from: &[State], to: State) {
        for message in 0..world.messages.len() {
            if from.contains(&world.messages[message].state) {
                self.move_to(world, message, to);
            }
        }
    }

    /// Moves a message and, in the same transaction, the counts.
    fn move_to(&self, world: &mut World, message: usize, to: State) {
        let from = std::mem::replace(&mut world.messages[message].state, to);
        if let Some(end) = world.counts.end(from)
            && self.without != Without::TakingBack
        {
            *end -= 1;
        }
        if let Some(end) = world.counts.end(to) {
            *end += 1;
        }
    }
}

/// Meta takes the message of a request.
fn accept(world: &mut World, request: usize) -> usize {
    let attempt = world.requests.remove(request);
    let message = world.attempts[attempt].message;
    world.taken.push(world.messages[message].recipient);
    world.statuses.push(attempt);
    attempt
}

/// Meta's answer reaches whoever still waits for it.
fn answer(world: &mut World, attempt: usize, answer: Answer) {
    let waits = world.processes.iter().position(|work| *work == Work::Posted(attempt));
    if let Some(process) = waits {
        world.processes[process] = Work::Answered(attempt, answer);
    }
}

fn tell(world: &mut World, process: usize, answer: Answer) {
    if let Work::Claimed(attempt) | Work::Posted(attempt) = world.processes[process] {
        world.processes[process] = Work::Answered(attempt, answer);
    }
}
