//! A class of locks moves from Redis to PostgreSQL and back, while each process sees Redis as it
//! likes, with readings of the row that are as old as the rules allow.
//!
//! Times are ticks, as in `hand_off`. A call takes effect at any time after it was sent; a process
//! believes for a ttl from when it sent the call that was granted. Answers arrive at once: a late
//! one only shortens the belief.

use stateright::{Model, Property};

use crate::explore::{broken, first_stranded};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Backend {
    Redis,
    Postgres,
}

/// The class's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Row {
    backend: Backend,
    epoch: u8,
    /// How long ago the flip was known to have committed; `None` until then.
    since: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Process {
    /// The last reading, and how long ago it was asked for.
    reading: Option<(Row, u8)>,
    /// A newer one that is on its way.
    answer: Option<(Row, u8)>,
    /// A take, or a renewal of what is held: where, and sent how long ago.
    call: Option<(Backend, u8)>,
    /// Who granted the lock, and for how many more ticks it is believed.
    guard: Option<(Backend, u8)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    row: Row,
    /// Who owns the key on Redis and on PostgreSQL, and for how many more ticks.
    owners: [Option<(usize, u8)>; 2],
    processes: Vec<Process>,
    flips: u8,
    /// A flip that runs and has not committed, and since when; in one of the variants only.
    running: Option<(Backend, u8)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    Read(usize),
    Note(usize),
    /// Takes or renews on the backend of the reading.
    Ask(usize),
    Serve(usize),
    Release(usize),
    /// The process finds that the other backend is the better one.
    Flip(usize),
    Commit,
    /// Somebody who sees a committed flip without a date dates it.
    Date(usize),
    Tick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    /// The new backend waits for readings of the old row to run out, too.
    WaitForReadings,
    /// Nobody renews, or takes, upon an old reading.
    FreshReadings,
    /// The row is dated after its commit.
    DateAfterCommit,
}

#[derive(Clone)]
struct Switch {
    ttl: u8,
    /// How long a reading of the row may be acted upon, from when it was asked for.
    confirmed: u8,
    flips: u8,
    without: Without,
}

fn older(age: &mut u8, oldest: u8) {
    *age = (*age + 1).min(oldest);
}

impl Switch {
    /// How old the row must be, at the reading, before its backend grants.
    fn wait(&self) -> u8 {
        self.confirmed + self.ttl - 1
    }

    /// The backend that this process may ask now.
    fn backend(&self, process: &Process) -> Option<Backend> {
        let (row, age) = process.reading?;
        let wait =
            if self.without == Without::WaitForReadings { self.wait() - 1 } else { self.wait() };
        let is_fresh = age < self.confirmed || self.without == Without::FreshReadings;
        (is_fresh && row.since.is_some_and(|since| since >= wait)).then_some(row.backend)
    }

    fn can_ask(&self, process: &Process) -> bool {
        let Some(backend) = self.backend(process) else { return false };
        // A guard of the other backend runs out by itself first.
        process.call.is_none() && process.guard.is_none_or(|(by, left)| by == backend || left == 0)
    }

    fn flip(&self, state: &mut State, process: usize) -> Option<()> {
        let (seen, _) = state.processes[process].reading?;
        if seen.epoch != state.row.epoch || state.running.is_some() {
            return None;
        }
        let to = match seen.backend {
            Backend::Redis => Backend::Postgres,
            Backend::Postgres => Backend::Redis,
        };
        state.flips -= 1;
        if self.without == Without::DateAfterCommit {
            state.running = Some((to, 0));
        } else {
            state.row = Row { backend: to, epoch: seen.epoch + 1, since: None };
        }
        Some(())
    }

    /// A tick later; no age grows beyond what makes a difference.
    fn tick(&self, state: &mut State) {
        let date = |row: &mut Row| {
            if let Some(since) = &mut row.since {
                older(since, self.wait());
            }
        };
        date(&mut state.row);
        for (_, left) in state.owners.iter_mut().flatten() {
            *left = left.saturating_sub(1);
        }
        for process in &mut state.processes {
            for (_, age) in [&mut process.reading, &mut process.answer].into_iter().flatten() {
                older(age, self.confirmed);
            }
            if let Some((_, age)) = &mut process.call {
                older(age, self.ttl);
            }
            if let Some((_, left)) = &mut process.guard {
                *left = left.saturating_sub(1);
            }
        }
        if let Some((_, age)) = &mut state.running {
            older(age, self.wait());
        }
    }
}

fn owner(state: &mut State, of: Backend) -> &mut Option<(usize, u8)> {
    match of {
        Backend::Redis => &mut state.owners[0],
        Backend::Postgres => &mut state.owners[1],
    }
}

