//! The model of the order: a turn by the rules in the documentation of `Config::ageing` and `Order`.

use std::time::Duration;

use weirpool_core::queue::{Order, Priority};

/// Whether times in keys are in milliseconds.
pub const NARROW: bool = cfg!(any(weirpool_narrow, not(target_has_atomic = "64")));

/// The order of a queue.
pub struct OrderModel {
    ageing: Option<u64>,
    order: Order,
    /// The last one given: in sixteenths of a microsecond, in milliseconds with 32-bit words.
    stamp: u64,
}

impl OrderModel {
    pub fn new(ageing: Option<Duration>, order: Order) -> Self {
        Self {
            ageing: ageing.map(|ageing| ageing.as_micros() as u64),
            order,
            stamp: 0,
        }
    }

    /// The turn of what comes now, least first; the ticket is its number.
    pub fn turn(
        &mut self,
        priority: Priority,
        deadline: u64,
        ticket: u64,
        now: u64,
    ) -> (u64, u64, u64) {
        let steps = 3 - priority as u64;
        if NARROW {
            self.stamp = self.stamp.max(now / 1000);
            let place = match self.order {
                Order::Fifo => self.stamp,
                Order::Deadline { horizon } => deadline
                    .div_ceil(1000)
                    .clamp(self.stamp, self.stamp + horizon.as_millis() as u64),
            };
            return match (self.ageing, self.order) {
                (Some(ageing), _) => (place + steps * ageing / 1000, 0, ticket),
                (None, Order::Fifo) => (steps, 0, ticket),
                (None, Order::Deadline { .. }) => (steps, place, ticket),
            };
        }
        self.stamp = (self.stamp + 1).max(now * 16);
        let place = match self.order {
            Order::Fifo => self.stamp,
            Order::Deadline { horizon } => {
                let first = self.stamp / 16;
                16 * deadline.clamp(first, first + horizon.as_micros() as u64)
            }
        };
        match self.ageing {
            Some(ageing) => (place + steps * 16 * ageing, steps, ticket),
            None => (steps, place, ticket),
        }
    }
}
