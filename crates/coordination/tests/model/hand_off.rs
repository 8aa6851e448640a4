//! One lock, clients who want it once each, the server's queue, and a network that delays and loses.
//! What one client says arrives in order (its calls share a connection); nothing else does.
//!
//! Times are ticks relative to now, so that the state space is finite without an end of time. A
//! client that is slow, or stopped, simply takes no step while the others do. A client believes that
//! it holds the lock until its local deadline has passed.

use stateright::{Model, Property};

use crate::explore::{broken, first_stranded};

/// The lock's time to live, in ticks.
const TTL: u8 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Client {
    /// Has not asked yet.
    New,
    /// A question is out, asked so many ticks ago.
    Asking {
        age: u8,
        base: Base,
    },
    /// Waits for its turn.
    Waiting {
        base: Base,
    },
    /// Was handed or granted the lock; ticks until the local deadline (0: knows that it lost it).
    Holding {
        left: u8,
    },
    /// Had it and gave it back, or gave up.
    Done,
    Killed,
}

/// What a waiter knows of its last question that was answered with "busy", or of its first one while
/// none was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Base {
    /// How long ago it was asked.
    asked: u8,
    /// Two "busy" were so far apart that a hand-over in between may have run out unnoticed.
    is_doubtful: bool,
}

/// To the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Call {
    /// So many ticks ago.
    Ask {
        age: u8,
    },
    Release,
    Leave,
}

/// From the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum News {
    /// The answer to the question of `age` ticks ago.
    Ours {
        to: usize,
        age: u8,
    },
    Busy {
        to: usize,
        age: u8,
    },
    /// Ownership moved to the client when somebody released.
    HandedOver {
        to: usize,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    clients: Vec<Client>,
    /// Who owns the key, and for how many more ticks.
    owner: Option<(usize, u8)>,
    queue: Vec<usize>,
    /// In flight from each client, in order.
    calls: Vec<Vec<Call>>,
    /// In flight to the clients; sorted, as these keep no order.
    news: Vec<News>,
    /// What may still go wrong, and how often.
    losses: u8,
    kills: u8,
    flushes: u8,
    slow_answers: u8,
    has_flushed: bool,
    /// A message or data was lost, or an answer came too late.
    is_faulty: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    Ask(usize),
    /// The safety timer of a waiter.
    AskAgain(usize),
    /// No answer came in time.
    GiveUpAnswer(usize),
    Finish(usize),
    /// Patience is over, or the caller was cancelled.
    Leave(usize),
    /// The server runs a call: whose, and which.
    Serve(usize, usize),
    /// A client learns something.
    Learn(usize),
    LoseCall(usize),
    LoseNews(usize),
    Kill(usize),
    Flush,
    Tick,
}

/// The rule that a variant leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    /// "It is yours already" renews the key.
    RenewalOfOurs,
    /// The deadline counts from the waiter's last question, not from the hand-over's arrival.
    DeadlineFromQuestion,
    /// After a long gap between two "busy" a hand-over is not believed, but asked about.
    Doubt,
    /// Who is handed a lock that it no longer wants gives it back.
    GivingBack,
    /// Release compares the owner.
    Comparing,
    /// Waiters ask again from time to time.
    AskingAgain,
    /// Dead waiters are skipped.
    Skipping,
    /// A client's calls arrive in order.
    Order,
}

#[derive(Clone)]
struct HandOff {
    clients: usize,
    /// Lost messages, killed clients, flushes, answers that come too late.
    faults: [u8; 4],
    without: Without,
}

impl HandOff {
    fn is_free(state: &State) -> bool {
        state.owner.is_none_or(|(_, left)| left == 0)
    }

    /// The release script: the next waiter whose process lives owns the key at once.
    fn hand_on(&self, state: &mut State) {
        state.owner = None;
        while !state.queue.is_empty() {
            let next = state.queue.remove(0);
            let is_heard = state.clients[next] != Client::Killed;
            if is_heard || self.without == Without::Skipping {
                state.owner = Some((next, TTL));
                state.news.push(News::HandedOver { to: next });
                return;
            }
        }
    }

