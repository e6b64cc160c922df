use super::*;
use crate::testing::Prng;

const RULES: OrderRules = OrderRules { commit_clock: true, identity: Identity::Position };

/// Some changes with the ids of their transactions: in order but for one or the other.
struct Changes {
    batch: ChangeBatch,
    ids: Option<Vec<u64>>,
}

impl Changes {
    fn random(random: &mut Prng) -> Self {
        let rows = random.index(12);
        let (has_ids, has_positions, has_commits) =
            (random.below(3) > 0, random.below(3) > 0, random.below(3) == 0);
        let is_odd = |random: &mut Prng| random.below(40) == 0;
        let (mut id, mut position, mut time) = (random.below(3), 5_u128, 10_i64);
        let (mut ids, mut positions, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rows {
            id = if is_odd(random) { random.below(4) } else { id + u64::from(random.below(2) == 0) };
            position = if is_odd(random) { 5 } else { position + 1 + u128::from(random.below(2)) };
            time += random.index(3) as i64;
            ids.push(id);
            positions.push(position);
            times.push(if random.below(6) == 0 { NO_TIME } else { time });
        }
        let batch = ChangeBatch {
            ops: vec![Op::Update as u8; rows],
            committed_at: times,
            commit_position: has_commits.then(|| ids.iter().map(|&id| u128::from(id)).collect()),
            position: has_positions.then_some(positions),
            record: (1..=rows as u64).collect(),
            stream: (0..rows as u64).collect(),
            ..ChangeBatch::default()
        };
        Self { batch, ids: has_ids.then_some(ids) }
    }

    fn order(&self, rows: std::ops::Range<usize>) -> Result<OrderBuilder, NotInOrder> {
        let numbers: Vec<u32> = (rows.start as u32..rows.end as u32).collect();
        let batch = crate::ledger::take_changes(&self.batch, &numbers).unwrap();
        let mut builder = OrderBuilder::in_order(RULES);
        builder.push(0, &batch, self.ids.as_ref().map(|ids| &ids[rows]))?;
        Ok(builder)
    }

    /// The order by parts that end at these rows.
    fn joined(&self, ends: &[usize]) -> Result<OrderBuilder, NotInOrder> {
        let mut builder = OrderBuilder::in_order(RULES);
        let mut from = 0;
        for &end in ends {
            builder.join(self.order(from..end)?)?;
            from = end;
        }
        Ok(builder)
    }
}

#[test]
fn parts_joined_are_the_order_of_the_whole() {
    let mut random = Prng::new(41);
    let (mut in_order, mut not) = (0, 0);
    for _ in 0..20_000 {
        let changes = Changes::random(&mut random);
        let rows = changes.batch.len();
        let mut ends: Vec<usize> = (0..random.index(4)).map(|_| random.index(rows + 1)).collect();
        ends.push(rows);
        ends.sort_unstable();
        let outcome = |builder: Result<OrderBuilder, NotInOrder>| {
            builder.map(|builder| {
                let order = builder.finish();
                (order.len, order.transactions)
            })
        };
        let (whole, joined) = (outcome(changes.order(0..rows)), outcome(changes.joined(&ends)));
        assert_eq!(whole, joined, "{:?} {:?} {ends:?}", changes.ids, changes.batch);
        if whole.is_ok() { in_order += 1 } else { not += 1 }
    }
    assert!(in_order > 2000 && not > 2000, "{in_order} in order, {not} not");
}

#[test]
fn what_lies_wholly_on_one_side_does_not_move_the_cut() {
    let mut random = Prng::new(43);
    let mut clean = 0;
    for _ in 0..20_000 {
        let mut latest = 0;
        let transactions: Vec<Transaction> = (0..random.index(9))
            .map(|number| {
                latest += random.index(4) as i64;
                let time = match random.below(12) {
                    0 => NO_TIME,
                    1 => latest - 3,
                    _ => latest,
                };
                let earliest = if random.below(3) == 0 { time } else { NO_TIME };
                let earliest = if random.below(12) == 0 { latest - 2 } else { earliest };
                Transaction { first: number as u32, time, earliest, id: 0, position: 0 }
            })
            .collect();
        let moment = random.index(16) as i64;
        let in_force = |time: i64| time <= moment;
        let expected = least_wrong_cut(&transactions, in_force);
        assert_eq!(cut(&transactions, in_force), expected, "{transactions:?} {moment}");
        clean += usize::from(expected.ambiguous.is_empty());
    }
    assert!(clean > 5000 && clean < 19_000, "{clean}");
}

#[test]
fn regressions_of_parts_are_those_of_the_whole() {
    let mut random = Prng::new(47);
    for _ in 0..40 {
        let mut latest = 0;
        let transactions: Vec<Transaction> = (0..random.index(4 * PART))
            .map(|_| {
                latest += random.index(4) as i64;
                let time = match random.below(20_000) {
                    0 => latest - 3,
                    1 => NO_TIME,
                    _ => latest,
                };
                Transaction { first: 0, time, earliest: time, id: 0, position: 0 }
            })
            .collect();
        let whole = regressions_of(&transactions, NO_TIME);
        assert_eq!(Order { transactions, ..Order::default() }.regressions(), whole);
    }
}
