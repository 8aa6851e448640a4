//! The steps that the world can take, and what must be true in each of its states.

use stateright::{Model, Property};

use crate::campaign::{
    Answer, Attempt, Campaign, Chunk, Left, Message, Outcome, State, Work, World,
};

/// A campaign's policy for what stays unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnUncertain {
    Hold,
    AssumeSent,
    Resend,
}

/// The rule that a variant leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Without {
    Nothing,
    /// A claim keeps the campaign from being paused until it commits.
    ClaimLock,
    /// So does feeding.
    FeedLock,
    /// So does the transaction that makes a message claimable again.
    ReleaseLock,
    /// Neither this nor a claim does.
    ClaimAndReleaseLock,
    /// A claim takes only what is still ready.
    Condition,
    /// Only a waiting chunk is fed.
    ChunkState,
    /// The same, and a recipient may have several messages.
    ChunkStateAndIds,
    /// Messages and their chunk's state are written in one transaction.
    OneFeeding,
    /// No byte leaves after an attempt's deadline.
    Fence,
    /// A doubt is not ended while a status may still come.
    Watermark,
    /// An end that another replaces is taken off the count.
    TakingBack,
    /// A status names its attempt.
    Echo,
    /// A message of a finished campaign has failed when it turns out not to have been sent.
    FailingAtLast,
}

#[derive(Clone, Debug)]
pub(crate) struct Sending {
    pub(crate) recipients: usize,
    pub(crate) on_uncertain: OnUncertain,
    pub(crate) left: Left,
    pub(crate) without: Without,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    BeginFeeding(usize, usize),
    BeginClaim(usize, usize),
    BeginSettling(usize),
    Commit(usize),
    Post(usize),
    /// The deadline has passed: the fence keeps the body back.
    RefuseToPost(usize),
    Take(usize),
    LoseAnswerAfterTaking(usize),
    Answer(usize, Answer),
    GiveUpWaiting(usize),
    FailToConnect(usize),
    LoseRequest(usize),
    LearnStatus(usize),
    RepeatStatus(usize),
    PassDeadline(usize),
    EndDoubt(usize),
    Kill(usize),
    Pause,
    Resume,
    Cancel,
    Complete,
}

impl Step {
    /// Whether it is what happens when nobody does anything and nothing goes wrong; resuming aside,
    /// for which a paused campaign waits.
    pub(crate) const fn is_ordinary(self) -> bool {
        !matches!(
            self,
            Self::Pause
                | Self::Cancel
                | Self::Kill(_)
                | Self::LoseAnswerAfterTaking(_)
                | Self::FailToConnect(_)
                | Self::LoseRequest(_)
                | Self::RepeatStatus(_)
                | Self::Answer(_, Answer::Hopeless)
        )
    }
}

impl Sending {
    fn is_without(&self, rules: &[Without]) -> bool {
        rules.contains(&self.without)
    }

    /// Whether this process keeps the campaign's row from being changed.
    fn pins(&self, work: Work) -> bool {
        match work {
            Work::Feeding(_) => !self.is_without(&[Without::FeedLock]),
            Work::Claiming(_) => {
                !self.is_without(&[Without::ClaimLock, Without::ClaimAndReleaseLock])
            }
            Work::Settling(..) => {
                !self.is_without(&[Without::ReleaseLock, Without::ClaimAndReleaseLock])
            }
            _ => false,
        }
    }

    fn is_pinned(&self, world: &World) -> bool {
        world.processes.iter().any(|work| self.pins(*work))
    }

    fn can_feed(&self, world: &World, chunk: usize) -> bool {
        let waits = match self.without {
            Without::ChunkState | Without::ChunkStateAndIds => {
                world.messages.iter().filter(|m| m.recipient == chunk).count() < 2
                    && world.chunks[chunk] != Chunk::Cancelled
            }
            _ => world.chunks[chunk] == Chunk::Waiting,
        };
        // The row of the chunk is locked: others skip it.
        let is_locked = world.processes.contains(&Work::Feeding(chunk));
        let ignores_locks = self.is_without(&[Without::ChunkState, Without::ChunkStateAndIds]);
        waits && (ignores_locks || !is_locked)
    }