    fn serve(&self, state: &mut State, from: usize, call: Call) {
        let is_free = Self::is_free(state);
        let is_owner = !is_free && state.owner.is_some_and(|(owner, _)| owner == from);
        match call {
            Call::Ask { age } if is_free => {
                state.owner = Some((from, TTL));
                state.queue.retain(|waiter| *waiter != from);
                state.news.push(News::Ours { to: from, age });
            }
            Call::Ask { age } if is_owner => {
                if self.without != Without::RenewalOfOurs {
                    state.owner = Some((from, TTL));
                }
                state.news.push(News::Ours { to: from, age });
            }
            Call::Ask { age } => {
                if !state.queue.contains(&from) {
                    state.queue.push(from);
                }
                state.news.push(News::Busy { to: from, age });
            }
            Call::Release if is_owner || self.without == Without::Comparing => self.hand_on(state),
            Call::Release => (),
            Call::Leave => {
                state.queue.retain(|waiter| *waiter != from);
                if is_owner && self.without != Without::GivingBack {
                    self.hand_on(state);
                }
            }
        }
    }

    fn learn(&self, state: &mut State, news: News) {
        match news {
            // Only the answer to the question that is out counts.
            News::Ours { to, age } => {
                if matches!(state.clients[to], Client::Asking { age: asked, .. } if asked == age) {
                    state.clients[to] = Client::Holding { left: TTL - age };
                }
            }
            News::Busy { to, age } => {
                if let Client::Asking { age: asked, base } = state.clients[to]
                    && asked == age
                {
                    let is_doubtful = base.is_doubtful || base.asked >= TTL;
                    state.clients[to] = Client::Waiting { base: Base { asked: age, is_doubtful } };
                }
            }
            News::HandedOver { to } => self.receive(state, to),
        }
    }

    fn receive(&self, state: &mut State, to: usize) {
        let base = match state.clients[to] {
            Client::Waiting { base } => base,
            Client::Asking { .. } | Client::Holding { .. } | Client::Killed => return,
            Client::New | Client::Done => {
                if self.without != Without::GivingBack {
                    state.calls[to].push(Call::Release);
                }
                return;
            }
        };
        if base.is_doubtful && self.without != Without::Doubt {
            state.clients[to] = Client::Asking { age: 0, base };
            state.calls[to].push(Call::Ask { age: 0 });
            return;
        }
        let asked = if self.without == Without::DeadlineFromQuestion { 0 } else { base.asked };
        state.clients[to] = Client::Holding { left: TTL - asked };
    }
}

impl Model for HandOff {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            clients: vec![Client::New; self.clients],
            owner: None,
            queue: Vec::new(),
            calls: vec![Vec::new(); self.clients],
            news: Vec::new(),
            losses: self.faults[0],
            kills: self.faults[1],
            flushes: self.faults[2],
            slow_answers: self.faults[3],
            has_flushed: false,
            is_faulty: false,
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        steps.extend((0..state.news.len()).map(Step::Learn));
        for (from, calls) in state.calls.iter().enumerate() {
            let most = if self.without == Without::Order { usize::MAX } else { 1 };
            steps.extend((0..calls.len().min(most)).map(|at| Step::Serve(from, at)));
            if state.losses > 0 && !calls.is_empty() {
                steps.push(Step::LoseCall(from));
            }
        }
        if state.losses > 0 {
            steps.extend((0..state.news.len()).map(Step::LoseNews));
        }
        for (i, client) in state.clients.iter().enumerate() {
            match client {
                Client::New => steps.push(Step::Ask(i)),
                Client::Asking { .. } => {
                    steps.extend([Step::GiveUpAnswer(i), Step::Leave(i)]);
                }
                Client::Waiting { base } => {
                    if base.asked > 0 && self.without != Without::AskingAgain {
                        steps.push(Step::AskAgain(i));
                    }
                    steps.push(Step::Leave(i));
                }
                Client::Holding { .. } => steps.push(Step::Finish(i)),
                Client::Done | Client::Killed => continue,
            }
            if state.kills > 0 {
                steps.push(Step::Kill(i));
            }
        }
        if state.flushes > 0 {
            steps.push(Step::Flush);
        }
        steps.push(Step::Tick);
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        match step {
            Step::Ask(i) => {
                let base = Base { asked: 0, is_doubtful: false };
                state.clients[i] = Client::Asking { age: 0, base };
                state.calls[i].push(Call::Ask { age: 0 });
            }
            Step::AskAgain(i) => {
                let Client::Waiting { base } = state.clients[i] else { return None };
                state.clients[i] = Client::Asking { age: 0, base };
                state.calls[i].push(Call::Ask { age: 0 });
            }
            Step::GiveUpAnswer(i) => {
                let Client::Asking { base, .. } = state.clients[i] else { return None };
                state.clients[i] = Client::Waiting { base };
                // Costs nothing when the question or its answer was lost.
                if is_under_way(&state, i) {
                    state.slow_answers = state.slow_answers.checked_sub(1)?;
                    state.is_faulty = true;
                }
            }
            Step::Finish(i) => {
                state.clients[i] = Client::Done;
                state.calls[i].push(Call::Release);
            }
            Step::Leave(i) => {
                state.clients[i] = Client::Done;
                state.calls[i].push(Call::Leave);
            }
            Step::Serve(from, at) => {
                let call = state.calls[from].remove(at);
                self.serve(&mut state, from, call);
            }
            Step::Learn(at) => {
                let news = without_wake_ups_while_asking(&mut state, at)?;
                self.learn(&mut state, news);
            }
            Step::LoseCall(from) => {
                state.calls[from].remove(0);
                lose(&mut state);
            }
            Step::LoseNews(at) => {
                state.news.remove(at);
                lose(&mut state);
            }
            Step::Kill(i) => {
                state.clients[i] = Client::Killed;
                state.kills -= 1;
            }
            Step::Flush => {
                state.owner = None;
                state.queue.clear();
                state.flushes -= 1;
                state.has_flushed = true;
                state.is_faulty = true;
            }
            Step::Tick => tick(&mut state),
        }
        let state = without_names(state);
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("one believing holder", |_, state: &State| {
                state.has_flushed || believers(state) <= 1
            }),
            Property::sometimes("a lock is handed over", |_, state: &State| {
                state.news.iter().any(|news| matches!(news, News::HandedOver { .. }))
            }),
        ]
    }
}

