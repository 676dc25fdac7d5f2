//! The small integers that rows use inside the store. None of them ever leaves the server.

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);
    };
}

number!(
    /// An organisation's row.
    OrganizationNo
);
number!(
    /// A subscription's row. Never used again after a delete.
    SubscriptionNo
);
number!(
    /// An interned URL.
    UrlNo
);
number!(
    /// Acceptance number: the order in which this store committed.
    Seq
);
number!(
    /// A delivery: its acceptance number and its position among the deliveries accepted together.
    DeliveryNo
);

/// Deliveries that one acceptance number can have; the fan-out's bound is 40.
pub const DELIVERIES_PER_SEQ: i64 = 64;

impl DeliveryNo {
    /// The `position`th delivery accepted under `seq`.
    ///
    /// # Panics
    /// `position` is not below [`DELIVERIES_PER_SEQ`].
    #[must_use]
    pub fn new(seq: Seq, position: usize) -> Self {
        let position = i64::try_from(position).unwrap_or(i64::MAX);
        assert!(position < DELIVERIES_PER_SEQ, "fan-out beyond its bound");
        Self(seq.0 * DELIVERIES_PER_SEQ + position)
    }

    /// When it was accepted.
    #[must_use]
    pub fn seq(self) -> Seq {
        Seq(self.0.div_euclid(DELIVERIES_PER_SEQ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_knows_its_acceptance_number() {
        assert_eq!(DeliveryNo::new(Seq(7), 39).seq(), Seq(7));
        assert!(DeliveryNo::new(Seq(7), 63) < DeliveryNo::new(Seq(8), 0));
    }
}