impl Model for Switch {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let row = Row { backend: Backend::Redis, epoch: 0, since: Some(self.wait()) };
        let process = Process { reading: None, answer: None, call: None, guard: None };
        let processes = vec![process; 2];
        vec![State { row, owners: [None; 2], processes, flips: self.flips, running: None }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        for (i, process) in state.processes.iter().enumerate() {
            steps.push(if process.answer.is_some() { Step::Note(i) } else { Step::Read(i) });
            if process.call.is_some() {
                steps.push(Step::Serve(i));
            } else if process.guard.is_some() {
                steps.push(Step::Release(i));
            }
            if self.can_ask(process) {
                steps.push(Step::Ask(i));
            }
            if state.flips > 0 && process.reading.is_some() {
                steps.push(Step::Flip(i));
            }
            if process.reading.is_some_and(|(row, _)| row.since.is_none()) {
                steps.push(Step::Date(i));
            }
        }
        if state.running.is_some() {
            steps.push(Step::Commit);
        }
        steps.push(Step::Tick);
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        match step {
            Step::Tick => self.tick(&mut state),
            Step::Read(i) => state.processes[i].answer = Some((state.row, 0)),
            Step::Note(i) => state.processes[i].reading = state.processes[i].answer.take(),
            Step::Ask(i) => {
                let to = self.backend(&state.processes[i])?;
                state.processes[i].call = Some((to, 0));
            }
            Step::Serve(i) => {
                let (to, age) = state.processes[i].call.take()?;
                let owner = owner(&mut state, to);
                if owner.is_none_or(|(owner, left)| owner == i || left == 0) {
                    *owner = Some((i, self.ttl));
                    state.processes[i].guard = Some((to, self.ttl - age));
                }
            }
            Step::Release(i) => {
                let (by, _) = state.processes[i].guard.take()?;
                let owner = owner(&mut state, by);
                if owner.is_some_and(|(owner, _)| owner == i) {
                    *owner = None;
                }
            }
            Step::Flip(i) => self.flip(&mut state, i)?,
            Step::Commit => {
                let (backend, age) = state.running.take()?;
                state.row = Row { backend, epoch: state.row.epoch + 1, since: Some(age) };
            }
            Step::Date(i) => {
                let (row, _) = state.processes[i].reading?;
                if row.epoch == state.row.epoch && state.row.since.is_none() {
                    state.row.since = Some(0);
                }
            }
        }
        let state = without_names(state);
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("one believing holder", |_, state: &State| {
                let believers =
                    state.processes.iter().filter(|p| p.guard.is_some_and(|(_, left)| left > 0));
                believers.count() <= 1
            }),
            Property::sometimes("PostgreSQL grants", |_, state: &State| {
                state.processes.iter().any(|p| matches!(p.guard, Some((Backend::Postgres, 1..))))
            }),
        ]
    }
}

/// The same state with the processes in order: which is which makes no difference.
fn without_names(mut state: State) -> State {
    let key = |i: usize| {
        let owned = |owner: &Option<(usize, u8)>| owner.is_some_and(|(owner, _)| owner == i);
        (state.processes[i], owned(&state.owners[0]), owned(&state.owners[1]))
    };
    if key(0) > key(1) {
        state.processes.swap(0, 1);
        for (owner, _) in state.owners.iter_mut().flatten() {
            *owner = 1 - *owner;
        }
    }
    state
}

const THERE: Switch = Switch { ttl: 2, confirmed: 2, flips: 1, without: Without::Nothing };
const THERE_AND_BACK: Switch = Switch { ttl: 1, confirmed: 1, flips: 2, without: Without::Nothing };

#[test]
fn no_switch_gives_two_believing_holders() {
    for model in [THERE, THERE_AND_BACK] {
        assert_eq!(broken(&model), Vec::<String>::new());
    }
}

#[test]
fn after_a_switch_somebody_can_hold_the_lock() {
    let holds = |state: &State| state.processes.iter().any(|p| matches!(p.guard, Some((_, 1..))));
    let helps = |step: &Step| !matches!(step, Step::Flip(_));
    for model in [THERE, THERE_AND_BACK] {
        assert_eq!(first_stranded(&model, |_| true, holds, helps), None);
    }
}

#[test]
fn each_rule_of_the_switch_is_needed() {
    for without in [Without::WaitForReadings, Without::FreshReadings, Without::DateAfterCommit] {
        let model = Switch { without, ..THERE };
        let found = broken(&model);
        let has_two = found.iter().any(|found| found.starts_with("one believing holder"));
        assert!(has_two, "{without:?}: {found:?}");
    }
}