/// Wake-ups are read between questions only.
fn without_wake_ups_while_asking(state: &mut State, at: usize) -> Option<News> {
    let news = state.news.remove(at);
    let is_asking = matches!(state.clients[news.to()], Client::Asking { .. });
    (!is_asking || !matches!(news, News::HandedOver { .. })).then_some(news)
}

fn lose(state: &mut State) {
    state.losses -= 1;
    state.is_faulty = true;
}

fn believers(state: &State) -> usize {
    let believes = |client: &&Client| matches!(client, Client::Holding { left } if *left > 0);
    state.clients.iter().filter(believes).count()
}

/// The same state with the clients in order: which is which makes no difference.
fn without_names(mut state: State) -> State {
    state.news.sort_unstable();
    let mut order: Vec<usize> = (0..state.clients.len()).collect();
    order.sort_by_key(|&client| {
        let news: Vec<News> = state
            .news
            .iter()
            .filter(|news| news.to() == client)
            .map(|news| news.renamed(|_| 0))
            .collect();
        let owned = state.owner.is_some_and(|(owner, _)| owner == client);
        let place = state.queue.iter().position(|waiter| *waiter == client);
        (state.clients[client], state.calls[client].clone(), news, owned, place)
    });
    let renamed = |old: usize| order.iter().position(|client| *client == old).unwrap();
    state.clients = order.iter().map(|&old| state.clients[old]).collect();
    state.calls = order.iter().map(|&old| state.calls[old].clone()).collect();
    state.queue = state.queue.into_iter().map(renamed).collect();
    state.owner = state.owner.map(|(owner, left)| (renamed(owner), left));
    state.news = state.news.into_iter().map(|news| news.renamed(renamed)).collect();
    state.news.sort_unstable();
    state
}

impl News {
    fn to(self) -> usize {
        match self {
            Self::Ours { to, .. } | Self::Busy { to, .. } | Self::HandedOver { to, .. } => to,
        }
    }

    fn renamed(self, name: impl Fn(usize) -> usize) -> Self {
        match self {
            Self::Ours { to, age } => Self::Ours { to: name(to), age },
            Self::Busy { to, age } => Self::Busy { to: name(to), age },
            Self::HandedOver { to } => Self::HandedOver { to: name(to) },
        }
    }
}

/// Whether a question of this client, or its answer, is in flight.
fn is_under_way(state: &State, client: usize) -> bool {
    let is_asked = state.calls[client].iter().any(|call| matches!(call, Call::Ask { .. }));
    let is_answered = state.news.iter().any(|news| match *news {
        News::Ours { to, .. } | News::Busy { to, .. } => to == client,
        News::HandedOver { .. } => false,
    });
    is_asked || is_answered
}

