//! Random calls against a store and against a model of it that is simple enough to be right.

use std::collections::HashMap;
use std::sync::Arc;

use offswitch::store::{Page, Store, StoreError};
use offswitch_core::log::{Checkpoint, End};
use offswitch_snapshot::Position;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use crate::place::{FIRST_ERA, Place, request};

// Any calls in any order with any bytes: answers and content are those of the model.
pub(crate) async fn any_sequence_of_calls_agrees_with_the_model(place: &Place) {
    let mut runner = TestRunner::new(Config { cases: 24, ..Config::default() });
    let mut feed = 0;
    let feed = std::cell::RefCell::new(&mut feed);
    let outcome = runner.run(&vec(call(), 1..40), |calls| {
        **feed.borrow_mut() += 1;
        let name = format!("feed-{}", feed.borrow());
        block_in_place(|| Handle::current().block_on(compare(place, &name, calls)));
        Ok(())
    });
    outcome.unwrap();
}

async fn compare(place: &Place, feed: &str, calls: Vec<Call>) {
    let store = place.open(feed).await;
    let mut model = Model::new();
    for call in calls {
        model.check(&store, call).await;
        assert_eq!(unmarked(store.read(0, 1000).await.unwrap()), model.page(0, 1000));
    }
}

#[derive(Debug, Clone)]
enum Call {
    Append { id: u8, content: u8, record: Vec<u8> },
    Read { after: u64, limit: usize },
    Swap { name: u8, knows: bool, to: Vec<u8> },
    StartEra { is_expected: bool, era: u64, checkpoint: Checkpoint },
    Trim { era: u64, checkpoint: Checkpoint },
}

fn call() -> impl Strategy<Value = Call> {
    let bytes = || vec(any::<u8>(), 0..40);
    let checkpoint = || (0..25_u64, bytes()).prop_map(|(seq, bytes)| Checkpoint { seq, bytes });
    let era = || FIRST_ERA - 1..FIRST_ERA + 4;
    prop_oneof![
        8 => (any::<u8>(), 0..4_u8, bytes())
            .prop_map(|(id, content, record)| Call::Append { id: id % 30, content, record }),
        2 => (0..25_u64, 0..5_usize).prop_map(|(after, limit)| Call::Read { after, limit }),
        2 => (0..2_u8, prop::bool::weighted(0.8), bytes())
            .prop_map(|(name, knows, to)| Call::Swap { name, knows, to }),
        1 => (prop::bool::weighted(0.8), era(), checkpoint())
            .prop_map(|(is_expected, era, checkpoint)| {
                Call::StartEra { is_expected, era, checkpoint }
            }),
        2 => (prop_oneof![4 => Just(FIRST_ERA), 1 => era()], checkpoint())
            .prop_map(|(era, checkpoint)| Call::Trim { era, checkpoint }),
    ]
}

struct Model {
    page: Page,
    requests: HashMap<u8, (u64, u64, u8)>,
    documents: HashMap<String, Vec<u8>>,
}

impl Model {
    fn new() -> Self {
        let page = Page { era: FIRST_ERA, ..Page::default() };
        Self { page, requests: HashMap::new(), documents: HashMap::new() }
    }

    fn page(&self, after: u64, limit: usize) -> Page {
        let records = self.page.records.iter().filter(|(seq, _)| *seq > after).take(limit);
        Page { records: records.cloned().collect(), ..self.page.clone() }
    }

    async fn check(&mut self, store: &Arc<dyn Store>, call: Call) {
        match call {
            Call::Append { id, content, record } => {
                let answer = store.append(&request(&id.to_string(), content), &record).await;
                let answer = answer
                    .map(|answer| (answer.position.era, answer.position.seq, answer.repeated));
                assert_eq!(answer, self.append(id, content, record));
            }
            Call::Read { after, limit } => {
                let page = store.read(after, limit).await.unwrap();
                assert_eq!(unmarked(page), self.page(after, limit));
            }
            Call::Swap { name, knows, to } => {
                let name = name.to_string();
                let held = self.documents.entry(name.clone()).or_default();
                let from = if knows { held.clone() } else { b"something else".to_vec() };
                let swapped = knows || *held == to;
                if swapped {
                    held.clone_from(&to);
                }
                assert_eq!(store.swap(&name, &from, &to, None).await, Ok(swapped));
                assert_eq!(store.load(&name).await.as_ref(), Ok(&*held));
            }
            Call::StartEra { is_expected, era, checkpoint } => {
                let mut expected = store.end().await.unwrap();
                let position = Position { era: self.page.era, seq: self.page.head };
                assert_eq!(expected.position, position);
                if !is_expected {
                    expected = End { mark: expected.mark + 1, ..expected };
                }
                let answer = store.start_era(expected, era, &checkpoint).await;
                assert_eq!(answer, Ok(self.start_era(is_expected, era, checkpoint)));
            }
            Call::Trim { era, checkpoint } => {
                store.trim(era, &checkpoint).await.unwrap();
                self.trim(era, checkpoint);
            }
        }
    }

    fn append(
        &mut self,
        id: u8,
        content: u8,
        record: Vec<u8>,
    ) -> Result<(u64, u64, bool), StoreError> {
        if let Some(&(era, seq, known)) = self.requests.get(&id) {
            return if known == content {
                Ok((era, seq, true))
            } else {
                Err(StoreError::RequestReused)
            };
        }
        self.page.head += 1;
        self.page.records.push((self.page.head, record));
        self.requests.insert(id, (self.page.era, self.page.head, content));
        Ok((self.page.era, self.page.head, false))
    }

    fn start_era(&mut self, is_expected: bool, era: u64, checkpoint: Checkpoint) -> bool {
        let allowed = is_expected && era > self.page.era;
        if allowed {
            self.page = Page { era, head: checkpoint.seq, checkpoint, ..Page::default() };
        }
        allowed
    }

    fn trim(&mut self, era: u64, checkpoint: Checkpoint) {
        let newer = self.page.checkpoint.seq + 1..=self.page.head;
        if self.page.era == era && newer.contains(&checkpoint.seq) {
            self.page.records.retain(|(seq, _)| *seq > checkpoint.seq);
            self.page.checkpoint = checkpoint;
        }
    }
}

/// A page without its marks, which are random.
fn unmarked(page: Page) -> Page {
    Page { head_mark: 0, after_mark: None, marks: vec![], ..page }
}
