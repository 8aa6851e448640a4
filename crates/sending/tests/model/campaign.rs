//! The world of the model: the rows of one campaign, what two processes have in hand, and what is
//! under way to and from Meta.
//!
//! Neither the lock on a campaign (L5) nor its ticks occur: either process may take any step at any
//! time and as often as it likes, which is what is left when the lock is lost and a tick comes
//! twice, late or never. A process that is stopped simply takes no step while the others do.
//! Transactions are two steps with their locks between them, so a process can die inside one.

/// Where the campaign stands, as committed: so as its API has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Campaign {
    Running,
    Paused,
    Cancelled,
    Completed,
}

/// One recipient's chunk: chunks have one recipient each here, so that every race has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Chunk {
    Waiting,
    Fed,
    Cancelled,
}

/// `outbound_messages.state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum State {
    Ready,
    Held,
    Sending,
    Accepted,
    Failed,
    Unknown,
    Cancelled,
}

/// A row of `outbound_messages`. Its epoch is its newest attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Message {
    pub(crate) recipient: usize,
    pub(crate) state: State,
}

/// `send_attempts.state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Open,
    Doubt,
    Accepted,
    Refused,
    NotSent,
    Presumed,
    Unknown,
}

/// A row of `send_attempts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Attempt {
    pub(crate) message: usize,
    pub(crate) outcome: Outcome,
    /// Its deadline has passed, by the clock of whoever claimed it.
    pub(crate) is_late: bool,
}

/// What a process knows of its POST.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Answer {
    Accepted,
    /// For good.
    Refused,
    /// Throttled, or refused by the connection or the write fence: certainly not sent.
    NotSent,
    /// Nothing of this campaign can be sent until a person acts.
    Hopeless,
    /// It broke off.
    Lost,
}

/// What a process has in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Work {
    Nothing,
    /// A transaction that has seen the campaign run and the chunk wait.
    Feeding(usize),
    /// The messages are committed, the chunk is not; in one of the variants only.
    Marking(usize),
    /// A transaction that has seen the campaign run.
    Claiming(usize),
    /// The attempt is committed.
    Claimed(usize),
    /// The POST has left.
    Posted(usize),
    Answered(usize, Answer),
    /// A transaction that has seen where the campaign stands.
    Settling(usize, Answer, Campaign),
}

/// `campaign_counts`: ends only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Counts {
    pub(crate) accepted: i8,
    pub(crate) failed: i8,
    pub(crate) skipped: i8,
    pub(crate) uncertain: i8,
}

/// What may still happen, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Left {
    pub(crate) crashes: u8,
    /// Requests and answers that get lost, connections that fail.
    pub(crate) losses: u8,
    /// Statuses that Meta delivers again.
    pub(crate) copies: u8,
    pub(crate) pauses: u8,
    pub(crate) cancels: u8,
    /// Answers of Meta's that pause the campaign.
    pub(crate) stops: u8,
    /// Attempts in all: bounds the model.
    pub(crate) attempts: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) campaign: Campaign,
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) messages: Vec<Message>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) counts: Counts,
    /// Sorted: which process is which makes no difference.
    pub(crate) processes: Vec<Work>,
    /// Attempts whose request is on its way to Meta.
    pub(crate) requests: Vec<usize>,
    /// Attempts of statuses on their way from Meta.
    pub(crate) statuses: Vec<usize>,
    /// At Meta: the recipient of each message that it took.
    pub(crate) taken: Vec<usize>,
    pub(crate) left: Left,
    /// A message was claimed while the campaign did not run.
    pub(crate) was_claimed_in_vain: bool,
}

impl World {
    pub(crate) fn new(recipients: usize, left: Left) -> Self {
        Self {
            campaign: Campaign::Running,
            chunks: vec![Chunk::Waiting; recipients],
            messages: Vec::new(),
            attempts: Vec::new(),
            counts: Counts::default(),
            processes: vec![Work::Nothing; 2],
            requests: Vec::new(),
            statuses: Vec::new(),
            taken: Vec::new(),
            left,
            was_claimed_in_vain: false,
        }
    }