/// A tick later. An age of a whole ttl grants nothing any more, so none grows beyond.
fn tick(state: &mut State) {
    let older = |age: &mut u8| *age = (*age + 1).min(TTL);
    for client in &mut state.clients {
        match client {
            Client::Asking { age, base } => {
                older(age);
                older(&mut base.asked);
            }
            Client::Waiting { base } => {
                older(&mut base.asked);
            }
            Client::Holding { left } => *left = left.saturating_sub(1),
            Client::New | Client::Done | Client::Killed => (),
        }
    }
    if let Some((_, left)) = &mut state.owner {
        *left = left.saturating_sub(1);
    }
    for call in state.calls.iter_mut().flatten() {
        if let Call::Ask { age } = call {
            older(age);
        }
    }
    for news in &mut state.news {
        match news {
            News::Ours { age, .. } | News::Busy { age, .. } => older(age),
            News::HandedOver { .. } => (),
        }
    }
}

fn is_settled(state: &State) -> bool {
    state.clients.iter().all(|client| matches!(client, Client::Done | Client::Killed))
}

/// Everybody gets the lock, whatever went wrong before, though nobody gives up any more.
fn stranded(model: &HandOff) -> Option<State> {
    use Step::{Flush, Kill, Leave, LoseCall, LoseNews};
    let helps =
        |step: &Step| !matches!(step, Leave(_) | LoseCall(_) | LoseNews(_) | Kill(_) | Flush);
    first_stranded(model, |_| true, is_settled, helps)
}

/// While no message and no data is lost, everybody gets the lock by hand-over alone, without any
/// timer, though waiters give up and processes are killed.
fn stranded_without_timers(model: &HandOff) -> Option<State> {
    let helps = |step: &Step| {
        matches!(step, Step::Ask(_) | Step::Finish(_) | Step::Serve(..) | Step::Learn(_))
    };
    // A lock that ran out, or whose owner died, is the timers' case.
    let is_in_time = |state: &State| {
        let lives = |(owner, left): (usize, u8)| left > 0 && state.clients[owner] != Client::Killed;
        !state.is_faulty && state.owner.is_none_or(lives)
    };
    first_stranded(model, is_in_time, is_settled, helps)
}

#[test]
fn no_interleaving_and_no_fault_gives_two_believing_holders() {
    let cases = [(2, [1, 1, 0, 1]), (2, [0, 0, 1, 1]), (3, [0, 0, 0, 0]), (3, [0, 1, 0, 0])];
    for (clients, faults) in cases {
        let model = HandOff { clients, faults, without: Without::Nothing };
        assert_eq!(broken(&model), Vec::<String>::new(), "{clients} {faults:?}");
    }
}

#[test]
fn every_waiter_gets_the_lock_whatever_went_wrong_before() {
    for (clients, faults) in [(2, [1, 1, 0, 1]), (2, [0, 0, 1, 1]), (3, [0, 1, 0, 0])] {
        let model = HandOff { clients, faults, without: Without::Nothing };
        assert_eq!(stranded(&model), None);
    }
}

#[test]
fn without_lost_messages_the_hand_off_needs_no_timer() {
    let model = HandOff { clients: 3, faults: [0, 1, 0, 0], without: Without::Nothing };
    assert_eq!(stranded_without_timers(&model), None);
}

fn has_two_holders(model: &HandOff) -> bool {
    broken(model).iter().any(|found| found.starts_with("one believing holder"))
}

#[test]
fn each_rule_of_the_hand_off_is_needed() {
    let model = |clients, faults, without| HandOff { clients, faults, without };
    let renewal = model(2, [1, 1, 0, 1], Without::RenewalOfOurs);
    assert!(has_two_holders(&renewal));
    for rule in [Without::Comparing, Without::DeadlineFromQuestion, Without::Doubt] {
        assert!(has_two_holders(&model(3, [0, 0, 0, 0], rule)), "{rule:?}");
    }
    assert!(stranded(&model(2, [1, 0, 0, 0], Without::AskingAgain)).is_some());
    assert!(stranded_without_timers(&model(2, [0, 0, 0, 0], Without::Order)).is_some());
    assert!(stranded_without_timers(&model(3, [0, 0, 0, 0], Without::GivingBack)).is_some());
    assert!(stranded_without_timers(&model(3, [0, 1, 0, 0], Without::Skipping)).is_some());
}
