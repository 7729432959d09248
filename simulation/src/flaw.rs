//! Bugs to put into a run on purpose: each must be found, or the checks prove nothing.
//!
//! All of them are in the simulated store, in how a process is started, or in how a follower uses its
//! verifier. The product's code has no switch for them.

use clap::ValueEnum;

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Flaw {
    /// A follower forgets its floor and takes any base.
    AcceptsOlder,
    /// The store forgets which requests it has executed.
    AppendsTwice,
    /// A primary that was replaced goes on to answer as if it were still the primary.
    DemotedAnswers,
    /// A new era begins without what its checkpoint contains.
    EmptyEra,
    /// A process does not find what it had published when it starts again.
    Forgets,
    /// The store gives a lost seq a second time, and no record has a mark that distinguishes it.
    ReusesPositions,
    /// A follower gives verdicts however old its feed is.
    TrustsStale,
}
