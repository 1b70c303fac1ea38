//! The state word of a breaker.
#![forbid(unsafe_code)]

use super::State;

/// `[generation:14 | state:3 | trips:5 | issued:5 | succeeded:5]`.
///
/// `trips` is how often it opened since it was closed (up to 31), `issued` how many probes of this generation are out or
/// succeeded, `succeeded` how many of them succeeded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Phase(pub(super) u32);

impl Phase {
    pub(super) const GENERATION_BITS: u32 = 14;
    const GENERATION_SHIFT: u32 = u32::BITS - Self::GENERATION_BITS;
    const STATE_SHIFT: u32 = 15;
    const TRIPS_SHIFT: u32 = 10;
    const ISSUED: u32 = 1 << 5;
    const SUCCEEDED: u32 = 1;
    /// The largest number in five bits.
    pub(super) const MAX: u32 = 31;

    pub(super) const fn first(state: State) -> Self {
        Self((state as u32) << Self::STATE_SHIFT)
    }

    pub(super) const fn generation(self) -> u32 {
        self.0 >> Self::GENERATION_SHIFT
    }

    /// The generation so many changes before.
    pub(super) const fn generation_before(generation: u32, changes: u32) -> u32 {
        generation.wrapping_sub(changes) & ((1 << Self::GENERATION_BITS) - 1)
    }

    #[inline(always)]
    pub(super) const fn state(self) -> State {
        State::from_bits(self.0 >> Self::STATE_SHIFT)
    }

    pub(super) const fn trips(self) -> u32 {
        self.0 >> Self::TRIPS_SHIFT & Self::MAX
    }

    pub(super) const fn issued(self) -> u32 {
        (self.0 / Self::ISSUED) & Self::MAX
    }

    pub(super) const fn succeeded(self) -> u32 {
        self.0 & Self::MAX
    }

    /// The next generation, in a state. Half-open begins with one probe; closed forgets the trips.
    pub(super) const fn enter(self, state: State) -> Self {
        let generation = (self.generation() + 1) << Self::GENERATION_SHIFT;
        let trips = match state {
            State::Open if self.trips() < Self::MAX => self.trips() + 1,
            State::Closed => 0,
            _ => self.trips(),
        };
        let next =
            Self(generation | (state as u32) << Self::STATE_SHIFT | trips << Self::TRIPS_SHIFT);
        if matches!(state, State::HalfOpen) {
            next.issue()
        } else {
            next
        }
    }

    pub(super) const fn issue(self) -> Self {
        Self(self.0 + Self::ISSUED)
    }

    pub(super) const fn unissue(self) -> Self {
        Self(self.0 - Self::ISSUED)
    }

    pub(super) const fn succeed(self) -> Self {
        Self(self.0 + Self::SUCCEEDED)
    }
}