    /// The counts as a recount of the rows finds them.
    pub(crate) fn recount(&self) -> Counts {
        let mut counts = Counts::default();
        for message in &self.messages {
            if let Some(end) = counts.end(message.state) {
                *end += 1;
            }
        }
        for chunk in &self.chunks {
            counts.skipped += i8::from(*chunk == Chunk::Cancelled);
        }
        counts
    }

    /// What the API shows as pending: what is left of the total.
    pub(crate) fn shown_pending(&self) -> i8 {
        let Counts { accepted, failed, skipped, uncertain } = self.counts;
        let ends = accepted + failed + skipped + uncertain;
        count(&self.chunks, |_| true) - ends - self.messages_in(&[State::Sending])
    }

    /// Recipients that are pending by ADR-0014.
    pub(crate) fn pending(&self) -> i8 {
        let waiting = (0..self.chunks.len()).filter(|recipient| {
            let has_message = self.messages.iter().any(|m| m.recipient == *recipient);
            self.chunks[*recipient] == Chunk::Waiting && !has_message
        });
        count(&waiting.collect::<Vec<_>>(), |_| true)
            + self.messages_in(&[State::Ready, State::Held])
    }

    pub(crate) fn messages_in(&self, states: &[State]) -> i8 {
        count(&self.messages, |message| states.contains(&message.state))
    }

    /// Whether Meta may still take the attempt's message, or say that it has.
    pub(crate) fn is_under_way(&self, attempt: usize) -> bool {
        let is_known = |work: &Work| match work {
            Work::Answered(of, answer) | Work::Settling(of, answer, _) => {
                *of == attempt && *answer == Answer::Accepted
            }
            _ => false,
        };
        self.requests.contains(&attempt)
            || self.statuses.contains(&attempt)
            || self.processes.iter().any(is_known)
    }

    /// Nobody has anything in hand and nothing is under way.
    pub(crate) fn is_quiet(&self) -> bool {
        self.requests.is_empty()
            && self.statuses.is_empty()
            && self.processes.iter().all(|work| *work == Work::Nothing)
    }

    /// Everybody has an end, and the campaign too.
    pub(crate) fn is_over(&self) -> bool {
        let is_waiting = self.chunks.contains(&Chunk::Waiting);
        // The model allows no further attempt: what waits for one is none of its business.
        let is_cut = self.left.attempts == 0 && self.messages_in(&[State::Ready, State::Held]) > 0;
        let open = self.messages_in(&[State::Ready, State::Held, State::Sending]);
        let is_closed = matches!(self.campaign, Campaign::Cancelled | Campaign::Completed);
        self.is_quiet() && (is_cut || (!is_waiting && open == 0 && is_closed))
    }

    /// Whether an answer may still change what became of a message: it is not known, or assumed only.
    pub(crate) fn is_undecided(&self, message: usize) -> bool {
        let is_proved =
            |attempt: &Attempt| attempt.message == message && attempt.outcome == Outcome::Accepted;
        match self.messages[message].state {
            State::Sending | State::Unknown => true,
            State::Accepted => !self.attempts.iter().any(is_proved),
            State::Ready | State::Held | State::Failed | State::Cancelled => false,
        }
    }

    pub(crate) fn newest_attempt(&self, message: usize) -> Option<usize> {
        self.attempts.iter().rposition(|attempt| attempt.message == message)
    }
}

impl Counts {
    /// Where a message in this state is counted.
    pub(crate) fn end(&mut self, state: State) -> Option<&mut i8> {
        match state {
            State::Ready | State::Held | State::Sending => None,
            State::Accepted => Some(&mut self.accepted),
            State::Failed => Some(&mut self.failed),
            State::Unknown => Some(&mut self.uncertain),
            State::Cancelled => Some(&mut self.skipped),
        }
    }
}

fn count<T>(of: &[T], wanted: impl Fn(&T) -> bool) -> i8 {
    of.iter().map(|one| i8::from(wanted(one))).sum()
}
