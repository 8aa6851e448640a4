//! Whether something good stays possible, which stateright's `eventually` cannot say of a graph
//! with cycles.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use stateright::{Checker as _, Expectation, HasDiscoveries, Model, Property};

/// The properties that do not hold, each with the steps that show it.
pub(crate) fn broken<M>(model: &M) -> Vec<String>
where
    M: Model + Clone + Send + Sync + 'static,
    M::State: Clone + std::fmt::Debug + Hash + PartialEq + Send + Sync,
    M::Action: Clone + std::fmt::Debug + PartialEq + Send + Sync,
{
    let checker = model.clone().checker().finish_when(HasDiscoveries::AnyFailures);
    let checker = checker.spawn_bfs().join();
    let discoveries = checker.discoveries();
    let holds = |property: &Property<M>| {
        let is_found = discoveries.contains_key(property.name);
        is_found == (property.expectation == Expectation::Sometimes)
    };
    let broken: Vec<_> =
        model.properties().into_iter().filter(|property| !holds(property)).collect();
    let shown = |property: Property<M>| {
        let steps = discoveries.get(property.name).map(|path| path.clone().into_actions());
        format!("{}: {steps:?}", property.name)
    };
    broken.into_iter().map(shown).collect()
}

/// From every reachable state that `concerns` us a state with `goal` can be reached by steps that
/// `helps` lets happen; answers the first state from which none can, if any.
pub(crate) fn first_stranded<M>(
    model: &M,
    concerns: impl Fn(&M::State) -> bool,
    goal: impl Fn(&M::State) -> bool,
    helps: impl Fn(&M::Action) -> bool,
) -> Option<M::State>
where
    M: Model,
    M::State: Clone + Eq + Hash,
    M::Action: Clone,
{
    let mut states: Vec<M::State> = Vec::new();
    let mut numbers: HashMap<M::State, usize> = HashMap::new();
    // For each state, those from which a helping step leads to it.
    let mut before: Vec<Vec<usize>> = Vec::new();
    let mut todo = VecDeque::new();
    let mut enter = |state: M::State, states: &mut Vec<M::State>, todo: &mut VecDeque<usize>| {
        *numbers.entry(state).or_insert_with_key(|state| {
            states.push(state.clone());
            todo.push_back(states.len() - 1);
            states.len() - 1
        })
    };
    for state in model.init_states() {
        enter(state, &mut states, &mut todo);
    }
    while let Some(from) = todo.pop_front() {
        let state = states[from].clone();
        let mut actions = Vec::new();
        model.actions(&state, &mut actions);
        for action in actions {
            let is_help = helps(&action);
            let Some(next) = model.next_state(&state, action) else { continue };
            let to = enter(next, &mut states, &mut todo);
            before.resize(states.len(), Vec::new());
            if is_help {
                before[to].push(from);
            }
        }
    }
    before.resize(states.len(), Vec::new());
    let mut is_fine: Vec<bool> = states.iter().map(&goal).collect();
    let mut fine: Vec<usize> = (0..states.len()).filter(|&number| is_fine[number]).collect();
    while let Some(number) = fine.pop() {
        for &earlier in &before[number] {
            if !std::mem::replace(&mut is_fine[earlier], true) {
                fine.push(earlier);
            }
        }
    }
    states.into_iter().zip(is_fine).find(|(state, fine)| !fine && concerns(state)).map(|(s, _)| s)
}