    fn steps_of(&self, world: &World, process: usize, steps: &mut Vec<Step>) {
        match world.processes[process] {
            Work::Nothing => {
                if world.campaign == Campaign::Running {
                    let chunks = (0..world.chunks.len()).filter(|c| self.can_feed(world, *c));
                    steps.extend(chunks.map(|chunk| Step::BeginFeeding(process, chunk)));
                    let is_ready = |m: &usize| world.messages[*m].state == State::Ready;
                    let ready = (0..world.messages.len()).filter(is_ready);
                    if world.left.attempts > 0 {
                        steps.extend(ready.map(|message| Step::BeginClaim(process, message)));
                    }
                }
            }
            Work::Feeding(_) | Work::Marking(_) | Work::Claiming(_) => {
                steps.push(Step::Commit(process));
            }
            // Stopping the campaign needs its row alone.
            Work::Settling(_, Answer::Hopeless, _) => {
                let others = world.processes.iter().enumerate().filter(|(i, _)| *i != process);
                if !others.into_iter().any(|(_, work)| self.pins(*work)) {
                    steps.push(Step::Commit(process));
                }
            }
            Work::Settling(..) => steps.push(Step::Commit(process)),
            Work::Claimed(attempt) => {
                let is_refused = world.attempts[attempt].is_late && self.without != Without::Fence;
                steps.push(if is_refused {
                    Step::RefuseToPost(process)
                } else {
                    Step::Post(process)
                });
                if !is_refused && world.left.losses > 0 {
                    steps.push(Step::FailToConnect(process));
                }
            }
            // Costs nothing when there is no answer to come.
            Work::Posted(attempt) => {
                if !world.requests.contains(&attempt) || world.left.losses > 0 {
                    steps.push(Step::GiveUpWaiting(process));
                }
            }
            Work::Answered(..) => steps.push(Step::BeginSettling(process)),
        }
        if world.left.crashes > 0 && world.processes[process] != Work::Nothing {
            steps.push(Step::Kill(process));
        }
    }

    fn steps_of_meta(world: &World, steps: &mut Vec<Step>) {
        for at in 0..world.requests.len() {
            let refusals = [Answer::Refused, Answer::NotSent];
            steps.push(Step::Take(at));
            steps.extend(refusals.map(|refusal| Step::Answer(at, refusal)));
            if world.left.stops > 0 {
                steps.push(Step::Answer(at, Answer::Hopeless));
            }
            if world.left.losses > 0 {
                steps.extend([Step::LoseAnswerAfterTaking(at), Step::LoseRequest(at)]);
            }
        }
        for at in 0..world.statuses.len() {
            steps.push(Step::LearnStatus(at));
            if world.left.copies > 0 {
                steps.push(Step::RepeatStatus(at));
            }
        }
    }

    /// Under `hold` nothing depends on when statuses come, so there the watermark is not asked.
    fn may_end_doubt(&self, world: &World, attempt: usize) -> bool {
        let Attempt { outcome, is_late, .. } = world.attempts[attempt];
        let is_silent = self.on_uncertain == OnUncertain::Hold
            || self.without == Without::Watermark
            || !world.is_under_way(attempt);
        matches!(outcome, Outcome::Open | Outcome::Doubt) && is_late && is_silent
    }

    fn steps_of_people(&self, world: &World, steps: &mut Vec<Step>) {
        if self.is_pinned(world) {
            return;
        }
        let open = world.messages_in(&[State::Ready, State::Held, State::Sending]);
        let is_done = !world.chunks.contains(&Chunk::Waiting) && open == 0;
        match world.campaign {
            Campaign::Running if world.left.pauses > 0 => steps.push(Step::Pause),
            Campaign::Paused => steps.push(Step::Resume),
            _ => (),
        }
        if world.campaign == Campaign::Running && is_done {
            steps.push(Step::Complete);
        }
        let is_open = matches!(world.campaign, Campaign::Running | Campaign::Paused);
        if is_open && world.left.cancels > 0 {
            steps.push(Step::Cancel);
        }
    }
}

impl Model for Sending {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.recipients, self.left)]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        for process in 0..world.processes.len() {
            self.steps_of(world, process, steps);
        }
        Self::steps_of_meta(world, steps);
        for attempt in 0..world.attempts.len() {
            let Attempt { outcome, is_late, .. } = world.attempts[attempt];
            if !is_late && matches!(outcome, Outcome::Open | Outcome::Doubt) {
                steps.push(Step::PassDeadline(attempt));
            }
            if self.may_end_doubt(world, attempt) {
                steps.push(Step::EndDoubt(attempt));
            }
        }
        self.steps_of_people(world, steps);
    }

    fn next_state(&self, last: &World, step: Step) -> Option<World> {
        let mut world = last.clone();
        self.take(&mut world, step);
        world.processes.sort_unstable();
        world.requests.sort_unstable();
        world.statuses.sort_unstable();
        world.taken.sort_unstable();
        (world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("one message each", |model: &Self, world: &World| {
                let copies = |to| world.taken.iter().filter(|taken| **taken == to).count();
                (0..model.recipients).all(|recipient| copies(recipient) <= 1)
            }),
            Property::always("true numbers", |_, world: &World| {
                world.counts == world.recount() && world.shown_pending() == world.pending()
            }),
            Property::always("no claim after a pause", |_, world: &World| {
                !world.was_claimed_in_vain
            }),
            Property::always("known once it is quiet", |model: &Self, world: &World| {
                let is_known = |message: &Message| {
                    let is_taken = world.taken.contains(&message.recipient);
                    let is_assumed = model.on_uncertain == OnUncertain::AssumeSent;
                    is_taken == (message.state == State::Accepted)
                        || (is_assumed && message.state == State::Accepted)
                };
                // An attempt that is open has yet to be looked at; its status is in, though.
                !world.is_quiet() || world.messages.iter().all(is_known)
            }),
            Property::sometimes("everybody is reached", |model: &Self, world: &World| {
                world.campaign == Campaign::Completed && world.taken.len() == model.recipients
            }),
        ]
    }
}
